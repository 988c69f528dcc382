"""Whatever the engine does with caches, its logits are those of a plain forward pass over the same tokens.

Every scenario is played twice: as it is, and with one position of one cache made wrong, which must be seen.
"""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from inference.engines.kvcache import KVCache
from tests.inference.engines.conftest import DecoderDirectory
from tests.inference.engines.small_decoders import (
    PACKED,
    SINGLE,
    Driver,
    Recorder,
    ask,
    load_endless,
    make_engine,
    tokens,
)

TOLERANCE = 1e-4
Plain = Callable[[str], torch.nn.Module]


def play_alone(driver: Driver) -> None:
    driver.run(ask(tokens(40)))


def play_batched(driver: Driver) -> None:
    driver.admit(ask(tokens(30)), ask(tokens(7, start=90)))
    driver.step(4)
    driver.admit(ask(tokens(55, start=200)))
    driver.finish()


def play_chunked(driver: Driver) -> None:
    driver.run(ask(tokens(600), max_tokens=2))


def play_cached(driver: Driver) -> None:
    driver.run(ask(tokens(40), conversation="c"))
    (answer,) = driver.run(ask(tokens(60), conversation="c"))
    assert answer.end.usage.input_tokens == 60


def play_cut_back(driver: Driver) -> None:
    driver.run(ask(tokens(50), conversation="c"))
    driver.run(ask([*tokens(30), *tokens(20, start=300)], conversation="c"))


# The pass before which a cache is spoilt: in the second chunk, in the second turn, or amid decoding.
SCENARIOS = {play_alone: 3, play_batched: 6, play_chunked: 1, play_cached: 8, play_cut_back: 8}
REUSING = {play_cached: 40, play_cut_back: 30}


def spoil_last_position(cache: Any) -> None:
    """Make K and V of the last position in the first layer those of the position before it."""
    last = len(cache.tokens) - 1
    if isinstance(cache, KVCache):
        found = [cache._keys[0], cache._values[0]]
    else:
        found = [cache.past.layers[0].keys, cache.past.layers[0].values]
    for tensor in found:
        tensor[:, :, last] = tensor[:, :, last - 1]


def worst_error(name: str, directory: DecoderDirectory, plain: Plain, play: Any, spoil_at: int | None = None) -> float:
    engine = make_engine(load_endless(directory(name)))
    assert engine.path == ("packed" if name in PACKED else "single")
    recorder = Recorder(engine, spoil_last_position, spoil_at)
    play(Driver(engine))
    return recorder.worst_error(plain(name))


@pytest.mark.parametrize("play", SCENARIOS)
@pytest.mark.parametrize("name", [*PACKED, *SINGLE])
def test_logits_are_those_of_a_plain_pass(
    name: str, play: Any, decoder_directory: DecoderDirectory, plain_decoder: Plain
) -> None:
    assert worst_error(name, decoder_directory, plain_decoder, play) < TOLERANCE


@pytest.mark.parametrize("play", SCENARIOS)
@pytest.mark.parametrize("name", ["llama", "gemma2", "gpt2", "gpt_neo", "stablelm"])
def test_one_wrong_position_shows_in_the_logits(
    name: str, play: Any, decoder_directory: DecoderDirectory, plain_decoder: Plain
) -> None:
    assert worst_error(name, decoder_directory, plain_decoder, play, SCENARIOS[play]) > 10 * TOLERANCE


@pytest.mark.parametrize(("play", "shared"), REUSING.items())
@pytest.mark.parametrize("name", ["llama", "gemma2", "gpt_neo"])
def test_what_a_conversation_shares_with_its_cache_is_not_computed_again(
    name: str, play: Any, shared: int, decoder_directory: DecoderDirectory
) -> None:
    driver = Driver(make_engine(load_endless(decoder_directory(name))))
    play(driver)
    first, second = driver.answers.values()
    assert first.end.usage.cached_tokens == 0
    assert second.end.usage.cached_tokens == shared


def test_a_cache_that_cannot_go_back_is_filled_again(decoder_directory: DecoderDirectory) -> None:
    driver = Driver(make_engine(load_endless(decoder_directory("lfm2"))))
    play_cut_back(driver)
    assert [answer.end.usage.cached_tokens for answer in driver.answers.values()] == [0, 0]


def test_a_cache_that_cannot_go_back_can_go_on(decoder_directory: DecoderDirectory) -> None:
    driver = Driver(make_engine(load_endless(decoder_directory("lfm2"))))
    driver.run(ask(tokens(20), max_tokens=1, conversation="c"))
    (second,) = driver.run(ask(tokens(30), conversation="c"))
    assert second.end.usage.cached_tokens == 20
