"""Trains `aister-guide`, the bundled chat model, from `corpus/talk`.

    python -m training.train_guide

Two threads, or a GPU where there is one; a C++ compiler, if there is one, with which torch makes a step faster; fixed
seeds: the result depends on nothing but the corpus, the device and the versions of the libraries, unless `--minutes`
ends it sooner or it was stopped. `--checkpoint FILE` lets a run that was killed go on, `--start DIR` goes on from a
trained model, in the vocabulary that the corpus has now. Afterwards it writes a report (see check_guide.py).

An answer is chosen by its first token, a title ("Price: ...") or the first words of small talk. There each topic's
target has a part of "I", with which every refusal begins: so the model, which takes the likeliest token, refuses unless
one topic is clearly likelier than DOUBT.
"""

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch.nn import functional
from transformers import GenerationConfig, PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

from training.check_guide import forbidden_words, write_report
from training.guide_tokenizer import BOS, END, ROLES, train_tokenizer
from training.optimisation import FURTHER, THREADS, Arguments, hasten, make_optimisers, train, training_arguments
from training.publishing import Description, save_description, save_model, save_training
from training.talk_conversations import SYSTEM_PROMPTS, Storyteller, length_in_turns
from training.talk_corpus import Kind, Talk, Topic, lines, read_talk
from training.talk_dialogue import SLOT, Turn, recalling
from training.talk_holdout import split

SEED = 20261122
STEPS = 15_600
RESTARTS = (0.64, 0.73, 0.82, 0.91)  # where the further parts of a run begin
CONTEXT_TOKENS = 2048
BATCH_TOKENS = 4096
MATRIX_RATE, OTHER_RATE = 3e-3, 2e-2  # the others are embeddings, mostly: at the matrices' rate they are learnt late
INTRODUCTION_STEPS = 520  # the first steps show facts only: otherwise copying is learnt late, or not at all
INTRODUCTIONS = 0.08  # this part of the later conversations, too
WHOLE = 0.1  # this part of the conversations has every answer to its end, as those that people see have
CUT = 0.95  # in the others, this part of the answers that are always the same breaks off, as one that was stopped does
KEPT_TOKENS = (2, 4)  # of an answer that breaks off: what it is about is chosen there
DOUBT = 0.33  # the part of "I" in the first token of a topic's answer
CHOICE_WEIGHT = 4.0  # of an answer's first two tokens in the loss
LENGTHS = 8  # lengths are padded to its multiples, learnt tokens to LEARNT's: each new shape costs time and memory
LEARNT = 128
POOL = 2048  # conversations that are sorted by length before batches are cut, so that little is padded

DESCRIPTION = Description(
    name="aister-guide",
    task="chat",
    description="A small demonstration model that talks about Aister and makes a little small talk, in English.",
    languages=["en"],
    examples=[
        "What is Aister?",
        "How do I get an API key?",
        "How do I connect my own program?",
        "Hi! My name is Marta.",
    ],
)

Example = tuple[list[int], list[float], list[bool]]
Batch = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


def make_model(tokenizer: PreTrainedTokenizerFast) -> Qwen3ForCausalLM:
    """Return a fresh Qwen3 of about 2.6 million parameters."""
    config = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=192,
        intermediate_size=512,
        num_hidden_layers=4,
        num_attention_heads=6,
        num_key_value_heads=6,
        head_dim=32,
        max_position_embeddings=CONTEXT_TOKENS,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = Qwen3ForCausalLM(config)
    model.generation_config = GenerationConfig(
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=[tokenizer.eos_token_id],
        pad_token_id=tokenizer.pad_token_id,
        max_new_tokens=256,
        do_sample=False,  # so small a model says its best answer only when it takes the likeliest token each time
    )
    return model


class Encoder:
    """Turns conversations into token ids as the chat template would.

    `fixed` are answers that are always the same, and may break off; `may_be_withheld` says of which a refusal may as
    well be the answer.
    """

    def __init__(
        self, tokenizer: PreTrainedTokenizerFast, fixed: frozenset[str], may_be_withheld: Callable[[str], bool]
    ) -> None:
        self._encode = tokenizer.backend_tokenizer.encode
        self._id: dict[str, int] = tokenizer.get_vocab()
        self._fixed = fixed
        self._may_be_withheld = may_be_withheld

    def _text(self, text: str) -> list[int]:
        ids: list[int] = self._encode(text, add_special_tokens=False).ids
        return ids

    def _message(self, role: str, ids: list[int]) -> list[int]:
        return [self._id[ROLES[role]], *ids, self._id[END]]

    def example(self, turns: list[Turn], system: str | None, rng: random.Random) -> Example:
        """Return (token ids, the weight of each in the loss, whether each may as well be a refusal's first)."""
        ids = [self._id[BOS]]
        if system:
            ids += self._message("system", self._text(" " + system))
        weights, doubts = [0.0] * len(ids), [False] * len(ids)
        cut = 0.0 if rng.random() < WHOLE else CUT
        for question, answer in turns:
            asked = self._message("user", self._text(" " + question))
            text = self._text(answer)
            kept = rng.randint(*KEPT_TOKENS) if answer in self._fixed and rng.random() < cut else len(text)
            answered = self._message("assistant", text[:kept])
            ids += asked + answered
            choice = min(2, len(answered) - 2)
            weights += [0.0] * (len(asked) + 1) + [CHOICE_WEIGHT] * choice + [1.0] * (len(answered) - 2 - choice)
            weights.append(float(kept >= len(text)))
            doubts += [False] * (len(asked) + 1) + [self._may_be_withheld(answer)] + [False] * (len(answered) - 2)
        return ids[:CONTEXT_TOKENS], weights[:CONTEXT_TOKENS], doubts[:CONTEXT_TOKENS]


