"""How many connections there may be, whoever they are from, and which of them goes when there are too many.

Event loop only. A connection waits while nothing is being done for it: its request is not whole, or answered, or its
session is over. So far nobody knows who it is, so it costs a client nothing, and the one that has waited longest makes
room for the next. Those that are being answered, and sessions, which need a key, are never cut off.
"""

from typing import Protocol

try:
    import resource
except ImportError:  # pragma: no cover  # Windows counts no files
    resource = None  # type: ignore[assignment]

MOST_WAITING = 1_024  # up to 30 MB, where they shook hands and were refused
OTHER_FILES = 256  # the database, the models, the log, and what threads open for a moment
BEING_ANSWERED = 256  # requests over HTTP for which there should be files beside all sessions
UNLIMITED = 1_000_000


class Droppable(Protocol):
    """What the crowd does with a connection."""

    def abortConnection(self) -> None:  # noqa: N802  # Twisted's name
        """Drop it."""


class Crowd:
    """The open connections. At most `most_open`, at most `most_waiting` of them waiting."""

    def __init__(self, most_open: int, most_waiting: int = MOST_WAITING) -> None:
        self.most_open = most_open
        self.most_waiting = most_waiting
        self.open: set[Droppable] = set()
        self.waiting: dict[Droppable, None] = {}  # the one that has waited longest comes first

    def join(self, transport: Droppable) -> None:
        """A connection is made, and waits."""
        self.open.add(transport)
        self.wait(transport)

    def wait(self, transport: Droppable) -> None:
        """Nothing is done for a connection from now on; nothing happens when it is gone."""
        if transport in self.open:
            self.waiting.setdefault(transport)
            self.make_room()

    def serve(self, transport: Droppable) -> None:
        """A connection's request is whole: it waits no more."""
        self.waiting.pop(transport, None)

    def leave(self, transport: Droppable) -> None:
        """A connection is lost; nothing happens when it was dropped before."""
        self.open.discard(transport)
        self.waiting.pop(transport, None)

    def make_room(self) -> None:
        """Drop those that have waited longest while there are too many."""
        while self.waiting and (len(self.open) > self.most_open or len(self.waiting) > self.most_waiting):
            longest = next(iter(self.waiting))
            self.leave(longest)
            longest.abortConnection()


def files_needed(sessions: int) -> int:
    """Return how many files this process may have to hold open at the same time."""
    return sessions + MOST_WAITING + BEING_ANSWERED + OTHER_FILES


def raise_file_limit(needed: int) -> int:
    """Let this process open as many files as it needs, or as it may; return how many that are."""
    if resource is None:
        return UNLIMITED
    soft, hard = (UNLIMITED if n == resource.RLIM_INFINITY else n for n in resource.getrlimit(resource.RLIMIT_NOFILE))
    wanted = min(needed, hard)
    if wanted <= soft:
        return soft
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    except (OSError, ValueError):  # macOS says that there is no limit, and has one
        return soft
    return wanted


def hard_file_limit() -> int:
    """Return how many files a process may open at most, on this machine."""
    if resource is None:
        return UNLIMITED
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return UNLIMITED if hard == resource.RLIM_INFINITY else hard


def for_sessions(sessions: int) -> Crowd:
    """Return a crowd with room for so many sessions, as far as this machine allows."""
    return Crowd(max(1, raise_file_limit(files_needed(sessions)) - OTHER_FILES))
