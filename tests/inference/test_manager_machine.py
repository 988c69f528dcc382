"""The manager, in any order of what may happen to it: leases, loads that succeed and fail, drains, time, the end.

Real threads, real schedulers, real leases; the loader stops where a load and where a drain is under way, so that all
else happens meanwhile. `make torture` tries more orders.
"""

import gc
import os
import traceback
from collections.abc import Iterator
from threading import Thread

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from inference import memory
from inference.errors import AisterError
from inference.manager import RETRY_PAUSE_S, Model, State
from tests.inference.manager_rig import BUDGET_BYTES, KEEP_ALIVE_S, MOVES, SIZES, ManagerRig, User

EXAMPLES = max(60, 10 * int(os.environ.get("ROUNDS", "0")))  # 1000 in make torture

NAMES = st.sampled_from(sorted(SIZES))
WHICH = st.integers(0, 5)


class ManagerMachine(RuleBasedStateMachine):
    """What may happen, and what must hold after it."""

    def __init__(self) -> None:
        super().__init__()
        self.rig = ManagerRig()
        self.is_closed = False

    # -- what may happen ----------------------------------------------------------------------------------------------

    @rule(name=NAMES)
    def lease(self, name: str) -> None:
        loads, was_absent = len(self.rig.loads), self.rig.state(name) is State.ABSENT
        was_pausing = self.is_pausing(name)
        user = self.rig.lease(name)
        self.settle()
        if self.is_closed:
            assert code(user) == "restarting"
        elif was_pausing:
            assert code(user) == "model_unavailable"
            assert len(self.rig.loads) == loads
        elif was_absent:
            assert not user.told or self.rig.manager.slots[name].failed_at_s == self.rig.now_s

    @rule(names=st.permutations(["a", "b"]))
    @precondition(lambda self: not self.is_closed and self.rig.is_idle)
    def use_both_small_ones(self, names: list[str]) -> None:
        """Two models are loaded, one after the other, and idle."""
        for name in names:
            user = self.rig.lease(name)
            self.settle()
            while not self.rig.is_idle:
                self.go_on()
            self.rig.give_back(user, is_cancelled=False)
            self.settle()

    @rule()
    @precondition(lambda self: self.is_at("drain"))
    def lease_what_goes(self) -> None:
        visitor = self.rig.door.visitor
        assert visitor is not None
        user = self.rig.lease(visitor[1])
        self.settle()
        assert not user.told

    @rule(name=NAMES)
    @precondition(lambda self: not self.is_closed)
    def preload(self, name: str) -> None:
        self.rig.manager.preload([name])
        self.settle()

    @rule(which=WHICH, is_cancelled=st.booleans())
    @precondition(lambda self: self.rig.holding())
    def release(self, which: int, is_cancelled: bool) -> None:
        holding = self.rig.holding()
        self.rig.give_back(holding[which % len(holding)], is_cancelled=is_cancelled)
        self.settle()

    @rule(which=WHICH)
    @precondition(lambda self: self.rig.waiting())
    def stop_waiting(self, which: int) -> None:
        waiting = self.rig.waiting()
        self.rig.give_back(waiting[which % len(waiting)], is_cancelled=True)
        self.settle()

    @rule()
    @precondition(lambda self: not self.rig.is_idle)
    def go_on(self) -> None:
        self.rig.door.let_on()
        self.settle()

    @rule()
    @precondition(lambda self: self.is_at("load"))
    def fail(self) -> None:
        """The load that is under way fails: all who wait for it are told, and it is not tried again at once."""
        visitor = self.rig.door.visitor
        assert visitor is not None
        name = visitor[1]
        waiting = [user for user in self.rig.waiting() if user.model_id == name]
        self.rig.door.let_on(OSError("no weights"))
        self.settle()
        assert {code(user) for user in waiting} <= {"model_unavailable"}
        assert self.rig.state(name) is State.ABSENT

    @rule(seconds=st.sampled_from([1.0, RETRY_PAUSE_S / 2, RETRY_PAUSE_S, KEEP_ALIVE_S]))
    def let_time_pass(self, seconds: float) -> None:
        self.rig.now_s += seconds
        idle = [name for name in SIZES if self.rig.state(name) is State.RESIDENT and not self.leases(name)]
        self.rig.fire_timers()
        self.settle()
        if seconds == KEEP_ALIVE_S and self.rig.is_idle and not self.is_closed:
            assert not [name for name in idle if self.rig.state(name) is State.RESIDENT]

    @rule()
    @precondition(lambda self: not self.is_closed)
    def look_early(self) -> None:
        """A timer that looks before the keep-alive is over lets nothing go."""
        before = [self.rig.state(name) for name in SIZES if self.rig.state(name) is State.RESIDENT]
        idle_s = max((self.rig.now_s - slot.used_at_s for slot in self.rig.manager.slots.values()), default=0)
        self.rig.fire_timers()
        self.settle()
        if idle_s < KEEP_ALIVE_S:
            assert [self.rig.state(name) for name in SIZES if self.rig.state(name) is State.RESIDENT] == before

    @rule()
    @precondition(lambda self: not self.is_closed and len(self.rig.loads) > 3)
    def close(self) -> None:
        waiting = self.rig.waiting()
        self.is_closed = True
        self.rig.close()
        self.settle()
        assert all(user.told for user in waiting)
        assert {self.rig.state(name) for name in SIZES} == {State.ABSENT}

    # -- what must hold -----------------------------------------------------------------------------------------------

    @invariant()
    def each_model_is_loaded_once(self) -> None:
        for name in SIZES:
            is_loading = self.rig.door.visitor == ("load", name)
            live = len(self.rig.alive(name))
            assert live + is_loading <= 1, "loaded again beside itself"
            assert not is_loading or self.rig.state(name) is State.LOADING
            assert live or self.rig.state(name) is not State.RESIDENT

    @invariant()
    def the_budget_is_kept(self) -> None:
        visitor = self.rig.door.visitor
        coming = SIZES[visitor[1]] if visitor and visitor[0] == "load" else 0
        assert coming + sum(SIZES[name] * len(self.rig.alive(name)) for name in SIZES) <= BUDGET_BYTES

    @invariant()
    def a_lease_is_on_a_loaded_model(self) -> None:
        if self.is_closed:
            return
        for user in self.rig.holding():
            assert isinstance(user.told[0], Model)
            assert self.rig.alive(user.model_id) == [user.told[0].engine]
            assert self.rig.state(user.model_id) is State.RESIDENT

    @invariant()
    def leases_are_counted(self) -> None:
        for name in SIZES:
            users = [user for user in (*self.rig.waiting(), *self.rig.holding()) if user.model_id == name]
            assert self.leases(name) == len(users)

    @invariant()
    def everyone_is_told_once_and_waits_only_for_a_load(self) -> None:
        assert all(len(user.told) <= 1 for user in self.rig.users)
        for user in self.rig.waiting():
            assert self.rig.state(user.model_id) is State.LOADING
        if self.rig.is_idle:
            assert not {self.rig.state(name) for name in SIZES} & {State.LOADING, State.DRAINING}

    @invariant()
    def a_load_is_told_of_while_it_lasts(self) -> None:
        for name in SIZES:
            assert (self.rig.manager.progress(name) is not None) == (self.rig.state(name) is State.LOADING)

    @invariant()
    def moves_are_those_of_the_table(self) -> None:
        assert set(self.rig.moves) <= MOVES

    def teardown(self) -> None:
        """Everyone leaves: nothing is held any more, and nobody was forgotten."""
        self.rig.door.open()
        self.settle()
        assert not self.rig.waiting()
        for user in self.rig.holding():
            self.rig.give_back(user, is_cancelled=False)
        self.settle()
        self.rig.close()
        self.settle()
        assert [self.leases(name) for name in SIZES] == [0] * len(SIZES)
        assert not [name for name in SIZES if self.rig.alive(name)]
        timers = [slot.expiry for slot in self.rig.manager.slots.values() if slot.expiry]
        assert all(timer.finished.is_set() for timer in timers)
        self.moves_are_those_of_the_table()
        self.rig.loop.close()

    # -- in short -----------------------------------------------------------------------------------------------------

    def settle(self) -> None:
        self.rig.settle()

    def is_at(self, doing: str) -> bool:
        visitor = self.rig.door.visitor
        return visitor is not None and visitor[0] == doing

    def leases(self, name: str) -> int:
        return self.rig.manager.slots[name].leases

    def is_pausing(self, name: str) -> bool:
        """True while the last load of a model has failed, too short a time ago for another."""
        failed_at_s = self.rig.manager.slots[name].failed_at_s
        is_absent = self.rig.state(name) is State.ABSENT
        return is_absent and failed_at_s is not None and self.rig.now_s - failed_at_s < RETRY_PAUSE_S


