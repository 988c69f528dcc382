"""Our decoder engine, driven as its scheduler drives it, without a server."""

import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager

from benchmarks.speed import shapes
from benchmarks.speed.scale import Scale
from benchmarks.speed.texts import prompts, texts
from benchmarks.speed.worker import Figures, Run
from inference.engines.base import Delta, EngineRequest, Failed, Finished
from inference.engines.decoder import DecoderEngine
from inference.engines.generation import GenerationRequest, Sampling

GREEDY = Sampling(temperature=0.0)
CACHE_BYTES = 2**31


class WrongLengthError(Exception):
    """An answer ended before its forced length: its figures would compare unlike work."""


def load(scale: Scale, threads: int, dtype: str = "bfloat16") -> DecoderEngine:
    """Return the engine of the scale's shape."""
    return DecoderEngine.load(
        shapes.llama(scale.shape),
        threads=threads,
        max_rows=max(32, scale.streams),
        cache_bytes=CACHE_BYTES,
        dtype=dtype,
    )


def chat(scale: Scale, threads: int) -> AbstractContextManager[Run]:
    """Answer all streams at once."""
    return chat_in(scale, load(scale, threads))


def chat_int8(scale: Scale, threads: int) -> AbstractContextManager[Run]:
    """Answer all streams at once, with int8 weights."""
    return chat_in(scale, load(scale, threads, "int8"))


@contextmanager
def chat_in(scale: Scale, engine: DecoderEngine) -> Iterator[Run]:
    """Answer all streams at once with this engine."""
    vocabulary = shapes.LLAMAS[scale.shape]["vocab_size"]

    def run(number: int) -> Figures:
        return answer(engine, prompts(number, scale.streams, scale.prompt_tokens, vocabulary), scale.new_tokens)

    yield run


@contextmanager
def chat_of_texts(scale: Scale, threads: int) -> Iterator[Run]:
    """Answer what the server's clients ask, all at once."""
    engine = load(scale, threads)

    def run(number: int) -> Figures:
        asked = texts(number, scale.streams, scale.prompt_tokens)
        return answer(engine, [engine.text.encode([("user", text)]) for text in asked], scale.new_tokens)

    yield run


def answer(engine: DecoderEngine, asked: Sequence[Sequence[int]], new_tokens: int) -> Figures:
    """Answer prompts, all submitted at once; return tokens a second and seconds to the first token."""
    requests = [
        GenerationRequest(key="benchmark", prompt=prompt, max_tokens=new_tokens, sampling=GREEDY) for prompt in asked
    ]
    began_s = time.perf_counter()
    for request in requests:
        engine.check(request)
        engine.admit(request)
    first_s: dict[EngineRequest, float] = {}
    while not engine.is_idle:
        outputs = engine.step()
        now_s = time.perf_counter() - began_s
        for asker, progress in outputs:
            if isinstance(progress, Delta):
                first_s.setdefault(asker, now_s)
            elif isinstance(progress, Failed) or (
                isinstance(progress, Finished) and progress.usage.output_tokens != new_tokens
            ):
                raise WrongLengthError(str(progress))
    took_s = time.perf_counter() - began_s
    return {
        "tokens_per_s": len(requests) * new_tokens / took_s,
        "first_token_s": sum(first_s.values()) / len(requests),
    }


@contextmanager
def warm_turn(scale: Scale, threads: int) -> Iterator[Run]:
    """Answer the fifth turn of a conversation that has had four."""
    engine = load(scale, threads)
    vocabulary = shapes.LLAMAS[scale.shape]["vocab_size"]

    def run(number: int) -> Figures:
        [told] = prompts(number, 1, scale.history_tokens + scale.turn_tokens, vocabulary)
        for turn in range(1, 5):
            first_token_s(engine, told[: scale.history_tokens * turn // 4], f"conversation {number}")
        return {"first_token_s": first_token_s(engine, told, f"conversation {number}")}

    yield run


@contextmanager
def cold_turn(scale: Scale, threads: int) -> Iterator[Run]:
    """Answer the same with nothing kept."""
    engine = load(scale, threads)
    vocabulary = shapes.LLAMAS[scale.shape]["vocab_size"]

    def run(number: int) -> Figures:
        [told] = prompts(number, 1, scale.history_tokens + scale.turn_tokens, vocabulary)
        return {"first_token_s": first_token_s(engine, told, f"conversation {number}")}

    yield run


def first_token_s(engine: DecoderEngine, prompt: Sequence[int], conversation: str) -> float:
    """Return how long a prompt of a conversation takes to its first token."""
    request = GenerationRequest(
        key="benchmark", prompt=prompt, max_tokens=1, sampling=GREEDY, conversation=conversation
    )
    began_s = time.perf_counter()
    engine.admit(request)
    while not engine.is_idle:
        engine.step()
    return time.perf_counter() - began_s
