"""The scheduler, in any order of what may happen to it: requests that come, wait, run and are cancelled, steps that
fail, time, a thread that dies, the end.

A real thread; it stops inside each step of a scripted engine, so that all else happens meanwhile. The clock is the
test's. `make torture` tries more orders.
"""

import asyncio
import os
from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from inference.engines.base import Delta, Failed, Finished, FinishReason, Output, Started
from inference.errors import AisterError
from inference.fairness import share_of
from inference.scheduling import News, Queued, Scheduler, has_moved
from tests.inference.door import PATIENCE_S, Door, turns
from tests.inference.scripted_engine import ScriptedEngine, ScriptedRequest

EXAMPLES = max(60, 10 * int(os.environ.get("ROUNDS", "0")))  # 1000 in make torture
CAPACITY, ROWS, PATIENCE = 8, 4, 60.0
KEYS = "abc"
WHICH = st.integers(0, 20)


@dataclass(eq=False)
class Asked:
    """A request, and all that was heard of it."""

    request: ScriptedRequest
    number: int
    deadline_s: float
    news: list[News] = field(default_factory=list)

    @property
    def ends(self) -> list[Finished | Failed]:
        return [news for news in self.news if isinstance(news, Finished | Failed)]

    @property
    def has_started(self) -> bool:
        return any(isinstance(news, Started) for news in self.news)

    @property
    def failure(self) -> str | None:
        return next((end.error.code for end in self.ends if isinstance(end, Failed)), None)


class WatchedEngine(ScriptedEngine):
    """An engine whose steps are doors. It notes who joined, and what was wrong with that."""

    def __init__(self, door: Door) -> None:
        super().__init__(rows=ROWS)
        self.door = door
        self.admitted: list[ScriptedRequest] = []
        self.faults_seen: list[str] = []
        self.passed_over: Counter[str] = Counter()
        self.scheduler: Scheduler[ScriptedRequest]

    def admit(self, request: ScriptedRequest) -> None:
        """Note it. On the scheduler's thread, which alone takes requests out of the queue."""
        with self.scheduler.wakeup:
            waiting = {key: list(line) for key, line in self.scheduler.queue.lines.items()}
        if self.has_its_share(request.key):
            self.faults_seen.append(f"{request.key} took more than its share")
        if not request.goes_ahead and any(other.goes_ahead for other in waiting.get(request.key, [])):
            self.faults_seen.append("what goes ahead was passed over in its own line")
        for key in waiting:
            self.passed_over[key] += key != request.key and not self.has_its_share(key)
        self.passed_over = Counter({key: self.passed_over[key] for key in waiting if key != request.key})
        if max(self.passed_over.values(), default=0) >= len(KEYS):
            self.faults_seen.append("a key was passed over though it was its turn")
        super().admit(request)
        self.admitted.append(request)

    def step(self) -> list[Output]:
        self.door.enter("step", "")
        return super().step()

    def close(self) -> None:
        super().close()
        self.scheduler_has_ended()

    def scheduler_has_ended(self) -> None:
        """Let whoever waits for the thread look again."""
        with self.door.changed:
            self.door.changed.notify_all()


