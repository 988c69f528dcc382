"""The choice of a batch from the sequences that wait."""

import random

from hypothesis import given
from hypothesis import strategies as st

from inference.engines.sequence_batches import LIKE_RATIO, SHORT_TOKENS, WaitingSequence, form_batch, in_turn


def waiting_sequences(*, longest: int = 300) -> st.SearchStrategy[list[WaitingSequence]]:
    """Sequences of up to four keys with up to three requests each."""
    lengths = st.integers(1, longest)
    described = st.tuples(st.sampled_from("abcd"), st.integers(0, 2), lengths, st.integers(0, 1), st.integers(-1, 9))
    return st.lists(described, max_size=30).map(
        lambda rows: [
            WaitingSequence(number, key, request, length, group, key_served=ord(key) % 3, request_served=served)
            for number, (key, request, length, group, served) in enumerate(rows)
        ]
    )


@given(waiting_sequences(), st.integers(1, 500), st.integers(1, 10))
def test_a_batch_keeps_to_its_bounds(waiting: list[WaitingSequence], max_tokens: int, max_sequences: int) -> None:
    batch = form_batch(waiting, max_tokens=max_tokens, max_sequences=max_sequences)
    lengths = [each.tokens for each in batch]
    assert len(batch) <= max_sequences
    assert len(set(batch)) == len(batch)
    assert len(batch) <= 1 or len(batch) * max(lengths) <= max_tokens
    assert not batch or max(lengths) <= max(SHORT_TOKENS, LIKE_RATIO * min(lengths))
    assert len({each.group for each in batch}) <= 1


@given(waiting_sequences())
def test_the_first_in_turn_is_always_served(waiting: list[WaitingSequence]) -> None:
    batch = form_batch(waiting, max_tokens=1, max_sequences=8)
    assert batch == in_turn(waiting)[:1]


@given(waiting_sequences(), st.randoms(use_true_random=False))
def test_the_order_of_what_waits_does_not_matter(waiting: list[WaitingSequence], shuffler: random.Random) -> None:
    shuffled = shuffler.sample(waiting, len(waiting))
    expected = form_batch(waiting, max_tokens=400, max_sequences=8)
    assert form_batch(shuffled, max_tokens=400, max_sequences=8) == expected


@given(waiting_sequences(longest=SHORT_TOKENS), st.integers(1, 8))
def test_no_key_has_two_more_places_than_another_that_still_waits(waiting: list[WaitingSequence], places: int) -> None:
    waiting = [each for each in waiting if each.group == 0]
    batch = form_batch(waiting, max_tokens=10_000, max_sequences=places)
    served = {key: sum(each.key == key for each in batch) for key in "abcd"}
    for key in {each.key for each in waiting if each not in batch}:
        assert all(served[other] <= served[key] + 1 for other in "abcd")


def test_nothing_waits_and_nothing_is_chosen() -> None:
    assert form_batch([], max_tokens=100, max_sequences=8) == []


def test_one_longer_than_the_bound_runs_alone() -> None:
    long, short = WaitingSequence(0, "a", 0, 900), WaitingSequence(1, "a", 0, 800)
    assert form_batch([long, short], max_tokens=500, max_sequences=8) == [long]


def test_the_key_served_longest_ago_comes_first() -> None:
    early = WaitingSequence(0, "a", 0, 5, key_served=7)
    late = WaitingSequence(1, "b", 1, 5, key_served=3)
    assert in_turn([early, late]) == [late, early]


def test_within_a_key_the_request_served_longest_ago_comes_first() -> None:
    early = WaitingSequence(0, "a", 0, 5, request_served=7)
    late = WaitingSequence(1, "a", 1, 5, request_served=3)
    assert in_turn([early, late]) == [late, early]


def test_sequences_of_unlike_length_do_not_share_a_batch() -> None:
    short, long, middling = (WaitingSequence(number, "a", 0, tokens) for number, tokens in enumerate((20, 200, 40)))
    assert form_batch([short, long, middling], max_tokens=10_000, max_sequences=8) == [short, middling]
