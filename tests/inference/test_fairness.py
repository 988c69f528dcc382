"""Lines that take turns: whose turn it is, and threads that jobs of many keys share."""

from concurrent.futures import Future
from threading import Event

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.engines.base import EngineRequest
from inference.fairness import FairPool, FairQueue, share_of

Arrivals = st.lists(st.tuples(st.sampled_from("abcd"), st.booleans(), st.booleans()), max_size=30)


def pop(queue: FairQueue[EngineRequest]) -> EngineRequest:
    head = queue.head()
    assert head is not None
    queue.take(head)
    return head


def test_keys_take_turns_whatever_the_length_of_their_lines() -> None:
    queue: FairQueue[EngineRequest] = FairQueue()
    for key in "aaabbc":
        queue.put(EngineRequest(key=key))
    assert [pop(queue).key for _ in range(6)] == ["a", "b", "c", "a", "b", "a"]


def test_in_a_line_what_goes_ahead_is_first_and_each_part_keeps_its_order() -> None:
    queue: FairQueue[EngineRequest] = FairQueue()
    requests = [EngineRequest(key="a", goes_ahead=ahead) for ahead in (False, True, False, True)]
    for request in requests:
        queue.put(request)
    assert [pop(queue) for _ in range(4)] == [requests[n] for n in (1, 3, 0, 2)]


def test_a_line_that_is_held_back_keeps_its_place() -> None:
    queue: FairQueue[EngineRequest] = FairQueue()
    for key in "ab":
        queue.put(EngineRequest(key=key))
    other = queue.head(lambda key: key == "a")
    assert other is not None
    assert other.key == "b"
    assert queue.head(lambda _: True) is None
    assert pop(queue).key == "a"


@given(Arrivals, st.sets(st.sampled_from("abcd")))
def test_the_told_order_puts_what_is_held_back_behind_the_others(
    arrivals: list[tuple[str, bool, bool]], held: set[str]
) -> None:
    queue: FairQueue[EngineRequest] = FairQueue()
    for key, goes_ahead, _ in arrivals:
        queue.put(EngineRequest(key=key, goes_ahead=goes_ahead))
    told = queue.in_order(held.__contains__)
    taken = []
    for is_held in (held.__contains__, lambda _: False):  # all that may join, then the rest
        while (head := queue.head(is_held)) is not None:
            queue.take(head)
            taken.append(head)
    assert told == taken


@given(Arrivals)
def test_the_told_order_is_the_order_of_service(arrivals: list[tuple[str, bool, bool]]) -> None:
    queue: FairQueue[EngineRequest] = FairQueue()
    for key, goes_ahead, pops in arrivals:
        queue.put(EngineRequest(key=key, goes_ahead=goes_ahead))
        if pops:
            pop(queue)
    told = queue.in_order()
    assert len(told) == queue.size == sum(queue.waiting(key) for key in "abcd")
    assert [pop(queue) for _ in told] == told
    assert (queue.lines, queue.size) == ({}, 0)


@given(Arrivals)
def test_who_leaves_a_line_changes_nobody_elses_order(arrivals: list[tuple[str, bool, bool]]) -> None:
    queue: FairQueue[EngineRequest] = FairQueue()
    leaving = {}
    for key, goes_ahead, leaves in arrivals:
        request = EngineRequest(key=key, goes_ahead=goes_ahead)
        queue.put(request)
        leaving[request] = leaves
    staying = {key: [r for r in queue.in_order() if r.key == key and not leaving[r]] for key in "abcd"}
    for request, leaves in leaving.items():
        if leaves:
            queue.has_changed = False
            queue.remove(request)
            assert queue.has_changed
    assert {key: [r for r in queue.in_order() if r.key == key] for key in "abcd"} == staying


def test_a_quarter_is_left_to_others_where_there_is_one() -> None:
    assert [share_of(capacity) for capacity in (1, 2, 3, 4, 8, 32)] == [1, 2, 3, 3, 6, 24]


# Threads


def test_the_jobs_of_one_key_do_not_keep_another_waiting() -> None:
    pool, begun, gate, order = FairPool(1, "test"), Event(), Event(), list[str]()

    def job(key: str) -> str:
        begun.set()
        assert gate.wait(10)
        order.append(key)
        return key.upper()

    first = pool.submit("first", job, "first")
    assert begun.wait(10)
    futures: list[Future[str]] = [pool.submit(key, job, key) for key in "aaaab"]
    gate.set()
    assert [future.result(10) for future in (first, *futures)] == ["FIRST", "A", "A", "A", "A", "B"]
    assert order == ["first", "a", "b", "a", "a", "a"]


def test_a_job_that_raises_tells_who_waits_for_it_and_harms_no_other() -> None:
    pool = FairPool(1, "test")

    def fail() -> None:
        raise ValueError("no")

    bad, good = pool.submit("a", fail), pool.submit("a", int, "5")
    with pytest.raises(ValueError, match="no"):
        bad.result(10)
    assert good.result(10) == 5


def test_a_job_that_was_cancelled_is_not_run() -> None:
    pool, gate, ran = FairPool(1, "test"), Event(), list[int]()
    pool.submit("a", gate.wait, 10)
    cancelled, after = pool.submit("a", ran.append, 1), pool.submit("a", ran.append, 2)
    assert cancelled.cancel()
    gate.set()
    after.result(10)
    assert ran == [2]
