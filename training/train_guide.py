"""Trains `aister-guide`, the bundled chat model, from `corpus/guide`.

    python -m training.train_guide --minutes 40 --output inference/bundled/aister-guide

One thread, fixed seeds. With `--steps` the result depends on nothing but the corpus and the versions of the libraries;
`--minutes` ends sooner on a slow machine; `--start DIR` goes on from a model trained before. Afterwards it writes
`reports/guide.md` (see check_guide.py).
"""

import itertools
import random
from collections.abc import Iterator
from pathlib import Path

import torch
from torch.nn import functional
from transformers import GenerationConfig, PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

from training.check_guide import forbidden_words, write_report
from training.guide_conversations import SYSTEM_PROMPTS, Storyteller, Turn, length_in_turns
from training.guide_corpus import read_corpus
from training.guide_tokenizer import BOS, END, ROLES, train_tokenizer
from training.optimisation import FURTHER, make_optimisers, train, training_arguments
from training.publishing import Description, save_description, save_model

SEED = 20261122
CONTEXT_TOKENS = 2048
BATCH_TOKENS = 4096
RATE = 4e-3
INTRODUCTION_POOLS = 14  # the first pools hold facts only: otherwise copying is learnt late, or not at all
INTRODUCTIONS = 0.3  # this part of the later conversations, too
CUT = 0.5  # this part of the answers breaks off, as one that was stopped does: cheaper, and their ends are soon known
POOL = 512  # conversations that are sorted by length before batches are cut, so that little is padded

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

Example = tuple[list[int], list[int]]
Batch = tuple[torch.Tensor, torch.Tensor]


def make_model(tokenizer: PreTrainedTokenizerFast) -> Qwen3ForCausalLM:
    """Return a fresh Qwen3 of about 2.2 million parameters."""
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
    """Turns conversations into token ids as the chat template would."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        self._encode = tokenizer.backend_tokenizer.encode
        self._id: dict[str, int] = tokenizer.get_vocab()

    def _text(self, text: str) -> list[int]:
        ids: list[int] = self._encode(text, add_special_tokens=False).ids
        return ids

    def _message(self, role: str, ids: list[int]) -> list[int]:
        return [self._id[ROLES[role]], *ids, self._id[END]]

    def example(self, turns: list[Turn], system: str | None, rng: random.Random) -> Example:
        """Return (token ids, 1 where the token is to be learnt: the answers and their end)."""
        ids = [self._id[BOS]]
        if system:
            ids += self._message("system", self._text(system))
        learnt = [0] * len(ids)
        for question, answer in turns:
            asked = self._message("user", self._text(question))
            text = self._text(answer)
            kept = rng.randint(3, 12) if rng.random() < CUT else len(text)
            answered = self._message("assistant", text[:kept])
            ids += asked + answered
            learnt += [0] * (len(asked) + 1) + [1] * (len(answered) - 2) + [int(kept >= len(text))]
        return ids[:CONTEXT_TOKENS], learnt[:CONTEXT_TOKENS]


def _collate(examples: list[Example], pad: int) -> Batch:
    longest = max(len(ids) for ids, _ in examples)
    ids = torch.full((len(examples), longest), pad)
    learnt = torch.zeros((len(examples), longest), dtype=torch.bool)
    for row, (tokens, marks) in enumerate(examples):
        ids[row, : len(tokens)] = torch.tensor(tokens)
        learnt[row, : len(marks)] = torch.tensor(marks, dtype=torch.bool)
    return ids, learnt


def batches(
    storyteller: Storyteller, encoder: Encoder, pad: int, introduction_pools: int = INTRODUCTION_POOLS
) -> Iterator[Batch]:
    """Yield batches for ever: (ids, learnt), each (conversations, tokens), at most BATCH_TOKENS tokens with padding."""
    rng = storyteller.rng
    for round_ in itertools.count():
        pool = []
        for _ in range(POOL):
            introduced = round_ < introduction_pools or rng.random() < INTRODUCTIONS
            tell = storyteller.introduction if introduced else storyteller.conversation
            turns = tell(rng.randint(2, 5) if introduced else length_in_turns(rng))
            system = rng.choice(SYSTEM_PROMPTS) if rng.random() < 0.15 else None
            pool.append(encoder.example(turns, system, rng))
        pool.sort(key=lambda example: len(example[0]))
        groups: list[list[Example]] = [[]]
        for example in pool:
            if groups[-1] and (len(groups[-1]) + 1) * len(example[0]) > BATCH_TOKENS:
                groups.append([])
            groups[-1].append(example)
        rng.shuffle(groups)
        yield from (_collate(group, pad) for group in groups)


def loss_of(model: Qwen3ForCausalLM, batch: Batch) -> torch.Tensor:
    """Return the mean cross entropy over the learnt tokens; padded at the right, rows need no mask but the causal."""
    ids, learnt = batch
    hidden = model.model(input_ids=ids[:, :-1], use_cache=False).last_hidden_state
    wanted = learnt[:, 1:]
    return functional.cross_entropy(model.lm_head(hidden[wanted]).float(), ids[:, 1:][wanted])


def _begin(start: Path | None) -> tuple[Qwen3ForCausalLM, PreTrainedTokenizerFast, Storyteller]:
    """Return a fresh model, its tokenizer and its source of conversations; or those of `start`."""
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    storyteller = Storyteller(read_corpus(), random.Random(SEED + bool(start)), forbidden_words())
    if start:
        model = Qwen3ForCausalLM.from_pretrained(start, dtype=torch.float32)
        return model.train(), PreTrainedTokenizerFast.from_pretrained(start), storyteller
    tokenizer = train_tokenizer(storyteller.corpus, SEED)
    return make_model(tokenizer), tokenizer, storyteller


def main() -> None:
    """Train, save, check, report."""
    arguments = training_arguments("Train aister-guide.", Path("inference/bundled/aister-guide"))
    model, tokenizer, storyteller = _begin(arguments.start)
    print(f"{model.num_parameters():,} parameters, {len(tokenizer)} tokens", flush=True)
    introduction_pools = 0 if arguments.start else INTRODUCTION_POOLS
    rate = RATE * (FURTHER if arguments.start else 1)
    steps = train(
        model,
        make_optimisers(model, matrix_rate=rate, other_rate=rate),
        batches(storyteller, Encoder(tokenizer), tokenizer.pad_token_id, introduction_pools),
        lambda batch: loss_of(model, batch),
        budget=arguments.budget,
    )
    save_model(model, tokenizer, arguments.output)
    save_description(DESCRIPTION, arguments.output)
    write_report(arguments.output, steps)


if __name__ == "__main__":
    main()
