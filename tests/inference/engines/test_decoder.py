"""The decoder engine: who joins, who leaves, what they are told and what is kept."""

import itertools
import weakref
from pathlib import Path
from typing import Any

import pytest
import torch

from inference.engines.base import Delta, Failed, Finished, FinishReason, Started, Usage
from inference.engines.decoder import DecoderEngine
from inference.engines.detokenizing import decode
from inference.engines.generation import Sampling
from inference.engines.kvcache import BLOCK_TOKENS
from inference.engines.loading import LoadingError, load_causal_model
from inference.engines.prefill import LONGEST_CHUNK
from inference.errors import AisterError
from tests.inference.engines.conftest import DecoderDirectory
from tests.inference.engines.small_decoders import (
    CONTEXT_TOKENS,
    VOCABULARY,
    Driver,
    Recorder,
    ask,
    load_endless,
    make_engine,
    tokens,
)

BLOCK_BYTES = 2 * 2 * 2 * 16 * 4 * BLOCK_TOKENS  # K and V, layers, heads, head_dim, float32


def drawn(seed: int | None = 1, **options: Any) -> Sampling:
    return Sampling(seed=seed, **options)


def test_a_request_is_started_then_answered_then_finished(driver: Driver) -> None:
    (answer,) = driver.run(ask(tokens(20), max_tokens=6))
    assert isinstance(answer.progress[0], Started)
    assert all(isinstance(p, Delta) and p.text for p in answer.progress[1:-1])
    assert answer.end == Finished(FinishReason.LENGTH, Usage(20, 0, 6))


def test_the_answer_is_what_transformers_generates(driver: Driver, plain_decoder: Any) -> None:
    prompt = tokens(20)
    expected = plain_decoder("llama").generate(
        torch.tensor([prompt]), max_new_tokens=12, do_sample=False, pad_token_id=0, eos_token_id=None
    )
    (answer,) = driver.run(ask(prompt, max_tokens=12))
    assert answer.text == decode(driver.engine.text.tokenizer, expected[0, 20:].tolist())


def test_a_stop_token_ends_the_answer(decoder_directory: DecoderDirectory) -> None:
    loaded = load_causal_model(decoder_directory("llama"))
    endless = Driver(make_engine(load_endless(decoder_directory("llama"))))
    recorder = Recorder(endless.engine, lambda _: None)
    endless.run(ask(tokens(20), max_tokens=6))
    third = int(recorder.rows[2][1].argmax())
    object.__setattr__(loaded, "stop_ids", frozenset({third}))
    (answer,) = Driver(make_engine(loaded)).run(ask(tokens(20), max_tokens=6))
    assert answer.end == Finished(FinishReason.STOP, Usage(20, 0, 3))
    assert endless.engine.text.tokenizer.eos_token_id in load_causal_model(decoder_directory("llama")).stop_ids


def test_a_stop_string_ends_the_answer_and_is_left_out(driver: Driver) -> None:
    (whole,) = driver.run(ask(tokens(20), max_tokens=12))
    stop = whole.text[5:8]
    (answer,) = driver.run(ask(tokens(20), max_tokens=12, stop=(stop,)))
    assert answer.text == whole.text[: whole.text.index(stop)]
    assert answer.end.usage.output_tokens <= 12
    assert isinstance(answer.end, Finished)
    assert answer.end.reason is FinishReason.STOP


def test_deltas_joined_are_the_text_of_the_tokens(driver: Driver) -> None:
    recorder = Recorder(driver.engine, lambda _: None)
    (answer,) = driver.run(ask(tokens(20), max_tokens=200, sampling=drawn(temperature=2.0), conversation="c"))
    answered = [*recorder.rows[-1][0][20:], int(recorder.rows[-1][0][-1])]
    text = decode(driver.engine.text.tokenizer, answered[:-1])
    assert answer.text.startswith(text.rstrip("\ufffd"))
    assert len(answer.deltas) > 50


def test_a_seed_gives_the_same_tokens_alone_and_in_any_batch(driver: Driver) -> None:
    sampling = drawn(7, temperature=0.8, top_p=0.9, top_k=40, repetition_penalty=1.1)
    (alone,) = driver.run(ask(tokens(30), max_tokens=30, sampling=sampling))
    driver.admit(ask(tokens(9, start=50), max_tokens=50, key="other", sampling=drawn(3)))
    driver.step(5)
    mates = [ask(tokens(40 * n, start=n), max_tokens=10 * n, key="other", sampling=drawn(n)) for n in (1, 2, 3)]
    answers = driver.run(*mates, ask(tokens(30), max_tokens=30, sampling=sampling))
    assert answers[-1].text == alone.text