def code(user: User) -> str | None:
    """Return the code of the error that somebody was told."""
    return next((told.code for told in user.told if isinstance(told, AisterError)), None)


def test_whatever_happens_to_a_manager_its_promises_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "give_back", lambda: None)  # a fifth of a second each time, with a test of its own
    run_state_machine_as_test(
        ManagerMachine,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=30,
            deadline=None,
            report_multiple_bugs=False,
            phases=[Phase.explicit, Phase.generate],  # a thread that stands still at each try makes shrinking slow
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
        ),
    )


@pytest.fixture
def rig() -> Iterator[ManagerRig]:
    rig = ManagerRig()
    yield rig
    rig.close()
    for user in rig.holding():
        rig.give_back(user, is_cancelled=False)
    rig.settle()
    rig.loop.close()


def test_who_leases_a_model_while_room_is_made_keeps_it_and_the_newcomer_is_refused(rig: ManagerRig) -> None:
    for name in ("a", "b"):
        user = rig.lease(name)
        rig.settle()
        rig.door.let_on()
        rig.settle()
        rig.give_back(user, is_cancelled=False)
        rig.settle()
    newcomer = rig.lease("large")
    rig.settle()
    assert rig.door.visitor == ("drain", "a")
    holder = rig.lease("b")
    rig.settle()
    rig.door.let_on()
    rig.settle()
    assert code(newcomer) == "model_unavailable"
    assert isinstance(holder.told[0], Model)
    assert rig.state("b") is State.RESIDENT
    assert rig.loads == ["a", "b"]