class SchedulerMachine(RuleBasedStateMachine):
    """What may happen, and what must hold after it."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.now_s = 0.0
        self.door = Door()
        self.engine = WatchedEngine(self.door)
        self.scheduler: Scheduler[ScriptedRequest] = Scheduler(
            "machine", self.engine, capacity=CAPACITY, patience_s=PATIENCE, clock=lambda: self.now_s
        )
        self.engine.scheduler = self.scheduler
        self.scheduler.start()
        self.asked: list[Asked] = []
        self.is_over = False

    # -- what may happen ----------------------------------------------------------------------------------------------

    @rule(
        key=st.sampled_from(KEYS),
        words=st.integers(0, 5),
        goes_ahead=st.booleans(),
        trouble=st.sampled_from(["", "", "", "", "is_too_long", "fails_to_join"]),
    )
    def submit(self, key: str, words: int, goes_ahead: bool, trouble: str) -> None:
        request = ScriptedRequest(key=key, words=["w"] * words, goes_ahead=goes_ahead)
        if trouble:
            setattr(request, trouble, True)
        asked = Asked(request, len(self.asked), self.now_s + PATIENCE)
        queue = self.scheduler.queue
        is_full = queue.size >= CAPACITY or queue.waiting(key) >= share_of(CAPACITY)
        refusal = self.loop.run_until_complete(self.try_to_submit(asked))
        error = refusal and refusal.code
        if request.is_too_long:
            assert error == "text_too_long"
        elif self.is_over:
            assert error == "restarting"
        else:
            assert error == ("overloaded" if is_full else None)
            assert refusal is None or refusal.retry_after_s is not None
        if error is None:
            self.asked.append(asked)
        self.settle()

    @rule(key=st.sampled_from(KEYS), count=st.integers(4, CAPACITY))
    def submit_many(self, key: str, count: int) -> None:
        """One key asks for much."""
        for _ in range(count):
            self.submit(key, 5, goes_ahead=False, trouble="")

    async def try_to_submit(self, asked: Asked) -> AisterError | None:
        """Submit; return the refusal."""
        try:
            self.scheduler.submit(asked.request, asked.news.append)
        except AisterError as refusal:
            return refusal
        return None

    @rule(which=WHICH)
    @precondition(lambda self: self.asked)
    def cancel(self, which: int) -> None:
        """Cancel a request, whatever has become of it: after the step under way and the next it is over."""
        asked = self.asked[which % len(self.asked)]
        before = list(asked.news)
        self.scheduler.cancel(asked.request)
        if asked.ends:
            self.settle()
            assert asked.news == before
            return
        self.go_on()
        self.go_on()
        assert asked.ends

    @rule()
    @precondition(lambda self: self.door.visitor)
    def step(self) -> None:
        self.go_on()
        late = [asked for asked in self.open() if self.waits(asked) and asked.deadline_s <= self.now_s]
        assert not late, "it waits for longer than it may"

    @rule(is_late=st.booleans())
    @precondition(lambda self: self.door.visitor)
    def fail_a_step(self, is_late: bool) -> None:
        """The step under way raises, before or after its work: its batch fails, nobody else."""
        joined = [asked for asked in self.open() if asked.request in self.engine.running]
        (self.engine.late_faults if is_late else self.engine.faults).append(RuntimeError())
        self.go_on()
        assert {asked.failure for asked in joined} == {"internal_error"}
        assert self.scheduler.is_alive

    @rule(seconds=st.sampled_from([1.0, PATIENCE / 2, PATIENCE]))
    def let_time_pass(self, seconds: float) -> None:
        self.now_s += seconds

    @rule()
    @precondition(lambda self: self.door.visitor and len(self.asked) > 4)
    def die(self) -> None:
        """The thread ends as it never should: nobody is left waiting."""
        waiting = self.open()
        self.engine.faults.append(SystemExit())
        self.is_over = True
        self.go_on()
        assert {asked.failure for asked in waiting} == {"internal_error"}

    @rule()
    @precondition(lambda self: not self.is_over and len(self.asked) > 4)
    def stop(self) -> None:
        waiting = [asked for asked in self.open() if not asked.request.fails_to_join]
        self.is_over = True
        self.door.open()
        self.scheduler.stop()
        self.settle()
        for asked in waiting:  # who has waited too long may be told that instead
            is_late = asked.deadline_s <= self.now_s
            assert asked.failure in (None, "restarting") or (is_late and asked.failure == "overloaded")
        assert not self.open()

    # -- what must hold -----------------------------------------------------------------------------------------------

    @invariant()
    def each_request_hears_its_news_in_order_and_one_end(self) -> None:
        for asked in self.asked:
            kinds = [type(news) for news in asked.news]
            order = [Queued, Started, Delta, (Finished, Failed)]
            ranks = [next(n for n, kind in enumerate(order) if issubclass(heard, kind)) for heard in kinds]
            assert ranks == sorted(ranks)
            assert ranks.count(1) <= 1
            assert len(asked.ends) <= 1
            deltas = ranks.count(2)
            assert deltas <= 5
            if any(isinstance(end, Finished) and end.reason is FinishReason.STOP for end in asked.ends):
                assert asked.has_started

    @invariant()
    def nobody_fails_without_a_reason(self) -> None:
        for asked in self.asked:
            if asked.failure == "overloaded":
                assert asked.deadline_s <= self.now_s
                assert not asked.has_started
            if any(isinstance(end, Finished) and end.reason is FinishReason.CANCELLED for end in asked.ends):
                assert asked.request.is_cancelled
            if asked.failure == "restarting":
                assert self.is_over

    @invariant()
    def the_queue_is_bounded_and_no_key_has_more_than_its_share(self) -> None:
        queue = self.scheduler.queue
        assert queue.size <= CAPACITY
        assert all(queue.waiting(key) <= share_of(CAPACITY) for key in KEYS)
        running = Counter(request.key for request in self.engine.running)
        assert all(running[key] <= share_of(ROWS) for key in KEYS)
        assert not self.engine.faults_seen, self.engine.faults_seen

    @invariant()
    def a_key_s_requests_join_in_their_order(self) -> None:
        number = {asked.request: asked.number for asked in self.asked}
        for key in KEYS:
            for goes_ahead in (True, False):
                joined = [r for r in self.engine.admitted if (r.key, r.goes_ahead) == (key, goes_ahead)]
                assert [number[r] for r in joined] == sorted(number[r] for r in joined)

    @invariant()
    def who_is_open_has_a_ticket_and_nobody_else(self) -> None:
        assert set(self.scheduler.tickets) == {asked.request for asked in self.open()}

    @invariant()
    def positions_are_those_of_the_order(self) -> None:
        """What is told after the step under way is how things stood before it."""
        queue = self.scheduler.queue
        if self.door.visitor and not queue.has_changed:
            order = queue.in_order(self.engine.has_its_share)
            told_places = [self.scheduler.tickets[request].position for request in order]
            assert not any(has_moved(told, place) for place, told in enumerate(told_places, 1))
        for asked in self.open():
            told = [news.position for news in asked.news if isinstance(news, Queued)]
            assert all(position != after for position, after in pairwise(told))

    @invariant()
    def an_idle_scheduler_leaves_nobody_waiting(self) -> None:
        if self.door.visitor is None:
            assert not self.open()

    def teardown(self) -> None:
        """Everything runs to its end, and the thread ends."""
        self.door.open()
        for _ in range(CAPACITY * 5 + 10):  # as many turns as all that can wait could need
            self.settle()
        self.nobody_fails_without_a_reason()
        self.each_request_hears_its_news_in_order_and_one_end()
        assert all(asked.ends for asked in self.asked)
        assert not self.scheduler.tickets
        assert not self.scheduler.queue.size
        self.scheduler.stop()
        assert self.engine.is_closed
        self.loop.close()

    # -- in short -----------------------------------------------------------------------------------------------------

    def open(self) -> list[Asked]:
        """Return the requests that have not ended."""
        return [asked for asked in self.asked if not asked.ends]

    def waits(self, asked: Asked) -> bool:
        """True while a request is in the queue."""
        return asked.request in list(self.scheduler.queue.in_order())

    def go_on(self) -> None:
        """Let a step be made, if one is under way."""
        if self.door.visitor:
            self.door.let_on()
        self.settle()

    def settle(self) -> None:
        """Wait until the thread stands in a step, has nothing to do, or has ended; then let all hear of it."""
        for _ in range(2):  # when the second call is made, the turn of the first is over
            ran: list[bool] = []
            self.scheduler.call(lambda ran=ran: self.note(ran))  # type: ignore[misc]
            with self.door.changed:
                assert self.door.changed.wait_for(
                    lambda ran=ran: ran or self.door.visitor or self.engine.is_closed, PATIENCE_S
                )
        self.loop.run_until_complete(turns())

    def note(self, ran: list[bool]) -> None:
        """Say that the thread came by."""
        with self.door.changed:
            ran.append(True)
            self.door.changed.notify_all()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_whatever_happens_to_a_scheduler_its_promises_hold() -> None:
    run_state_machine_as_test(
        SchedulerMachine,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=30,
            deadline=None,
            report_multiple_bugs=False,
            phases=[Phase.explicit, Phase.generate],  # a thread that stands still at each try makes shrinking slow
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
        ),
    )


def test_what_has_waited_too_long_is_told_so_by_a_scheduler_that_stops() -> None:
    machine = SchedulerMachine()
    machine.submit("a", 5, goes_ahead=False, trouble="")
    machine.submit_many("c", 5)
    machine.let_time_pass(PATIENCE)
    machine.step()  # drops them before its next step, and tells them after it
    machine.stop()
    machine.teardown()
    assert "overloaded" in {asked.failure for asked in machine.asked}
