"""One bounded, fair queue and one thread for each loaded model.

Threads: `submit`, `cancel` and `call` may be called from any thread; the scheduler's own thread alone touches the
engine. A listener is called on the event loop captured at `submit`; one `call_soon_threadsafe` a step carries
everything for that loop.

Promises: every request submitted is told exactly one end (`Finished` or `Failed`), also when the engine raises, when
the thread dies and when the scheduler stops. The queue is bounded; a full one refuses with `overloaded` before
anything runs, and what has waited for `patience_s` fails with it. One key can take neither the whole queue nor the
whole engine: the last quarter of both is for others.
"""

import asyncio
import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

from inference.engines.base import Engine, EngineRequest, Failed, Finished, FinishReason, Output, Progress, Usage
from inference.errors import AisterError, trace
from inference.fairness import FairQueue, share_of

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Queued:
    """The request waits; as things stand, `position` - 1 others will join before it.

    What its key's share holds back stands behind all that may join now, so a position can grow as well. Beyond EXACT, a
    request is told only when it has moved by a tenth.
    """

    position: int


EXACT = 10  # up to this position each move is told

R = TypeVar("R", bound=EngineRequest)
News = Progress | Queued
Hear = Callable[[News], None]


@dataclass(slots=True)
class Ticket:
    """Who hears of a request, until when it may wait, and the position last told."""

    loop: asyncio.AbstractEventLoop
    listener: Hear
    deadline_s: float
    position: int = 0


class Pace:
    """How fast a model gets through its requests: a moving average, in seconds a request."""

    def __init__(self) -> None:
        self.last_end_s: float | None = None
        self.mean_s = 1.0

    def ended(self, now_s: float, count: int) -> None:
        """Take note that `count` requests ended; gaps while idle count as 5 s at most."""
        if self.last_end_s is not None and count:
            gap_s = min(now_s - self.last_end_s, 5.0) / count
            self.mean_s += 0.2 * (gap_s - self.mean_s)
        self.last_end_s = now_s

    def wait_s(self, waiting: int) -> float:
        """Return how long `waiting` requests will take, between 1 and 60 seconds."""
        return round(min(max(self.mean_s * waiting, 1.0), 60.0), 1)