def test_requests_without_a_seed_differ(driver: Driver) -> None:
    first, second = driver.run(*(ask(tokens(30), max_tokens=20, sampling=drawn(None)) for _ in range(2)))
    assert first.text != second.text


def test_one_pass_decodes_for_all(driver: Driver) -> None:
    recorder = Recorder(driver.engine, lambda _: None)
    driver.admit(*(ask(tokens(5 * n), max_tokens=9) for n in range(1, 5)))
    driver.read_prompts()
    recorder.passes = 0
    driver.step(3)
    assert recorder.passes == 3


# Cancelling


def test_a_cancelled_request_ends_with_the_next_step(driver: Driver) -> None:
    request, other = ask(tokens(20), max_tokens=50), ask(tokens(20), max_tokens=5, key="other")
    driver.admit(request, other)
    driver.step(5)  # its prompt, a token, the other's prompt, two tokens
    request.is_cancelled = True
    driver.step()
    assert driver.answers[request].end == Finished(FinishReason.CANCELLED, Usage(20, 0, 4))
    driver.finish()
    assert driver.answers[other].end == Finished(FinishReason.LENGTH, Usage(20, 0, 5))


def test_a_request_cancelled_amid_its_prompt_says_what_was_read(driver: Driver) -> None:
    request = ask(tokens(LONGEST_CHUNK + 99))
    driver.admit(request)
    driver.step()
    request.is_cancelled = True
    driver.step()
    assert driver.answers[request].progress == [
        Started(),
        Finished(FinishReason.CANCELLED, Usage(LONGEST_CHUNK, 0, 0)),
    ]
    assert driver.engine.is_idle


def test_a_cancelled_conversation_goes_on_from_what_it_has(driver: Driver) -> None:
    request = ask(tokens(20), max_tokens=50, conversation="c")
    driver.admit(request)
    driver.step(4)
    request.is_cancelled = True
    (answer,) = driver.run(ask(tokens(30), conversation="c", key="key")) if driver.step() is None else (None,)
    assert answer is not None
    assert answer.end.usage.cached_tokens == 20


# What is kept


def test_regenerating_feeds_the_last_token_only(driver: Driver) -> None:
    (first,) = driver.run(ask(tokens(40), conversation="c"))
    (second,) = driver.run(ask(tokens(40), conversation="c"))
    assert second.end.usage == Usage(40, 39, 8)
    assert second.text == first.text


def test_a_conversation_runs_one_request_at_a_time(driver: Driver) -> None:
    driver.admit(ask(tokens(10), conversation="c"))
    assert not driver.engine.has_room_for(ask(tokens(10), conversation="c"))
    assert driver.engine.has_room_for(ask(tokens(10), conversation="d"))
    driver.finish()
    assert driver.engine.has_room_for(ask(tokens(10), conversation="c"))


def test_another_key_never_finds_a_cache(driver: Driver) -> None:
    driver.run(ask(tokens(40), conversation="c"), ask(tokens(50, start=7)))
    named, nameless = driver.run(
        ask(tokens(40), conversation="c", key="other"), ask([*tokens(50, start=7), 11, 12], key="other")
    )
    assert (named.end.usage.cached_tokens, nameless.end.usage.cached_tokens) == (0, 0)


def test_without_a_conversation_a_prompt_that_goes_on_finds_the_cache(driver: Driver) -> None:
    driver.run(ask(tokens(40)), ask(tokens(30, start=90)))
    (answer,) = driver.run(ask([*tokens(40), 300, 301, 302]))
    assert answer.end.usage.cached_tokens == 40


def test_without_a_conversation_a_prompt_that_parts_early_leaves_the_cache_alone(driver: Driver) -> None:
    driver.run(ask(tokens(40)))
    (other,) = driver.run(ask([*tokens(20), *tokens(20, start=200)]))
    (answer,) = driver.run(ask([*tokens(40), 300]))
    assert (other.end.usage.cached_tokens, answer.end.usage.cached_tokens) == (0, 40)


def test_nothing_is_kept_where_a_model_fills_no_cache(decoder_directory: DecoderDirectory) -> None:
    driver = Driver(make_engine(load_endless(decoder_directory("openai-gpt"))))
    for conversation in ("c", None):
        first, second = (driver.run(ask(tokens(length), conversation=conversation))[0] for length in (20, 40))
        assert (first.end.usage.cached_tokens, second.end.usage) == (0, Usage(40, 0, 8))
    assert driver.engine._store._idle == []


def test_a_forgotten_conversation_is_gone(driver: Driver) -> None:
    empty = driver.engine.memory_bytes
    driver.run(ask(tokens(40), conversation="c"))
    assert driver.engine.memory_bytes > empty
    driver.engine.forget("c")
    assert not driver.engine.is_idle
    driver.finish()
    assert driver.engine.memory_bytes == empty


