"""The guide's tokenizer: byte-level BPE learnt from its corpus; any text can be encoded and comes back unchanged."""

import random

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from training.talk_conversations import Storyteller
from training.talk_corpus import Talk, lines
from training.talk_words import made_up_word

VOCABULARY = 4096
OPENING_WORDS = 4  # so that people hardly ever write one
BOS, END, PAD = "<|bos|>", "<|end|>", "<|pad|>"
ROLES = {"system": "<|system|>", "user": "<|user|>", "assistant": "<|assistant|>"}

# A role's token, the text, and the end token; what is not a known role is refused rather than guessed. The space
# before what people write makes a first word the same token as one further on.
CHAT_TEMPLATE = (
    "{{ bos_token }}"
    "{% for message in messages %}"
    "{% if message['role'] not in ['system', 'user', 'assistant'] %}"
    "{{ raise_exception('A role must be system, user or assistant.') }}"
    "{% endif %}"
    "{{ '<|' + message['role'] + '|>' + (' ' if message['role'] != 'assistant' else '') }}"
    "{{ (message['content'] | trim) + '<|end|>' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)


def _texts(talk: Talk, rng: random.Random) -> list[str]:
    """Return what the merges are learnt from: answers and questions, names, and some questions as people type them."""
    texts = list(talk.answers())
    texts += [" " + line for topic in talk.topics.values() for line in lines(topic.ask)]
    texts += [" " + line for kind in talk.kinds.values() for line in lines(kind.ask)]
    texts += [" " + line for fact in talk.facts.values() for line in lines(fact.tell + fact.ask)]
    texts += [" " + value for values in talk.values.values() for value in values]
    texts += [" " + made_up_word(rng) for _ in range(800)]
    storyteller = Storyteller(talk, rng)
    return texts + [" " + question for _ in range(1500) for question, _ in storyteller.conversation(4)]


def openings(talk: Talk) -> list[str]:
    """Return what the answers of topics without a title begin with, each unlike all others: OPENING_WORDS or more.

    As tokens they let the model choose such a topic, too, in one step; refusals, and what begins as they do, have none.
    """
    answers = [answer for topic in talk.topics.values() if not topic.title for answer in topic.answers]
    chosen = [answer for answer in answers if not answer.startswith("I ")]
    return [_opening(answer, set(talk.answers()) - {answer}) for answer in chosen]


def _opening(answer: str, others: set[str]) -> str:
    words = answer.split(" ")
    beginnings = (" ".join(words[:count]) for count in range(OPENING_WORDS, len(words) + 1))
    return next((text for text in beginnings if not any(other.startswith(text) for other in others)), answer)


def train_tokenizer(talk: Talk, seed: int) -> PreTrainedTokenizerFast:
    """Return a tokenizer of VOCABULARY tokens, titles and openings, with the chat template and the role tokens."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = [PAD, BOS, END, *ROLES.values()]
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[AddedToken(token, special=True, normalized=False) for token in special],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_texts(talk, random.Random(seed)), trainer)
    titles = [f"{topic.title}:" for topic in talk.topics.values() if topic.title]
    choices = (*titles, *openings(talk))  # a topic is chosen in one step
    tokenizer.add_tokens([AddedToken(choice, normalized=False) for choice in choices])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=BOS,
        eos_token=END,
        pad_token=PAD,
        additional_special_tokens=list(ROLES.values()),
        chat_template=CHAT_TEMPLATE,
        model_max_length=2048,
        clean_up_tokenization_spaces=False,
    )