class Scheduler(Generic[R]):
    """Feeds one engine from one queue, on one thread."""

    def __init__(
        self,
        name: str,
        engine: Engine[R],
        *,
        capacity: int,
        patience_s: float = math.inf,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self.engine = engine
        self.capacity = capacity
        self.patience_s = patience_s
        self.clock = clock
        self.queue: FairQueue[R] = FairQueue()
        self.tickets: dict[EngineRequest, Ticket] = {}
        self.held: set[str] = set()
        self.calls: deque[Callable[[], None]] = deque()
        self.pace = Pace()
        self.is_stopping = False
        self.wakeup = threading.Condition()
        self.thread = threading.Thread(target=self.run, name=f"aister-model-{name}", daemon=True)

    def start(self) -> None:
        """Start the thread. Called once."""
        self.thread.start()

    @property
    def is_alive(self) -> bool:
        """True while requests can be submitted."""
        return self.thread.is_alive() and not self.is_stopping

    # -- any thread ---------------------------------------------------------------------------------------------------

    def submit(self, request: R, listener: Hear) -> None:
        """Queue a request; `listener` hears of it on the calling thread's event loop.

        Raises AisterError: what `engine.check` says, `overloaded` when the queue is full, `restarting` when the
        scheduler stops.
        """
        self.engine.check(request)
        ticket = Ticket(asyncio.get_running_loop(), listener, self.clock() + self.patience_s)
        with self.wakeup:
            if not self.is_alive:
                raise AisterError("restarting")
            self.check_place(request.key)
            self.queue.put(request)
            self.tickets[request] = ticket
            self.wakeup.notify()

    def check_place(self, key: str) -> None:
        """Raise AisterError (overloaded) when the queue is full, or the key has its share of it."""
        if self.queue.size >= self.capacity:
            raise AisterError("overloaded", retry_after_s=self.pace.wait_s(self.queue.size))
        waiting = self.queue.waiting(key)
        if waiting >= share_of(self.capacity):
            message = (
                f"This key has {waiting} requests waiting for the model, as many as one may have. Try again later."
            )
            raise AisterError("overloaded", message, retry_after_s=self.pace.wait_s(waiting))

    def cancel(self, request: EngineRequest) -> None:
        """Cancel a request, waiting or running; its end follows within a step. Nothing happens when it has ended."""
        request.is_cancelled = True
        with self.wakeup:
            self.wakeup.notify()

    def call(self, function: Callable[[], None]) -> None:
        """Run `function` on the scheduler's thread, between steps."""
        with self.wakeup:
            self.calls.append(function)
            self.wakeup.notify()

    def stop(self) -> None:
        """End everything with `restarting` and close the engine; returns when the thread has ended."""
        with self.wakeup:
            self.is_stopping = True
            self.wakeup.notify()
        if self.thread is not threading.current_thread():
            self.thread.join()

    # -- the scheduler's thread ---------------------------------------------------------------------------------------

    def run(self) -> None:
        """Run until stopped. Whatever happens here, nobody is left waiting."""
        error = AisterError("restarting")
        try:
            while self.wait_for_work():
                self.turn()
        except BaseException as fault:
            error = AisterError("internal_error")
            log.critical("The thread of model %s died.\n%s", self.name, trace(fault))
        finally:
            with self.wakeup:
                self.is_stopping = True
            self.fail_everything(error)
            self.engine.close()

    def wait_for_work(self) -> bool:
        """Sleep until there is something to do; return False when it is to stop."""
        with self.wakeup:
            self.wakeup.wait_for(lambda: self.is_stopping or self.calls or self.queue.size or not self.engine.is_idle)
            return not self.is_stopping

    def turn(self) -> None:
        """Let requests join, run one step, and tell what came of it."""
        self.make_calls()
        outputs: list[tuple[EngineRequest, News]] = [*self.drop_waiting(), *self.admit_waiting()]
        outputs += self.positions()
        if not self.engine.is_idle:
            outputs += self.step()
        self.deliver(outputs)

    def make_calls(self) -> None:
        """Run what `call` was given."""
        while self.calls:
            function = self.calls.popleft()
            try:
                function()
            except Exception as fault:
                log.error("A call on the thread of model %s failed.\n%s", self.name, trace(fault))

    def drop_waiting(self) -> list[Output]:
        """End the requests that were cancelled while they waited, and those that have waited too long."""
        now_s, dropped = self.clock(), list[Output]()
        with self.wakeup:
            for request in self.queue.in_order():
                if request.is_cancelled:
                    dropped.append((request, Finished(FinishReason.CANCELLED, Usage())))
                elif self.tickets[request].deadline_s <= now_s:
                    dropped.append((request, Failed(self.too_late())))
                else:
                    continue
                self.queue.remove(request)
        return dropped

    def too_late(self) -> AisterError:
        """Return what a client is told whose request has waited too long."""
        message = f"The request has waited {self.patience_s:g} s for the model. Try again later."
        return AisterError("overloaded", message, retry_after_s=self.pace.wait_s(self.queue.size))

    def admit_waiting(self) -> list[Output]:
        """Let requests join while there is room, each key in its turn; return those that failed to."""
        failed: list[Output] = []
        while (request := self.next_to_admit()) is not None:
            try:
                self.engine.admit(request)
            except Exception as fault:
                failed.append((request, Failed(as_aister_error(fault))))
        return failed

    def next_to_admit(self) -> R | None:
        """Take the request whose turn it is, if the engine has room for it. Keys that have their share wait.

        An idle engine takes whatever `check` let through, so that a wrong estimate of room can't stop the queue for
        ever.
        """
        with self.wakeup:
            head = self.queue.head(self.engine.has_its_share)
            if head is None or not (self.engine.has_room_for(head) or self.engine.is_idle):
                return None
            self.queue.take(head)
            return head

    def positions(self) -> list[tuple[EngineRequest, News]]:
        """Return the new positions of the requests that have moved: events for hundreds at each turn take time."""
        changed: list[tuple[EngineRequest, News]] = []
        with self.wakeup:
            held = {key for key in self.queue.lines if self.engine.has_its_share(key)}
            if not self.queue.has_changed and held == self.held:
                return []
            self.queue.has_changed, self.held = False, held
            for position, request in enumerate(self.queue.in_order(held.__contains__), start=1):
                ticket = self.tickets[request]
                if has_moved(ticket.position, position):
                    ticket.position = position
                    changed.append((request, Queued(position)))
        return changed

    def step(self) -> list[Output]:
        """Run one step; when the engine raises, its whole batch fails and the next one starts afresh."""
        try:
            return self.engine.step()
        except Exception as fault:
            log.error("A step of model %s failed.\n%s", self.name, trace(fault))
            self.engine.abandon()
            return [(request, Failed(AisterError("internal_error"))) for request in self.joined()]

    def joined(self) -> list[EngineRequest]:
        """Return the requests that have joined and were told no end: also one whose end was lost with a step."""
        with self.wakeup:
            waiting = set(self.queue.in_order())
            return [request for request in self.tickets if request not in waiting]

    def fail_everything(self, error: AisterError) -> None:
        """Tell everyone who is still waiting that it is over, and forget what they asked."""
        with self.wakeup:
            requests, self.queue = list(self.tickets), FairQueue()
        self.deliver([(request, Failed(error)) for request in requests])

    def deliver(self, outputs: Iterable[tuple[EngineRequest, News]]) -> None:
        """Tell the listeners, one call for each event loop. A request that has been told its end hears nothing more."""
        by_loop: dict[asyncio.AbstractEventLoop, list[tuple[Hear, News]]] = {}
        ended = 0
        for request, news in outputs:
            is_end = isinstance(news, Finished | Failed)
            with self.wakeup:
                ticket = self.tickets.pop(request, None) if is_end else self.tickets.get(request)
            if ticket is not None:
                by_loop.setdefault(ticket.loop, []).append((ticket.listener, news))
                ended += is_end
        self.pace.ended(self.clock(), ended)
        for loop, calls in by_loop.items():
            self.tell(loop, calls)

    def tell(self, loop: asyncio.AbstractEventLoop, calls: list[tuple[Hear, News]]) -> None:
        """Call the listeners on their loop. A loop that has closed has nobody left to tell."""
        try:
            loop.call_soon_threadsafe(call_listeners, calls)
        except RuntimeError:
            log.warning("An event loop closed before %d outputs of model %s reached it.", len(calls), self.name)


def has_moved(told: int, position: int) -> bool:
    """Say whether it matters to somebody who was told one position (0 for none yet) that it is another now."""
    return position != told if position <= EXACT else abs(position - told) * 10 >= told


def call_listeners(calls: list[tuple[Hear, News]]) -> None:
    """Call each listener; one that raises does not keep the others from hearing. Runs on the event loop."""
    for listener, news in calls:
        try:
            listener(news)
        except Exception as fault:
            log.error("A listener failed.\n%s", trace(fault))


def as_aister_error(fault: Exception) -> AisterError:
    """Return the error for the client; what is not meant for clients is logged and becomes `internal_error`."""
    if isinstance(fault, AisterError):
        return fault
    log.error("A request could not join.\n%s", trace(fault))
    return AisterError("internal_error")
