"""Encoding as the tokenizers library does, but for other threads, which go on meanwhile."""

import sys
import threading
from collections.abc import Callable, Iterator

import pytest

from inference.engines.encoding import encode, encode_ids
from tests.inference.engines.small_decoders import TEXTS, train_tokenizer

BACKEND = train_tokenizer().backend_tokenizer
LONG = "🎉" * 50_000


@pytest.fixture
def nobody_is_interrupted() -> Iterator[None]:
    """Let the interpreter pass to another thread only where it is given away."""
    interval_s = sys.getswitchinterval()
    sys.setswitchinterval(60)
    yield
    sys.setswitchinterval(interval_s)


def runs_beside(function: Callable[[], object]) -> bool:
    """Say whether another thread had its turn while the function ran."""
    order: list[str] = []
    waiting, go = threading.Event(), threading.Lock()

    def other() -> None:
        waiting.set()
        with go:
            order.append("other")

    with go:
        thread = threading.Thread(target=other)
        thread.start()
        waiting.wait()
    function()
    order.append("function")
    thread.join()
    return order[0] == "other"


@pytest.mark.usefixtures("nobody_is_interrupted")
@pytest.mark.parametrize("function", [encode, encode_ids])
def test_other_threads_run_while_a_long_text_is_encoded(function: Callable[..., object]) -> None:
    assert any(runs_beside(lambda: function(BACKEND, LONG)) for _ in range(5))


@pytest.mark.parametrize("text", [*TEXTS, "", "a<|im_end|>b"])
def test_tokens_and_places_are_those_of_the_library(text: str) -> None:
    expected = BACKEND.encode(text, add_special_tokens=False)
    assert encode_ids(BACKEND, text) == expected.ids
    assert (encode(BACKEND, text).ids, encode(BACKEND, text).offsets) == (expected.ids, expected.offsets)