def withholding(talk: Talk) -> Callable[[str], bool]:
    """Return what says of which answers a refusal may as well be the answer: those about Aister, and what was told."""
    answers = {answer for topic in talk.topics.values() for answer in topic.answers}
    answers |= {follow.answer for topic in talk.topics.values() for follow in topic.follow}
    recalls = recalling(talk)
    return lambda answer: answer in answers or recalls(answer)


def _padded(ids: list[int]) -> int:
    return -(-len(ids) // LENGTHS) * LENGTHS


def _collate(examples: list[Example], pad: int) -> Batch:
    longest = max(_padded(ids) for ids, _, _ in examples)
    ids = torch.full((len(examples), longest), pad)
    weights = torch.zeros((len(examples), longest))
    doubts = torch.zeros((len(examples), longest), dtype=torch.bool)
    for row, (tokens, learnt, doubtful) in enumerate(examples):
        ids[row, : len(tokens)] = torch.tensor(tokens)
        weights[row, : len(tokens)] = torch.tensor(learnt)
        doubts[row, : len(tokens)] = torch.tensor(doubtful)
    return ids, weights, doubts


def _groups(pool: list[Example]) -> list[list[Example]]:
    """Return the examples by length, in groups that make batches of at most BATCH_TOKENS."""
    groups: list[list[Example]] = [[]]
    for example in sorted(pool, key=lambda example: len(example[0])):
        if groups[-1] and (len(groups[-1]) + 1) * _padded(example[0]) > BATCH_TOKENS:
            groups.append([])
        groups[-1].append(example)
    return groups


def batches(
    storyteller: Storyteller, encoder: Encoder, pad: int, introduction_steps: int = INTRODUCTION_STEPS
) -> Iterator[Batch]:
    """Yield batches for ever: (ids, weights, doubts), each (conversations, tokens) of at most BATCH_TOKENS.

    The pools that the first `introduction_steps` need hold introductions only.
    """
    rng, made = storyteller.rng, 0
    while True:
        pool = []
        for _ in range(POOL):
            introduced = made < introduction_steps or rng.random() < INTRODUCTIONS
            tell = storyteller.introduction if introduced else storyteller.conversation
            turns = tell(rng.randint(2, 5) if introduced else length_in_turns(rng))
            system = rng.choice(SYSTEM_PROMPTS) if rng.random() < 0.15 else None
            pool.append(encoder.example(turns, system, rng))
        groups = _groups(pool)
        rng.shuffle(groups)
        yield from (_collate(group, pad) for group in groups)
        made += len(groups)


def loss_of(model: Qwen3ForCausalLM, batch: Batch, refusal: int) -> torch.Tensor:
    """Return the mean cross entropy over the learnt tokens; padded at the right, rows need no mask but the causal.

    Where a token may as well be a refusal's first, DOUBT of the target is the token `refusal`.
    """
    ids, weights, doubts = (each.to(model.device) for each in batch)
    hidden = model.model(input_ids=ids[:, :-1], use_cache=False).last_hidden_state
    places = weights[:, 1:].flatten().nonzero().squeeze(1)
    weight = functional.pad(weights[:, 1:].flatten()[places], (0, -len(places) % LEARNT))
    places = functional.pad(places, (0, len(weight) - len(places)))
    wanted, doubtful = (each[:, 1:].flatten()[places] for each in (ids, doubts))
    logs = functional.log_softmax(model.lm_head(hidden.flatten(0, 1)[places]).float(), dim=-1)
    losses = -logs.gather(1, wanted.unsqueeze(1)).squeeze(1)
    losses = torch.where(doubtful, (1 - DOUBT) * losses - DOUBT * logs[:, refusal], losses)
    return (losses * weight).sum() / weight.sum()


def with_vocabulary(
    model: Qwen3ForCausalLM, old: PreTrainedTokenizerFast, new: PreTrainedTokenizerFast
) -> Qwen3ForCausalLM:
    """Return a fresh model for the vocabulary `new` that knows what `model` knows.

    A token that `old` has keeps its embedding, a new one gets the mean of its parts.
    """
    fresh = make_model(new)
    embeddings = model.model.embed_tokens.weight.detach()
    parts = _parts(old, new)
    matrix = torch.stack([embeddings[ids].mean(dim=0) if ids else embeddings.mean(dim=0) for ids in parts])
    state = model.state_dict() | {"model.embed_tokens.weight": matrix, "lm_head.weight": matrix}
    fresh.load_state_dict(state)
    return fresh


def _parts(old: PreTrainedTokenizerFast, new: PreTrainedTokenizerFast) -> list[list[int]]:
    """Return for each token of `new` the ids of `old` for it; for a new part of a character, none."""
    known: dict[str, int] = old.get_vocab()
    tokens = new.convert_ids_to_tokens(list(range(len(new))))
    texts = [str(new.decode([token])) for token in range(len(new))]
    return [
        [known[token]] if token in known else _encoded(old, "" if "\ufffd" in text else text)
        for token, text in zip(tokens, texts, strict=True)
    ]


def _encoded(tokenizer: PreTrainedTokenizerFast, text: str) -> list[int]:
    ids: list[int] = tokenizer.backend_tokenizer.encode(text, add_special_tokens=False).ids
    return ids


def _begin(arguments: Arguments) -> tuple[Qwen3ForCausalLM, PreTrainedTokenizerFast, Storyteller]:
    """Return a fresh model, its tokenizer and its source of conversations; or a model that knows what `start` knows.

    A run that goes on from its checkpoint keeps its tokenizer, whatever has become of the corpus, and gets other
    conversations than it has had.
    """
    torch.manual_seed(SEED)
    torch.set_num_threads(THREADS)
    talk, held_out = split(read_talk())
    storyteller = Storyteller(talk, random.Random(arguments.seed(SEED)), forbidden_words(), held_out.texts())
    if arguments.kept and arguments.step:
        tokenizer = PreTrainedTokenizerFast.from_pretrained(arguments.kept)
        return make_model(tokenizer), tokenizer, storyteller
    tokenizer = train_tokenizer(talk, SEED)
    if arguments.kept:
        tokenizer.save_pretrained(arguments.kept)
    if arguments.start:
        old = PreTrainedTokenizerFast.from_pretrained(arguments.start)
        model = Qwen3ForCausalLM.from_pretrained(arguments.start, dtype=torch.float32)
        return with_vocabulary(model, old, tokenizer).train(), tokenizer, storyteller
    return make_model(tokenizer), tokenizer, storyteller


def _corpus(talk: Talk) -> str:
    """Return how much there is to learn from."""
    entries: tuple[Topic | Kind, ...] = (*talk.topics.values(), *talk.kinds.values())
    phrasings = sum(len(lines(each.ask)) for each in entries)
    return f"{len(talk.topics)} topics and {len(talk.kinds)} kinds of other things in {phrasings:,} phrasings"


def main() -> None:
    """Train, save, check, report."""
    arguments = training_arguments("Train aister-guide.", Path("inference/bundled/aister-guide"), STEPS)
    model, tokenizer, storyteller = _begin(arguments)
    torch.nn.Module.to(model, "cuda" if torch.cuda.is_available() else "cpu")
    model.set_attn_implementation("eager")  # at these lengths the fused kernels of attention are slow on a CPU
    hasten(model.model)
    print(f"{model.num_parameters():,} parameters, {len(tokenizer)} tokens, on {model.device}", flush=True)
    fixed = frozenset(answer for answer in storyteller.talk.answers() if not SLOT.search(answer))
    encoder = Encoder(tokenizer, fixed, withholding(storyteller.talk))
    refusal = tokenizer(storyteller.talk.unsure, add_special_tokens=False)["input_ids"][0]
    introduction_steps = 0 if arguments.start else max(0, INTRODUCTION_STEPS - arguments.step)
    part = FURTHER if arguments.start else 1
    run = train(
        model,
        make_optimisers(model, matrix_rate=part * MATRIX_RATE, other_rate=part * OTHER_RATE),
        batches(storyteller, encoder, tokenizer.pad_token_id, introduction_steps),
        lambda batch: loss_of(model, batch, refusal),
        budget=arguments.budget,
        restarts=RESTARTS,
        checkpoint=arguments.checkpoint,
    )
    facts = run.facts(SEED, _corpus(storyteller.talk), further=bool(arguments.start))
    save_model(model.cpu().eval(), tokenizer, arguments.output)
    save_description(DESCRIPTION, arguments.output)
    save_training(facts, arguments.output, arguments.start)
    arguments.forget()
    write_report(arguments.output)


if __name__ == "__main__":
    main()
