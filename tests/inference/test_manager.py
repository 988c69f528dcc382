"""The manager: one load however many ask, leases, eviction, failures that can be tried again."""

import asyncio
from collections.abc import Iterator
from threading import Event, Timer, current_thread

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.catalog import Catalog, ModelEntry
from inference.engines.progress import Report
from inference.errors import AisterError
from inference.manager import RETRY_PAUSE_S, Loading, ModelManager, Resident, State, choose_evictions
from inference.scheduling import Scheduler
from tests.inference.scripted_engine import ScriptedEngine, ScriptedRequest


class Clock:
    """Time that the test moves."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        self.now_s += 0.001
        return self.now_s


class Loads:
    """Loads scripted engines; the test holds a load with `gate`, once it has read `fraction`, and makes it fail with
    `faults`. `has_begun` is set by each load.
    """

    def __init__(self) -> None:
        self.gate = Event()
        self.gate.set()
        self.has_begun = Event()
        self.fraction: float | None = None
        self.faults: list[Exception] = []
        self.engines: list[tuple[str, ScriptedEngine]] = []

    def __call__(self, entry: ModelEntry, report: Report) -> ScriptedEngine:
        if self.fraction is not None:
            report(self.fraction)
        self.has_begun.set()
        assert self.gate.wait(10)
        if self.faults:
            raise self.faults.pop()
        engine = ScriptedEngine(memory_bytes=100)
        self.engines.append((entry.id, engine))
        return engine

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.engines]


class SizedEntry(ModelEntry, frozen=True, kw_only=True):
    """An entry whose weights take 100 bytes."""

    @property
    def size_bytes(self) -> int:
        return 100


@pytest.fixture
def loads() -> Loads:
    return Loads()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def manager(loads: Loads, clock: Clock) -> Iterator[ModelManager]:
    entries: list[ModelEntry] = [SizedEntry(id=name, task="chat", source="/nowhere") for name in "abc"]
    manager = ModelManager(Catalog(entries), loads, budget_bytes=250, queue_capacity=8, clock=clock)
    yield manager
    loads.gate.set()
    manager.close()


async def use(manager: ModelManager, model_id: str) -> None:
    async with asyncio.timeout(10), manager.lease(model_id):
        pass


async def test_many_first_requests_load_a_model_once(manager: ModelManager, loads: Loads) -> None:
    loads.gate.clear()
    users = [asyncio.create_task(use(manager, "a")) for _ in range(50)]
    await asyncio.sleep(0)
    assert manager.state("a") is State.LOADING
    loads.gate.set()
    await asyncio.gather(*users)
    assert loads.names == ["a"]
    assert manager.state("a") is State.RESIDENT


async def test_no_thread_that_has_loaded_a_model_stays(manager: ModelManager, loads: Loads) -> None:
    loaders = []
    load = manager.load
    manager.load = lambda entry, report: loaders.append(current_thread()) or load(entry, report)
    async with manager.lease("a"), manager.lease("b"):
        assert loads.names == ["a", "b"]
        assert [loader.is_alive() for loader in loaders] == [False, False]


def test_making_a_manager_starts_nothing(manager: ModelManager, loads: Loads) -> None:
    assert manager.loader is None
    assert loads.names == []


async def test_a_leased_model_answers(manager: ModelManager) -> None:
    ended = asyncio.Event()
    async with manager.lease("a") as model:
        model.scheduler.submit(ScriptedRequest(key="k"), lambda _news: ended.set())
        async with asyncio.timeout(10):
            await ended.wait()


async def test_the_least_recently_used_model_goes_when_memory_is_short(manager: ModelManager, loads: Loads) -> None:
    for name in ("a", "b", "a", "c"):
        await use(manager, name)
    assert [manager.state(name) for name in "abc"] == [State.RESIDENT, State.ABSENT, State.RESIDENT]
    assert dict(loads.engines)["b"].is_closed
    await use(manager, "b")
    assert loads.names == ["a", "b", "c", "b"]


async def test_a_leased_model_stays_and_the_newcomer_is_refused(manager: ModelManager) -> None:
    async with manager.lease("a"), manager.lease("b"):
        with pytest.raises(AisterError) as caught:
            await use(manager, "c")
        assert caught.value.code == "model_unavailable"
        assert caught.value.retry_after_s is not None
    assert manager.state("a") is State.RESIDENT


async def test_a_failed_load_is_told_to_all_and_tried_again_after_a_pause(
    manager: ModelManager, loads: Loads, clock: Clock
) -> None:
    loads.gate.clear()
    loads.faults = [OSError("no weights")]
    users = [asyncio.create_task(use(manager, "a")) for _ in range(3)]
    await asyncio.sleep(0)
    loads.gate.set()
    for outcome in await asyncio.gather(*users, return_exceptions=True):
        assert isinstance(outcome, AisterError)
        assert outcome.code == "model_unavailable"
    with pytest.raises(AisterError, match="model_unavailable"):
        await use(manager, "a")
    assert loads.names == []
    clock.now_s += RETRY_PAUSE_S
    await use(manager, "a")
    assert loads.names == ["a"]


async def test_a_model_whose_thread_can_not_start_is_told_and_tried_again_too(
    manager: ModelManager, loads: Loads, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(_scheduler: object) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(Scheduler, "start", start)
        with pytest.raises(AisterError, match="model_unavailable"):
            await use(manager, "a")
    clock.now_s += RETRY_PAUSE_S
    await use(manager, "a")
    assert loads.names == ["a", "a"]


async def test_a_waiter_that_gives_up_does_not_stop_the_load(manager: ModelManager, loads: Loads) -> None:
    loads.gate.clear()
    leaver, stayer = asyncio.create_task(use(manager, "a")), asyncio.create_task(use(manager, "a"))
    await asyncio.sleep(0)
    leaver.cancel()
    loads.gate.set()
    await stayer
    assert manager.slots["a"].leases == 0


async def until(manager: ModelManager, state: State) -> None:
    """Wait until model a is in a state."""
    async with asyncio.timeout(10):
        while manager.state("a") is not state:  # noqa: ASYNC110  # its threads tell no one
            await asyncio.sleep(0.001)


@pytest.fixture
def forgetful(manager: ModelManager) -> ModelManager:
    """A manager whose models may be idle for 0.01 s, on a clock of its own."""
    manager.keep_alive_s = 0.01
    return manager


async def test_a_model_goes_when_its_keep_alive_is_over_and_is_loaded_again_when_asked(
    forgetful: ModelManager, loads: Loads, clock: Clock
) -> None:
    await use(forgetful, "a")
    clock.now_s += 1
    await until(forgetful, State.ABSENT)
    assert loads.engines[0][1].is_closed
    assert forgetful.is_ready("a")
    await use(forgetful, "a")
    assert loads.names == ["a", "a"]


async def test_a_model_in_use_outlives_its_keep_alive(forgetful: ModelManager, loads: Loads, clock: Clock) -> None:
    await use(forgetful, "a")
    async with forgetful.lease("a"):
        expiry = forgetful.slots["a"].expiry
        clock.now_s += 1
        if expiry:
            await asyncio.to_thread(expiry.join)
        assert forgetful.state("a") is State.RESIDENT
    clock.now_s += 1
    await until(forgetful, State.ABSENT)
    assert loads.names == ["a"]


async def test_a_keep_alive_that_was_renewed_is_looked_at_again(
    forgetful: ModelManager, loads: Loads, clock: Clock
) -> None:
    forgetful.keep_alive_s = 0.05
    await use(forgetful, "a")
    first = forgetful.slots["a"].expiry
    assert first is not None
    await asyncio.to_thread(first.join)
    assert forgetful.state("a") is State.RESIDENT  # on the test's clock no time has gone by
    clock.now_s += 1
    await until(forgetful, State.ABSENT)
    assert loads.names == ["a"]


async def test_a_model_that_loads_for_longer_than_its_keep_alive_goes_afterwards(
    forgetful: ModelManager, loads: Loads, clock: Clock
) -> None:
    loads.gate.clear()
    (loading,) = forgetful.preload(["a"])
    expiry = forgetful.slots["a"].expiry
    assert expiry is not None
    clock.now_s += 1
    await asyncio.to_thread(expiry.join)
    loads.gate.set()
    await asyncio.wrap_future(loading)
    clock.now_s += 1
    await until(forgetful, State.ABSENT)


async def test_a_lease_can_be_given_back_when_no_timer_can_start_and_the_next_one_looks_again(
    forgetful: ModelManager, clock: Clock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def start(_timer: object) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(Timer, "start", start)
        await use(forgetful, "a")
    assert forgetful.slots["a"].leases == 0
    assert "Nobody looks whether model a has been idle for too long" in caplog.text
    await use(forgetful, "a")
    clock.now_s += 1
    await until(forgetful, State.ABSENT)


async def test_a_model_is_ready_once_loaded_until_a_load_fails(
    manager: ModelManager, loads: Loads, clock: Clock
) -> None:
    assert not manager.is_ready("a")
    for name in "abc":
        await use(manager, name)
    assert (manager.state("a"), manager.is_ready("a")) == (State.ABSENT, True)
    loads.faults = [OSError("no weights")]
    with pytest.raises(AisterError, match="model_unavailable"):
        await use(manager, "a")
    assert not manager.is_ready("a")


async def test_it_says_how_a_load_is_getting_on(manager: ModelManager, loads: Loads, clock: Clock) -> None:
    assert manager.progress("a") is None
    loads.gate.clear()
    loading = manager.preload(["a", "b"])
    await asyncio.to_thread(loads.has_begun.wait, 10)
    clock.now_s += 5
    assert manager.progress("a") == Loading(None, pytest.approx(5, abs=0.1), None)
    loads.gate.set()
    await asyncio.gather(*map(asyncio.wrap_future, loading))
    assert manager.progress("a") is None
    await asyncio.to_thread(manager.drain, ["a"])

    loads.gate.clear()
    loads.has_begun.clear()
    loads.fraction = 0.25
    (again,) = manager.preload(["a"])
    await asyncio.to_thread(loads.has_begun.wait, 10)
    assert manager.progress("a") == Loading(0.25, pytest.approx(0, abs=0.1), pytest.approx(5, abs=0.1))
    loads.gate.set()
    await asyncio.wrap_future(again)


async def test_an_unknown_model_is_refused(manager: ModelManager) -> None:
    with pytest.raises(AisterError, match="unknown_model"):
        await use(manager, "z")


async def test_preloading_loads_and_holds_nothing(manager: ModelManager) -> None:
    (future,) = manager.preload(["a"])
    model = await asyncio.wrap_future(future)
    assert model.entry.id == "a"
    assert manager.slots["a"].leases == 0


async def test_it_knows_when_it_is_loading(manager: ModelManager, loads: Loads) -> None:
    loads.gate.clear()
    assert not manager.is_loading
    assert manager.is_empty
    loading = asyncio.ensure_future(use(manager, "a"))
    await asyncio.sleep(0)
    assert manager.is_loading
    loads.gate.set()
    await loading
    assert not manager.is_loading
    assert not manager.is_empty


async def test_a_dead_model_thread_shows_in_the_health(manager: ModelManager) -> None:
    await use(manager, "a")
    assert manager.is_healthy
    model = manager.loaded("a")
    assert model is not None
    await asyncio.to_thread(model.scheduler.stop)
    assert not manager.is_healthy


async def test_closing_lets_go_of_everything_and_takes_no_more(manager: ModelManager, loads: Loads) -> None:
    await use(manager, "a")
    await asyncio.to_thread(manager.close)
    assert loads.engines[0][1].is_closed
    assert manager.state("a") is State.ABSENT
    with pytest.raises(AisterError, match="restarting"):
        await use(manager, "b")


# -- which model goes -------------------------------------------------------------------------------------------------

residents = st.lists(
    st.builds(
        Resident,
        id=st.uuids().map(str),
        size_bytes=st.integers(0, 100),
        used_at_s=st.floats(0, 100),
        leases=st.integers(0, 1),
    ),
    max_size=6,
)


@given(residents, st.integers(0, 200), st.integers(0, 300))
def test_evictions_make_room_take_no_leased_model_and_no_more_than_needed(
    there: list[Resident], needed: int, budget: int
) -> None:
    evictions = choose_evictions(there, needed, budget)
    idle = [resident for resident in there if not resident.leases]
    held_bytes = sum(resident.size_bytes for resident in there if resident.leases)
    if evictions is None:
        assert held_bytes + needed > budget
        return
    gone = [resident for resident in there if resident.id in evictions]
    left_bytes = sum(resident.size_bytes for resident in there) - sum(resident.size_bytes for resident in gone)
    assert left_bytes + needed <= budget
    assert all(not resident.leases for resident in gone)
    assert evictions == [resident.id for resident in sorted(idle, key=lambda r: r.used_at_s)][: len(evictions)]
    if gone:
        last = next(resident for resident in gone if resident.id == evictions[-1])
        assert left_bytes + last.size_bytes + needed > budget
