"""What transformers itself offers, in bf16, for the same requests."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from transformers import AutoModelForCausalLM, ContinuousBatchingConfig, StoppingCriteria, StoppingCriteriaList

from benchmarks.speed import shapes
from benchmarks.speed.engine_sides import WrongLengthError
from benchmarks.speed.scale import Scale
from benchmarks.speed.texts import prompts
from benchmarks.speed.worker import Figures, Run


class FirstToken(StoppingCriteria):
    """Takes down when the first token came, and stops nothing."""

    def __init__(self) -> None:
        self.at_s: float | None = None

    def __call__(self, input_ids: torch.Tensor, _scores: Any, **_: Any) -> torch.Tensor:
        """Say for each row that it goes on."""
        self.at_s = self.at_s or time.perf_counter()
        return torch.zeros(len(input_ids), dtype=torch.bool)


def load(scale: Scale) -> Any:
    """Return the model of the scale's shape, as transformers loads it."""
    return AutoModelForCausalLM.from_pretrained(shapes.llama(scale.shape), dtype=torch.bfloat16)


def generate(model: Any, asked: Sequence[Sequence[int]], new_tokens: int) -> float:
    """Answer prompts of equal length in one batch; return when the first token came, by `time.perf_counter`."""
    first, ids = FirstToken(), torch.tensor(asked)
    criteria = StoppingCriteriaList([first])
    answered = model.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        max_new_tokens=new_tokens,
        do_sample=False,
        stopping_criteria=criteria,
    )
    if answered.shape[1] != ids.shape[1] + new_tokens or first.at_s is None:
        raise WrongLengthError(f"{answered.shape[1] - ids.shape[1]} tokens")
    return first.at_s


def timed(model: Any, batches: Sequence[Sequence[Sequence[int]]], new_tokens: int) -> Figures:
    """Answer batches one after the other, all submitted at the beginning."""
    began_s = time.perf_counter()
    firsts = [(generate(model, batch, new_tokens) - began_s, len(batch)) for batch in batches]
    took_s, requests = time.perf_counter() - began_s, sum(size for _, size in firsts)
    return {
        "tokens_per_s": requests * new_tokens / took_s,
        "first_token_s": sum(first_s * size for first_s, size in firsts) / requests,
    }


@contextmanager
def one_at_a_time(scale: Scale, _threads: int) -> Iterator[Run]:
    """`generate`, one request after the other."""
    model, vocabulary = load(scale), shapes.LLAMAS[scale.shape]["vocab_size"]

    def run(number: int) -> Figures:
        asked = prompts(number, scale.streams, scale.prompt_tokens, vocabulary)
        return timed(model, [[prompt] for prompt in asked], scale.new_tokens)

    yield run


@contextmanager
def static_batch(scale: Scale, _threads: int) -> Iterator[Run]:
    """`generate`, once, for a batch of all requests: nothing that serves can know them all beforehand."""
    model, vocabulary = load(scale), shapes.LLAMAS[scale.shape]["vocab_size"]

    def run(number: int) -> Figures:
        return timed(model, [prompts(number, scale.streams, scale.prompt_tokens, vocabulary)], scale.new_tokens)

    yield run


@contextmanager
def continuous_batching(scale: Scale, _threads: int) -> Iterator[Run]:
    """The `ContinuousBatchingManager` of transformers. It is kept between runs, with its caches."""
    model, vocabulary = load(scale), shapes.LLAMAS[scale.shape]["vocab_size"]
    blocks = scale.streams * -(-(scale.prompt_tokens + scale.new_tokens) // 256) + 8
    config = ContinuousBatchingConfig(num_blocks=blocks, max_batch_tokens=512)

    def run(number: int) -> Figures:
        asked = prompts(number, scale.streams, scale.prompt_tokens, vocabulary)
        began_s = time.perf_counter()
        answers = model.generate_batch(
            asked,
            continuous_batching_config=config,
            record_timestamps=True,
            persistent_manager=True,
            max_new_tokens=scale.new_tokens,
        )
        took_s = time.perf_counter() - began_s
        if sum(len(answer.generated_tokens) for answer in answers.values()) != scale.streams * scale.new_tokens:
            raise WrongLengthError("the manager's answers have other lengths")
        firsts = [answer.timestamps[0] - began_s for answer in answers.values()]
        return {
            "tokens_per_s": scale.streams * scale.new_tokens / took_s,
            "first_token_s": sum(firsts) / len(firsts),
        }

    yield run
