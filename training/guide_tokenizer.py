"""The guide's tokenizer: byte-level BPE learnt from its corpus; any text can be encoded and comes back unchanged."""

import random

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from training.guide_conversations import Storyteller, made_up_word
from training.guide_corpus import GuideCorpus
from training.patterns import expand

VOCABULARY = 2048
BOS, END, PAD = "<|bos|>", "<|end|>", "<|pad|>"
ROLES = {"system": "<|system|>", "user": "<|user|>", "assistant": "<|assistant|>"}

# A role's token, the text, and the end token; what is not a known role is refused rather than guessed.
CHAT_TEMPLATE = (
    "{{ bos_token }}"
    "{% for message in messages %}"
    "{% if message['role'] not in ['system', 'user', 'assistant'] %}"
    "{{ raise_exception('A role must be system, user or assistant.') }}"
    "{% endif %}"
    "{{ '<|' + message['role'] + '|>' + (message['content'] | trim) + '<|end|>' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)


def _texts(corpus: GuideCorpus, rng: random.Random) -> list[str]:
    """Return what the merges are learnt from: answers and questions, names, and some questions as people type them."""
    texts = [text for topic in corpus.topics for text in (topic.answer, topic.more)]
    texts += [text for topic in corpus.topics for pattern in topic.ask for text in expand(pattern)[:6]]
    for fact in corpus.facts:
        texts += [*fact.tell, *fact.ask, fact.answer, fact.unknown, fact.acknowledge]
    texts += [" " + value for fact in corpus.facts for value in fact.values]
    texts += [" " + made_up_word(rng) for _ in range(600)]
    texts += [kind.answer for kind in corpus.off_topic]
    storyteller = Storyteller(corpus, rng)
    return texts + [question for _ in range(400) for question, _ in storyteller.conversation(4)]


def train_tokenizer(corpus: GuideCorpus, seed: int) -> PreTrainedTokenizerFast:
    """Return a tokenizer of VOCABULARY tokens with the chat template and the role tokens."""
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
    tokenizer.train_from_iterator(_texts(corpus, random.Random(seed)), trainer)
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
