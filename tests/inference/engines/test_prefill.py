"""Reading prompts: whose turn it is, how much is read at once, and what those who are answering notice of it.

Time is made up: a pass takes what `Clockwork` says.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest

from inference.engines.base import Finished, FinishReason, Usage
from inference.engines.decoder import DecoderEngine
from inference.engines.prefill import FIRST_CHUNK, LONGEST_CHUNK, PREFILL_DECODES, SHORTEST_CHUNK, TURN_TOKENS
from tests.inference.engines.conftest import DecoderDirectory
from tests.inference.engines.small_decoders import Driver, ask, load_endless, make_engine, tokens


class Clockwork:
    """A runner and a clock in one: a pass takes `fixed_s`, and for each token `token_s`, more in long conversations."""

    def __init__(self, engine: DecoderEngine, *, fixed_s: float = 0.02, token_s: float = 0.0005) -> None:
        self._runner, engine._runner = engine._runner, self  # type: ignore[assignment]
        engine._clock = lambda: self.now_s
        self.now_s, self.fixed_s, self.token_s = 0.0, fixed_s, token_s
        self.path, self.reads_in_chunks = self._runner.path, self._runner.reads_in_chunks
        self.new_cache, self.cache_size = self._runner.new_cache, self._runner.cache_size
        self.chunks: list[tuple[int, int]] = []
        """Of each pass over a prompt: its conversation's first token, and how many were read."""
        self.decoded_s: list[float] = []
        """When each decode pass ended."""

    def forward(self, caches: Sequence[Any], feeds: Sequence[Sequence[int]]) -> Any:
        longest = max(len(cache.tokens) for cache in caches)
        self.now_s += self.fixed_s + self.token_s * sum(map(len, feeds)) * (1 + longest / 500)
        logits = self._runner.forward(caches, feeds)
        if len(feeds[0]) > 1:
            self.chunks.append((caches[0].tokens[0], len(feeds[0])))
        else:
            self.decoded_s.append(self.now_s)
        return logits


@pytest.fixture
def clockwork(driver: Driver) -> Clockwork:
    return Clockwork(driver.engine)


def begin(driver: Driver, *, rows: int = 1, key: str = "key") -> None:
    """Let as many requests answer, for ever."""
    driver.admit(*(ask(tokens(10, start=n), max_tokens=900, key=key) for n in range(rows)))
    driver.read_prompts()


@pytest.mark.parametrize("rows", [1, 4])
def test_while_a_long_prompt_is_read_the_others_wait_five_decode_steps_at_most(
    driver: Driver, clockwork: Clockwork, rows: int
) -> None:
    begin(driver, rows=rows)
    decode_s = clockwork.fixed_s + clockwork.token_s * rows
    clockwork.decoded_s.clear()
    driver.run_until_read(ask(tokens(1000), max_tokens=2))
    driver.step(2)
    gaps_s = [later - earlier for earlier, later in pairwise(clockwork.decoded_s)]
    assert len(gaps_s) > 3
    assert max(gaps_s) <= 5 * decode_s


def test_chunks_grow_to_what_the_machine_can_read_in_the_time_there_is(driver: Driver, clockwork: Clockwork) -> None:
    begin(driver)
    clockwork.chunks.clear()
    driver.run_until_read(ask(tokens(1000), max_tokens=2))
    sizes = [size for _, size in clockwork.chunks]
    assert sum(sizes) == 1000
    assert sizes[-2] < max(sizes)  # the longer the text, the longer each of its tokens takes
    assert all(SHORTEST_CHUNK <= size <= LONGEST_CHUNK for size in sizes[:-1])


def test_on_a_fast_machine_chunks_are_as_long_as_they_may_be(driver: Driver) -> None:
    clockwork = Clockwork(driver.engine, token_s=0.0)
    begin(driver)
    clockwork.chunks.clear()
    driver.run_until_read(ask(tokens(1000), max_tokens=2))
    sizes = [size for _, size in clockwork.chunks]
    assert sizes == [FIRST_CHUNK, *sorted(sizes[1:-1]), sizes[-1]]
    assert max(sizes) > LONGEST_CHUNK / 2


def test_before_the_speed_is_known_a_chunk_beside_others_is_small(driver: Driver, clockwork: Clockwork) -> None:
    begin(driver)
    clockwork.chunks.clear()
    driver.admit(ask(tokens(1000), max_tokens=2))
    driver.step(2)
    assert clockwork.chunks[0][1] == FIRST_CHUNK


def test_while_nobody_answers_a_prompt_is_read_in_the_longest_chunks(driver: Driver, clockwork: Clockwork) -> None:
    driver.run_until_read(ask(tokens(1000), max_tokens=2))
    assert [size for _, size in clockwork.chunks] == [LONGEST_CHUNK, 1000 - LONGEST_CHUNK]


def test_many_short_prompts_are_read_in_one_step(driver: Driver) -> None:
    clockwork = Clockwork(driver.engine, fixed_s=0.001, token_s=0.0)
    driver.admit(*(ask(tokens(20, start=n), max_tokens=9) for n in range(8)))
    driver.step()
    assert len(clockwork.chunks) == 8


