"""Lines that take turns: whoever waits for something scarce is served key by key, whatever the length of a key's line.

Used for a model's queue and for the threads that prepare requests, which each guard it with a lock of their own.
"""

from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import chain, zip_longest
from threading import Lock
from typing import Any, Generic, Protocol, TypeVar


class Waiter(Protocol):
    """What can wait: `key` says in which line, `goes_ahead` before those of the same line that do not."""

    @property
    def key(self) -> str: ...
    @property
    def goes_ahead(self) -> bool: ...


W = TypeVar("W", bound=Waiter)


class Line(Generic[W]):
    """What waits for one key: first what goes ahead, then the rest, each as it came."""

    def __init__(self) -> None:
        self.ahead: deque[W] = deque()
        self.rest: deque[W] = deque()

    def __iter__(self) -> Iterator[W]:
        return chain(self.ahead, self.rest)

    def __len__(self) -> int:
        return len(self.ahead) + len(self.rest)

    def part(self, waiter: W) -> deque[W]:
        """Return the part of the line that a waiter stands in."""
        return self.ahead if waiter.goes_ahead else self.rest


def share_of(capacity: int) -> int:
    """Return how much of something scarce one key may have: all but the last quarter, which is for others."""
    return capacity - capacity // 4


def nobody(_key: str) -> bool:
    """Hold no line back."""
    return False


class FairQueue(Generic[W]):
    """A line for each key; the keys take turns. Not for two threads at once: guarded by its owner's lock.

    `has_changed` is set by every change, for the owner to reset.
    """

    def __init__(self) -> None:
        self.lines: OrderedDict[str, Line[W]] = OrderedDict()
        self.size = 0
        self.has_changed = False

    def put(self, waiter: W) -> None:
        """Add a waiter to its key's line."""
        line = self.lines.setdefault(waiter.key, Line())
        line.part(waiter).append(waiter)
        self.size += 1
        self.has_changed = True

    def waiting(self, key: str) -> int:
        """Return how many wait for a key."""
        return len(self.lines.get(key, ()))

    def head(self, is_held: Callable[[str], bool] = nobody) -> W | None:
        """Return the waiter whose turn it is, passing over the lines of keys that are held back."""
        return next((next(iter(line)) for key, line in self.lines.items() if not is_held(key)), None)

    def take(self, waiter: W) -> None:
        """Remove the first of a line: its turn has come, and its key goes to the end of the round."""
        self.remove(waiter)
        if waiter.key in self.lines:
            self.lines.move_to_end(waiter.key)

    def remove(self, waiter: W) -> None:
        """Remove a waiter wherever it stands. Raises ValueError when it does not wait."""
        line = self.lines[waiter.key]
        line.part(waiter).remove(waiter)
        self.size -= 1
        self.has_changed = True
        if not line:
            del self.lines[waiter.key]

    def in_order(self, is_held: Callable[[str], bool] = nobody) -> list[W]:
        """Return all waiters in the order in which they would be taken if no other came, as things stand: those of keys
        that are held back after all others.
        """
        held = {key for key in self.lines if is_held(key)}
        free = rounds_of([line for key, line in self.lines.items() if key not in held])
        return [*free, *rounds_of([self.lines[key] for key in self.lines if key in held])]


def rounds_of(lines: Sequence[Line[W]]) -> list[W]:
    """Return who stands in the lines, the first of each, then the second of each, and so on."""
    rows = zip_longest(*lines)
    return [waiter for row in rows for waiter in row if waiter is not None]


@dataclass(eq=False, slots=True)
class Job:
    """A call that waits for a thread."""

    key: str
    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    future: "Future[Any]" = field(default_factory=Future)
    goes_ahead: bool = False


class FairPool:
    """A few threads for short work, on which the keys take turns. Any thread; its threads start at first use.

    Nothing here bounds what waits: whoever submits does, for requests the ledger with its places. A job's future is
    resolved whatever the job raises.
    """

    def __init__(self, threads: int, name: str) -> None:
        self.pool = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self.queue: FairQueue[Job] = FairQueue()
        self.lock = Lock()

    def submit(self, key: str, function: Callable[..., Any], *arguments: Any) -> "Future[Any]":
        """Call the function on one of the threads when the key's turn has come; the future has what came of it."""
        job = Job(key, function, arguments)
        with self.lock:
            self.queue.put(job)
        self.pool.submit(self.run_next)  # as many turns as jobs; whose job it is, the turn decides
        return job.future

    def run_next(self) -> None:
        """Run the job whose turn it is. On one of the pool's threads."""
        with self.lock:
            job = self.queue.head()
            if job is None:
                return
            self.queue.take(job)
        if not job.future.set_running_or_notify_cancel():
            return
        try:
            job.future.set_result(job.function(*job.arguments))
        except BaseException as fault:
            job.future.set_exception(fault)