def test_a_conversation_forgotten_while_it_answers_is_gone_when_it_has(driver: Driver) -> None:
    empty = driver.engine.memory_bytes
    request = ask(tokens(40), conversation="c")
    driver.admit(request)
    driver.step(2)
    driver.engine.forget("c")
    driver.finish()
    assert driver.answers[request].end.usage.output_tokens == 8
    assert driver.engine.memory_bytes == empty


# Room


def small_engine(directory: Path, blocks: int) -> DecoderEngine:
    return make_engine(load_endless(directory), cache_bytes=blocks * BLOCK_BYTES)


def test_rows_are_limited(decoder_directory: DecoderDirectory) -> None:
    driver = Driver(make_engine(load_endless(decoder_directory("llama")), max_rows=2))
    driver.admit(ask(tokens(5)), ask(tokens(6)))
    assert not driver.engine.has_room_for(ask(tokens(5)))
    driver.finish()
    assert driver.engine.has_room_for(ask(tokens(5)))


def test_room_is_kept_for_the_whole_answer(decoder_directory: DecoderDirectory) -> None:
    driver = Driver(small_engine(decoder_directory("llama"), 3))
    driver.admit(ask(tokens(10), max_tokens=BLOCK_TOKENS))
    assert driver.engine.has_room_for(ask(tokens(10)))
    assert not driver.engine.has_room_for(ask(tokens(10), max_tokens=BLOCK_TOKENS))


def test_the_longest_idle_conversations_make_room(decoder_directory: DecoderDirectory) -> None:
    driver = Driver(small_engine(decoder_directory("llama"), 3))
    for name in "abc":
        driver.run(ask(tokens(10), conversation=name))
    driver.run(ask(tokens(10), conversation="a"))
    driver.run(ask(tokens(20, start=9), conversation="d"))
    cached = {name: driver.run(ask(tokens(11), conversation=name))[0].end.usage.cached_tokens for name in "acb"}
    assert cached == {"a": 10, "c": 10, "b": 0}


def test_bytes_held_stay_within_the_budget(decoder_directory: DecoderDirectory) -> None:
    driver = Driver(small_engine(decoder_directory("llama"), 4))
    weights = driver.engine.memory_bytes
    for n in range(6):
        driver.admit(ask(tokens(200), max_tokens=100, conversation=str(n)))
        while not driver.engine.is_idle:
            driver.step()
            assert driver.engine.memory_bytes - weights <= 4 * BLOCK_BYTES
    assert driver.engine.memory_bytes - weights == 4 * BLOCK_BYTES


def test_a_conversation_made_shorter_gives_its_room_back(driver: Driver) -> None:
    weights = driver.engine.memory_bytes
    driver.run(ask(tokens(700), conversation="c"))
    assert driver.engine.memory_bytes - weights == 3 * BLOCK_BYTES
    driver.run(ask(tokens(20), conversation="c"))
    assert driver.engine.memory_bytes - weights == BLOCK_BYTES


def test_the_context_is_what_model_and_cache_both_hold(decoder_directory: DecoderDirectory) -> None:
    assert make_engine(load_endless(decoder_directory("llama"))).max_context_tokens == CONTEXT_TOKENS
    assert small_engine(decoder_directory("llama"), 2).max_context_tokens == 2 * BLOCK_TOKENS


def test_a_cache_too_small_for_one_conversation_is_refused(decoder_directory: DecoderDirectory) -> None:
    with pytest.raises(LoadingError, match=f"give it at least {BLOCK_BYTES}"):
        make_engine(load_endless(decoder_directory("llama")), cache_bytes=BLOCK_BYTES - 1)


def test_an_answer_ends_where_the_context_does(driver: Driver) -> None:
    (answer,) = driver.run(ask(tokens(CONTEXT_TOKENS - 3), max_tokens=50))
    assert answer.end == Finished(FinishReason.LENGTH, Usage(CONTEXT_TOKENS - 3, 0, 3))


# What is refused


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"prompt": []}, "empty_text"),
        ({"prompt": tokens(CONTEXT_TOKENS)}, "text_too_long"),
        ({"prompt": [VOCABULARY]}, "invalid_field"),
        ({"max_tokens": 0}, "invalid_field"),
        ({"stop": ("",)}, "invalid_field"),
        ({"sampling": Sampling(temperature=float("nan"))}, "invalid_field"),
        ({"sampling": Sampling(top_p=0.0)}, "invalid_field"),
        ({"sampling": Sampling(top_k=-1)}, "invalid_field"),
        ({"sampling": Sampling(repetition_penalty=0.0)}, "invalid_field"),
    ],
)
def test_what_can_never_be_answered_is_refused(driver: Driver, options: dict[str, Any], code: str) -> None:
    with pytest.raises(AisterError) as caught:
        driver.engine.check(ask(**{"prompt": tokens(5)} | options))
    assert caught.value.code == code


