"""Joined requests and the batches that are taken from them."""

from inference.engines.sequence_pool import LOOKAHEAD_SEQUENCES, SequencePool, SequenceRequest, Ticket
from inference.engines.translation_text import Sequence


def request(key: str, *lengths: int, num_beams: int = 1, first_token: int | None = None) -> SequenceRequest:
    sequences = tuple(Sequence(tuple(range(length)), first_token) for length in lengths)
    return SequenceRequest(key=key, sequences=sequences, num_beams=num_beams)


def batch(pool: SequencePool, *, max_sequences: int = 4) -> list[tuple[str, int]]:
    """Take a batch and return whose sequences are in it."""
    return [
        (ticket.joined.request.key, ticket.item)
        for ticket in pool.next_batch(max_tokens=1000, max_sequences=max_sequences)
    ]


def test_keys_take_turns() -> None:
    pool = SequencePool()
    pool.admit(request("a", *[10] * 6))
    pool.admit(request("b", 10, 10))
    assert batch(pool) == [("a", 0), ("b", 0), ("a", 1), ("b", 1)]
    assert batch(pool) == [("a", 2), ("a", 3), ("a", 4), ("a", 5)]
    assert batch(pool) == []


def test_requests_of_one_key_take_turns() -> None:
    pool = SequencePool()
    pool.admit(request("a", *[10] * 6))
    pool.admit(request("a", 10))
    assert batch(pool, max_sequences=2) == [("a", 0), ("a", 0)]


def test_a_text_of_another_length_is_served_in_the_second_batch() -> None:
    pool = SequencePool()
    pool.admit(request("a", *[10] * 100))
    pool.admit(request("b", 200))
    assert batch(pool)[0] == ("a", 0)
    assert batch(pool) == [("b", 0)]


def test_a_stream_of_newcomers_keeps_nobody_waiting_for_ever() -> None:
    pool = SequencePool()
    pool.admit(request("patient", *[200] * 3))
    patient_batches = []
    for number in range(12):
        newcomer = request(f"newcomer {number}", 10)
        pool.admit(newcomer)
        tickets = pool.next_batch(max_tokens=1000, max_sequences=1)
        patient_batches += [number for ticket in tickets if ticket.joined.request.key == "patient"]
    assert len(patient_batches) == 3
    assert patient_batches[-1] <= 9


def test_a_newcomer_comes_before_the_key_that_was_just_served() -> None:
    pool = SequencePool()
    pool.admit(request("a", *[200] * 5))
    assert batch(pool, max_sequences=1) == [("a", 0)]
    pool.admit(request("b", 10))
    assert batch(pool, max_sequences=1) == [("b", 0)]


def test_only_rows_that_can_share_a_pass_do() -> None:
    pool = SequencePool()
    pool.admit(request("a", 10))
    pool.admit(request("b", 10, first_token=7))
    pool.admit(request("c", 10, first_token=8))
    pool.admit(request("d", 10, num_beams=2, first_token=7))
    pool.admit(request("e", 10, num_beams=2, first_token=8))
    batches = [{key for key, _ in batch(pool)} for _ in range(4)]
    assert sorted(map(sorted, batches)) == [["a"], ["b", "c"], ["d"], ["e"]]


def test_requests_of_a_failed_batch_run_alone_and_in_order() -> None:
    pool = SequencePool()
    pool.admit(request("a", 10, 10, 10))
    pool.admit(request("b", 10))
    pool.put_back(pool.next_batch(max_tokens=1000, max_sequences=4))
    assert sorted([batch(pool), batch(pool)]) == [[("a", 0), ("a", 1), ("a", 2)], [("b", 0)]]


def test_a_long_text_is_served_in_order_beyond_the_lookahead() -> None:
    pool = SequencePool()
    count = LOOKAHEAD_SEQUENCES + 5
    pool.admit(request("a", *[5] * count))
    assert batch(pool, max_sequences=500) == [("a", item) for item in range(LOOKAHEAD_SEQUENCES)]
    assert batch(pool, max_sequences=500) == [("a", item) for item in range(LOOKAHEAD_SEQUENCES, count)]


def test_a_dropped_request_leaves_nothing() -> None:
    pool = SequencePool()
    kept, dropped = request("a", 10), request("b", 10)
    pool.admit(kept)
    pool.admit(dropped)
    pool.drop(pool.joined[dropped])
    assert len(pool) == 1
    assert batch(pool) == [("a", 0)]


def test_usage_counts_what_was_read() -> None:
    pool = SequencePool()
    pool.admit(request("a", 10, 200))
    tickets: list[Ticket] = pool.next_batch(max_tokens=1000, max_sequences=4)
    assert [ticket.item for ticket in tickets] == [0]
    assert tickets[0].joined.usage.input_tokens == 10