def test_of_two_long_prompts_each_is_read_a_turn_at_a_time(driver: Driver, clockwork: Clockwork) -> None:
    first, second = tokens(TURN_TOKENS + 100), tokens(TURN_TOKENS + 100, start=5)
    driver.admit(ask(first, max_tokens=1), ask(second, max_tokens=1))
    driver.finish()
    starts = [first[0], second[0], first[0], second[0]]
    assert [start for start, _ in clockwork.chunks] == starts


def test_the_prompt_of_a_key_with_fewer_requests_is_read_first(driver: Driver, clockwork: Clockwork) -> None:
    begin(driver, rows=3)
    clockwork.chunks.clear()
    driver.admit(*(ask(tokens(60, start=100 + n)) for n in range(3)))
    driver.admit(ask(tokens(60, start=200), key="other"))
    driver.read_prompts()
    assert clockwork.chunks[0][0] == tokens(1, start=200)[0]


def test_a_request_that_comes_during_a_decode_pass_is_read_after_it(driver: Driver, clockwork: Clockwork) -> None:
    begin(driver)
    if not driver.engine._has_decoded:
        driver.step()
    clockwork.chunks.clear()
    driver.admit(ask(tokens(60, start=7)))
    driver.step()
    assert [size for _, size in clockwork.chunks] == [60]


def just_decoded(driver: Driver) -> Clockwork:
    """Let somebody be answering, the last pass a decode; return the clockwork, with nothing on it so far."""
    clockwork = Clockwork(driver.engine, token_s=0.0)
    begin(driver)
    if not driver.engine._has_decoded:
        driver.step()
    clockwork.chunks.clear()
    clockwork.decoded_s.clear()
    return clockwork


def test_a_request_that_comes_while_prompts_are_read_has_the_next_turn(driver: Driver) -> None:
    clockwork = just_decoded(driver)
    driver.admit(*(ask(tokens(60, start=100 + n)) for n in range(4)))
    driver.step()
    assert len(clockwork.chunks) == 1
    driver.admit(ask(tokens(60, start=200), key="other"))
    driver.step()
    assert clockwork.chunks[1][0] == tokens(1, start=200)[0]
    assert not clockwork.decoded_s


def test_prompts_are_read_until_the_time_of_some_decode_passes_is_over(driver: Driver) -> None:
    clockwork = just_decoded(driver)
    driver.admit(*(ask(tokens(60, start=100 + n)) for n in range(5)))
    driver.step(PREFILL_DECODES)
    assert len(clockwork.chunks) == PREFILL_DECODES
    assert not clockwork.decoded_s
    driver.step()
    assert len(clockwork.decoded_s) == 1


# A system prompt that conversations share


SYSTEM = tokens(300)


@pytest.mark.parametrize("architecture", ["llama", "gemma2", "stablelm"])
def test_a_system_prompt_is_read_once_for_the_conversations_of_a_key(
    decoder_directory: DecoderDirectory, architecture: str
) -> None:
    driver = Driver(make_engine(load_endless(decoder_directory(architecture))))
    asked = [[*SYSTEM, *tokens(20, start=n)] for n in (50, 60, 70)]
    alone = [driver.run(ask(prompt, key=str(n)))[0].text for n, prompt in enumerate(asked)]
    requests = [ask(prompt, conversation=str(n), shared_tokens=300) for n, prompt in enumerate(asked)]
    first, *others = driver.run(*requests)
    assert first.end == Finished(FinishReason.LENGTH, Usage(320, 0, 8))
    assert [answer.end for answer in others] == [Finished(FinishReason.LENGTH, Usage(320, 300, 8))] * 2
    assert [first.text, *(answer.text for answer in others)] == alone


def test_no_more_than_the_system_prompt_is_taken_from_another_conversation(driver: Driver) -> None:
    prompt = [*SYSTEM, *tokens(20, start=50)]
    driver.run(ask(prompt, conversation="a", shared_tokens=300))
    (answer,) = driver.run(ask(prompt, conversation="b", shared_tokens=300))
    assert answer.end.usage.cached_tokens == 300


def test_a_system_prompt_is_not_shared_between_keys(driver: Driver) -> None:
    prompt = [*SYSTEM, *tokens(20, start=50)]
    driver.run(ask(prompt, conversation="a", shared_tokens=300))
    (answer,) = driver.run(ask(prompt, conversation="b", shared_tokens=300, key="other"))
    assert answer.end.usage.cached_tokens == 0


def test_a_conversation_that_holds_more_borrows_nothing(driver: Driver) -> None:
    prompt = [*SYSTEM, *tokens(20, start=50)]
    driver.run(*(ask(prompt, conversation=name, shared_tokens=300) for name in "ab"))
    (answer,) = driver.run(ask([*prompt, 300], conversation="a", shared_tokens=300))
    assert answer.end.usage.cached_tokens == 320
