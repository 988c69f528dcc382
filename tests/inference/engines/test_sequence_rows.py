"""What ends an output that has lost its way."""

from hypothesis import given
from hypothesis import strategies as st

from inference.engines.sequence_rows import LOOP_PERIOD_TOKENS, LOOP_SLACK_TOKENS, LOOP_TOKENS, cut_loop


def write(tokens: list[int], *, source_tokens: int) -> list[int]:
    """Write token by token until a loop is seen; return what is left."""
    written: list[int] = []
    for token in tokens:
        written.append(token)
        if cut_loop(written, source_tokens):
            break
    return written


@given(
    st.lists(st.integers(100, 200), max_size=10, unique=True),
    st.lists(st.integers(0, 99), min_size=1, max_size=LOOP_PERIOD_TOKENS, unique=True),
)
def test_a_loop_is_cut_after_its_first_round(start: list[int], loop: list[int]) -> None:
    assert write(start + loop * 60, source_tokens=5) == start + loop


@given(st.lists(st.integers(0, 10_000), max_size=200, unique=True))
def test_text_that_does_not_repeat_is_left_alone(tokens: list[int]) -> None:
    assert write(tokens, source_tokens=0) == tokens


@given(st.integers(1, 200))
def test_repetition_as_long_as_the_source_is_left_alone(source_tokens: int) -> None:
    chorus = [7] * (source_tokens + LOOP_SLACK_TOKENS - 1)
    assert write(chorus, source_tokens=source_tokens) == chorus


def test_a_loop_is_seen_once_it_is_long_enough() -> None:
    assert write([1, 2] * (LOOP_TOKENS // 2 - 1), source_tokens=0) == [1, 2] * (LOOP_TOKENS // 2 - 1)
    assert write([1, 2] * (LOOP_TOKENS // 2), source_tokens=0) == [1, 2]
