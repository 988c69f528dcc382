"""Who makes room when there are too many connections, and how many there may be."""

import resource

import pytest

from aister_site import crowd
from aister_site.crowd import Crowd


class Connection:
    """A connection that says whether it was dropped."""

    def __init__(self, crowd: Crowd) -> None:
        self.is_dropped = False
        crowd.join(self)

    def abortConnection(self) -> None:  # noqa: N802  # Twisted's name
        self.is_dropped = True


def dropped(connections: list[Connection]) -> list[int]:
    """Return which connections were dropped."""
    return [number for number, connection in enumerate(connections) if connection.is_dropped]


def test_the_one_that_waits_longest_makes_room() -> None:
    held = Crowd(most_open=100, most_waiting=3)
    connections = [Connection(held) for _ in range(5)]
    assert dropped(connections) == [0, 1]


def test_who_is_served_makes_no_room_and_who_waits_again_comes_last() -> None:
    held = Crowd(most_open=100, most_waiting=2)
    connections = [Connection(held)]
    held.serve(connections[0])
    connections += [Connection(held) for _ in range(3)]
    assert dropped(connections) == [1]
    held.wait(connections[0])
    assert dropped(connections) == [1, 2]
    held.wait(connections[3])  # waits already: it stays where it was
    connections.append(Connection(held))
    assert dropped(connections) == [1, 2, 3]


def test_all_together_are_bounded_and_those_being_served_are_never_cut_off() -> None:
    held = Crowd(most_open=3, most_waiting=100)
    connections = [Connection(held) for _ in range(3)]
    for connection in connections:
        held.serve(connection)
    connections.append(Connection(held))
    assert dropped(connections) == [3]
    held.leave(connections[0])
    connections.append(Connection(held))
    assert dropped(connections) == [3]


def test_who_has_gone_neither_waits_nor_counts() -> None:
    held = Crowd(most_open=2, most_waiting=2)
    gone = Connection(held)
    held.leave(gone)
    held.leave(gone)
    held.wait(gone)
    connections = [Connection(held) for _ in range(2)]
    assert dropped([gone, *connections]) == []
    assert len(held.open) == len(held.waiting) == 2


@pytest.mark.parametrize(
    ("soft", "hard", "needed", "expected"),
    [
        (100, 1_000, 500, 500),
        (100, 300, 500, 300),
        (800, 1_000, 500, 800),
        (100, -1, 500, 500),
        (-1, -1, 500, 1_000_000),
    ],
)
def test_a_process_may_open_as_many_files_as_it_needs(
    monkeypatch: pytest.MonkeyPatch, soft: int, hard: int, needed: int, expected: int
) -> None:
    limits = [(soft, hard)]
    monkeypatch.setattr(resource, "getrlimit", lambda _which: limits[-1])
    monkeypatch.setattr(resource, "setrlimit", lambda _which, pair: limits.append(pair))
    assert crowd.raise_file_limit(needed) == expected
    assert limits[-1] == ((expected if len(limits) > 1 else soft), hard)


def test_a_system_that_counts_no_files_sets_no_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crowd, "resource", None)
    assert crowd.raise_file_limit(5_000) == crowd.hard_file_limit() == crowd.UNLIMITED


def test_a_system_that_promises_more_files_than_it_gives_is_believed_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_which: int, _pair: tuple[int, int]) -> None:
        raise ValueError("current limit exceeds maximum limit")

    monkeypatch.setattr(resource, "getrlimit", lambda _which: (256, resource.RLIM_INFINITY))
    monkeypatch.setattr(resource, "setrlimit", refuse)
    assert crowd.raise_file_limit(5_000) == 256
    assert crowd.for_sessions(4_096).most_open == 1