def test_those_who_are_refused_one_after_the_other_leave_nothing_with_the_error_that_they_share(
    rig: ManagerRig, caplog: pytest.LogCaptureFixture
) -> None:
    leaver = rig.lease("a")
    rig.settle()
    rig.give_back(leaver, is_cancelled=True)
    rig.settle()
    rig.door.let_on(OSError("no weights"))
    rig.settle()
    caplog.clear()
    refused = [rig.lease("a") for _ in range(20)]
    rig.settle()
    error = refused[-1].told[0]
    assert error is refused[0].told[0]
    assert isinstance(error, AisterError)
    assert len(traceback.extract_tb(error.__traceback__)) < 10
    gc.collect()  # when asyncio would complain of what the leaver has not looked at
    assert caplog.messages == []


def test_what_still_waits_to_be_loaded_at_the_end_is_not_loaded(rig: ManagerRig) -> None:
    first, second = rig.lease("a"), rig.lease("b")
    rig.settle()
    closing = Thread(target=rig.manager.close)
    closing.start()
    while not rig.manager.is_closed:
        closing.join(0.001)
    rig.door.open()
    closing.join(20)
    rig.settle()
    assert isinstance(first.told[0], Model)
    assert code(second) == "restarting"
    assert rig.loads == ["a"]


def test_each_move_of_the_table_is_made(rig: ManagerRig) -> None:
    def let_on(fault: Exception | None = None) -> None:
        rig.door.let_on(fault)
        rig.settle()

    def idle_for_too_long() -> None:
        rig.now_s += KEEP_ALIVE_S
        rig.fire_timers()
        rig.settle()

    rig.lease("a")
    rig.settle()
    let_on(OSError("no weights"))
    rig.now_s += RETRY_PAUSE_S
    rig.manager.preload(["a"])
    rig.settle()
    let_on()
    idle_for_too_long()
    rig.manager.preload(["a"])
    let_on()  # gone
    let_on()  # loaded again
    idle_for_too_long()
    let_on()
    assert set(rig.moves) == MOVES
    assert rig.state("a") is State.ABSENT