# Going wrong


def test_logits_that_are_not_finite_fail_their_request_alone(driver: Driver) -> None:
    good, bad = ask(tokens(20), max_tokens=6), ask(tokens(30), max_tokens=6, conversation="c")
    driver.admit(good, bad)
    driver.step(3)
    poison(driver, bad)
    driver.finish()
    end = driver.answers[bad].end
    assert isinstance(end, Failed)
    assert end.error.code == "internal_error"
    assert driver.answers[good].end == Finished(FinishReason.LENGTH, Usage(20, 0, 6))
    (again,) = driver.run(ask(tokens(30), max_tokens=6, conversation="c"))
    assert again.end == Finished(FinishReason.LENGTH, Usage(30, 0, 6))


def poison(driver: Driver, request: Any) -> None:
    """Make the K of a running request's first layer not a number."""
    (row,) = [row for row in driver.engine._answering if row.request is request]
    row.kept.cache._keys[0] = torch.full_like(row.kept.cache._keys[0], float("nan"))


def test_a_prompt_that_cannot_be_read_fails_alone(driver: Driver) -> None:
    good, bad = ask(tokens(20), max_tokens=6), ask(tokens(30))
    driver.admit(good)
    driver.step()
    bad.prompt = [VOCABULARY + 5]  # past what `check` saw: the embedding raises
    driver.answers[bad] = type(driver.answers[good])()
    driver.engine.admit(bad)
    driver.finish()
    assert isinstance(driver.answers[bad].end, Failed)
    assert driver.answers[good].end == Finished(FinishReason.LENGTH, Usage(20, 0, 6))


def test_after_a_step_that_raised_the_engine_goes_on(driver: Driver) -> None:
    empty = driver.engine.memory_bytes
    answering, reading, cancelled, joining = (
        ask(tokens(n), max_tokens=9, conversation=str(n)) for n in (20, 900, 30, 40)
    )
    driver.admit(answering, cancelled)
    driver.step(3)
    driver.admit(reading)
    driver.step(2)
    driver.admit(joining)
    cancelled.is_cancelled = True
    break_cache(driver, answering)
    with pytest.raises(IndexError):
        driver.step()
    driver.engine.abandon()
    assert driver.engine.is_idle
    assert driver.engine.memory_bytes > empty  # the cancelled conversation's cache is sound
    again, _ = driver.run(ask(tokens(20), conversation="20"), ask(tokens(40), conversation="40"))
    assert again.end == Finished(FinishReason.LENGTH, Usage(20, 0, 8))


def break_cache(driver: Driver, request: Any) -> None:
    """Make the decode pass raise, in the last layer."""
    (row,) = [row for row in driver.engine._answering if row.request is request]
    row.kept.cache._values[1] = torch.zeros(1)


def test_text_of_a_failed_request_is_not_logged(driver: Driver, caplog: pytest.LogCaptureFixture) -> None:
    request = ask(tokens(30))
    driver.admit(request)
    driver.step()

    def fail(token: int) -> str:
        raise ValueError(f"what the client wrote: {token // token}")

    driver.engine._answering[0]._detokenizer.push = fail  # type: ignore[method-assign]
    driver.finish()
    assert isinstance(driver.answers[request].end, Failed)
    assert "ValueError" in caplog.text
    assert "what the client wrote: 1" not in caplog.text


def test_closing_lets_go_of_weights_and_caches(driver: Driver) -> None:
    driver.run(ask(tokens(30), conversation="c"))
    driver.engine.close()
    assert driver.engine.memory_bytes == 0


def test_closing_amid_an_answer_lets_go_of_its_cache(driver: Driver) -> None:
    driver.admit(ask(tokens(30), max_tokens=50))
    driver.step(3)
    cache = weakref.ref(driver.engine._answering[0].kept.cache)
    driver.engine.close()
    assert cache() is None


def test_the_model_is_described(decoder_directory: DecoderDirectory) -> None:
    torch.set_num_threads(1)
    engine = DecoderEngine.load(decoder_directory("llama"), threads=1, max_rows=2, cache_bytes=2**22)
    assert engine.describe() == {
        "path": "packed",
        "dtype": "float32",
        "parameters": engine.parameters,
        "context_tokens": CONTEXT_TOKENS,
    }
    assert engine.memory_bytes == 4 * engine.parameters
    assert list(itertools.chain(engine.step(), engine.step())) == []
