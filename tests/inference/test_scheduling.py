"""The scheduler: fair turns, bounds, and one end for every request, whatever happens."""

import asyncio
import threading
from collections.abc import Iterator

import pytest

from inference.engines.base import Delta, Failed, Finished, FinishReason, Started
from inference.errors import AisterError
from inference.scheduling import News, Pace, Queued, Scheduler
from tests.inference.scripted_engine import ScriptedEngine, ScriptedRequest

CLIENTS_TEXT = "what a client wrote"


class Listener:
    """Hears the news of one request."""

    def __init__(self) -> None:
        self.news: list[News] = []
        self.end: asyncio.Future[Finished | Failed] = asyncio.get_running_loop().create_future()
        self.started = asyncio.Event()

    def __call__(self, news: News) -> None:
        self.news.append(news)
        if isinstance(news, Started):
            self.started.set()
        if isinstance(news, Finished | Failed):
            self.end.set_result(news)  # raises on a second end

    async def ended(self) -> Finished | Failed:
        async with asyncio.timeout(10):
            return await self.end


@pytest.fixture
def engine() -> ScriptedEngine:
    return ScriptedEngine()


@pytest.fixture
def scheduler(engine: ScriptedEngine) -> Iterator[Scheduler[ScriptedRequest]]:
    scheduler: Scheduler[ScriptedRequest] = Scheduler("scripted", engine, capacity=8)
    scheduler.start()
    yield scheduler
    engine.gate.set()
    scheduler.stop()


def submit(
    scheduler: Scheduler[ScriptedRequest], key: str = "k", **options: object
) -> tuple[ScriptedRequest, Listener]:
    request, listener = ScriptedRequest(key=key, **options), Listener()  # type: ignore[arg-type]
    scheduler.submit(request, listener)
    return request, listener


async def hold(scheduler: Scheduler[ScriptedRequest], engine: ScriptedEngine) -> Listener:
    """Keep the engine busy with one request, inside a step."""
    engine.gate.clear()
    engine.in_step.clear()
    _, listener = submit(scheduler, "busy")
    assert await asyncio.to_thread(engine.in_step.wait, 10)
    return listener


def test_the_wait_follows_the_pace_within_bounds() -> None:
    pace = Pace()
    for moment_s in range(100):
        pace.ended(moment_s * 0.5, 1)
    assert pace.wait_s(10) == pytest.approx(5.0, abs=0.1)
    assert (pace.wait_s(0), pace.wait_s(10_000)) == (1.0, 60.0)


# -- the thread -------------------------------------------------------------------------------------------------------


async def test_a_request_hears_that_it_started_its_text_and_its_end(scheduler: Scheduler[ScriptedRequest]) -> None:
    _, listener = submit(scheduler, words=["a", "b"])
    await listener.ended()
    told = [news for news in listener.news if not isinstance(news, Queued)]
    assert told[:3] == [Started(), Delta("a"), Delta("b")]
    assert isinstance(told[3], Finished)
    assert told[3].reason is FinishReason.STOP


async def test_waiting_requests_hear_their_position(
    scheduler: Scheduler[ScriptedRequest], engine: ScriptedEngine
) -> None:
    busy = await hold(scheduler, engine)
    listeners = [submit(scheduler, key)[1] for key in ("a", "a", "b")]
    engine.gate.set()
    for listener in (busy, *listeners):
        await listener.ended()
    positions = [[news.position for news in listener.news if isinstance(news, Queued)] for listener in listeners]
    assert positions == [[1], [3, 2, 1], [2, 1]]


async def test_far_behind_only_long_moves_are_told() -> None:
    engine = ScriptedEngine(rows=1)
    scheduler: Scheduler[ScriptedRequest] = Scheduler("long", engine, capacity=64)
    scheduler.start()
    busy = await hold(scheduler, engine)
    listeners = [submit(scheduler, f"key {number}")[1] for number in range(40)]
    engine.gate.set()
    for listener in (busy, *listeners):
        await listener.ended()
    told = [[news.position for news in heard.news if isinstance(news, Queued)] for heard in listeners]
    assert told[-1] == [40, 36, 32, 28, 25, 22, 19, 17, 15, 13, 11, *range(10, 0, -1)]
    assert told[9] == [*range(10, 0, -1)]
    await asyncio.to_thread(scheduler.stop)


async def test_what_its_keys_share_holds_back_is_told_its_place_behind_the_others() -> None:
    engine = ScriptedEngine(rows=4)
    scheduler: Scheduler[ScriptedRequest] = Scheduler("shared", engine, capacity=16)
    scheduler.start()
    engine.gate.clear()
    listeners = [submit(scheduler, "greedy", words=["x"] * 10)[1]]
    assert await asyncio.to_thread(engine.in_step.wait, 10)
    keys = ["greedy"] * 4 + ["modest"] * 3  # of four rows the greedy may have three
    listeners += [submit(scheduler, key, words=["x"] * 10)[1] for key in keys]
    engine.gate.set()
    for listener in listeners:
        await listener.ended()
    told = [[news.position for news in heard.news if isinstance(news, Queued)] for heard in listeners]
    first = [next(iter(positions), None) for positions in told]
    assert first == [None, None, None, 3, 4, None, 1, 2]
    await asyncio.to_thread(scheduler.stop)


async def test_a_key_with_many_requests_does_not_keep_another_waiting(
    scheduler: Scheduler[ScriptedRequest], engine: ScriptedEngine
) -> None:
    await hold(scheduler, engine)
    listeners = [submit(scheduler, key)[1] for key in ["greedy"] * 5 + ["modest"]]
    engine.gate.set()
    for listener in listeners:
        await listener.ended()
    assert engine.order == ["busy", "greedy", "modest", "greedy", "greedy", "greedy", "greedy"]


async def test_a_full_queue_refuses_and_says_when_to_come_back(
    scheduler: Scheduler[ScriptedRequest], engine: ScriptedEngine
) -> None:
    await hold(scheduler, engine)
    listeners = [submit(scheduler, key)[1] for key in "aaaabbbb"]
    with pytest.raises(AisterError) as caught:
        submit(scheduler, "c")
    assert caught.value.code == "overloaded"
    assert caught.value.retry_after_s is not None
    engine.gate.set()
    for listener in listeners:
        await listener.ended()


async def test_one_key_can_not_fill_the_queue(scheduler: Scheduler[ScriptedRequest], engine: ScriptedEngine) -> None:
    await hold(scheduler, engine)
    listeners = [submit(scheduler, "greedy")[1] for _ in range(6)]
    with pytest.raises(AisterError) as caught:
        submit(scheduler, "greedy")
    assert (caught.value.code, caught.value.retry_after_s) == ("overloaded", 6.0)
    assert "This key has 6 requests waiting" in caught.value.message
    listeners.append(submit(scheduler, "modest")[1])
    engine.gate.set()
    for listener in listeners:
        assert isinstance(await listener.ended(), Finished)


async def test_one_key_can_not_fill_the_engine() -> None:
    engine = ScriptedEngine(rows=4)
    scheduler: Scheduler[ScriptedRequest] = Scheduler("shared", engine, capacity=8)
    engine.gate.clear()
    scheduler.start()
    greedy = [submit(scheduler, "greedy", words=["x"] * 100_000)[1] for _ in range(5)]
    assert await asyncio.to_thread(engine.in_step.wait, 10)
    _, modest = submit(scheduler, "modest")
    engine.gate.set()
    assert isinstance(await modest.ended(), Finished)
    assert [listener.end.done() for listener in greedy] == [False] * 5
    await asyncio.to_thread(scheduler.stop)


async def test_what_waits_too_long_fails_and_is_told_when_to_come_back() -> None:
    engine, now_s = ScriptedEngine(), 0.0
    scheduler: Scheduler[ScriptedRequest] = Scheduler("slow", engine, capacity=8, patience_s=60.0, clock=lambda: now_s)
    scheduler.start()
    busy = await hold(scheduler, engine)
    _, late = submit(scheduler, "late")
    now_s = 1.0
    _, in_time = submit(scheduler, "in time")
    now_s = 60.5
    engine.gate.set()
    end = await late.ended()
    assert isinstance(end, Failed)
    assert end.error.code == "overloaded"
    assert end.error.message == "The request has waited 60 s for the model. Try again later."
    assert end.error.retry_after_s is not None
    assert [type(await listener.ended()) for listener in (busy, in_time)] == [Finished, Finished]
    await asyncio.to_thread(scheduler.stop)


async def test_a_conversation_under_way_goes_before_new_ones_of_its_key(
    scheduler: Scheduler[ScriptedRequest], engine: ScriptedEngine
) -> None:
    busy = await hold(scheduler, engine)
    listeners = [submit(scheduler, "a")[1], submit(scheduler, "b")[1], submit(scheduler, "a", goes_ahead=True)[1]]
    engine.gate.set()
    for listener in (busy, *listeners):
        await listener.ended()
    positions = [[news.position for news in listener.news if isinstance(news, Queued)] for listener in listeners]
    assert positions == [[3, 2, 1], [2, 1], [1]]


async def test_what_the_engine_can_never_do_is_refused_before_it_waits(scheduler: Scheduler[ScriptedRequest]) -> None:
    with pytest.raises(AisterError, match="text_too_long"):
        submit(scheduler, is_too_long=True)
    assert scheduler.tickets == {}


async def test_a_request_that_can_not_join_fails_alone(scheduler: Scheduler[ScriptedRequest]) -> None:
    _, bad = submit(scheduler, fails_to_join=True)
    _, good = submit(scheduler)
    bad_end, good_end = await bad.ended(), await good.ended()
    assert isinstance(bad_end, Failed)
    assert bad_end.error.code == "internal_error"
    assert isinstance(good_end, Finished)


async def test_cancelling_ends_a_waiting_request_and_a_running_one(
    scheduler: Scheduler[ScriptedRequest], engine: ScriptedEngine
) -> None:
    engine.gate.clear()
    running, running_listener = submit(scheduler, words=["x"] * 1_000_000)
    waiting, waiting_listener = submit(scheduler)
    scheduler.cancel(waiting)
    scheduler.cancel(running)
    engine.gate.set()
    for listener in (running_listener, waiting_listener):
        end = await listener.ended()
        assert isinstance(end, Finished)
        assert end.reason is FinishReason.CANCELLED
    assert Started() not in waiting_listener.news


async def test_cancelling_what_has_ended_does_nothing(scheduler: Scheduler[ScriptedRequest]) -> None:
    request, listener = submit(scheduler)
    await listener.ended()
    scheduler.cancel(request)
    _, next_listener = submit(scheduler)
    await next_listener.ended()
    assert sum(isinstance(news, Finished) for news in listener.news) == 1


async def test_an_engine_that_raises_fails_its_batch_and_the_thread_goes_on(
    scheduler: Scheduler[ScriptedRequest], engine: ScriptedEngine, caplog: pytest.LogCaptureFixture
) -> None:
    engine.faults = [RuntimeError(CLIENTS_TEXT)]
    _, first = submit(scheduler)
    end = await first.ended()
    assert isinstance(end, Failed)
    assert end.error.code == "internal_error"
    _, second = submit(scheduler)
    assert isinstance(await second.ended(), Finished)
    assert scheduler.is_alive
    assert "RuntimeError" in caplog.text
    assert CLIENTS_TEXT not in caplog.text


async def test_a_request_that_ended_in_the_step_that_raised_is_not_left_waiting(
    scheduler: Scheduler[ScriptedRequest], engine: ScriptedEngine
) -> None:
    engine.gate.clear()
    _, ended = submit(scheduler, words=[])
    _, waiting = submit(scheduler, words=[])
    engine.late_faults = [RuntimeError()]
    engine.gate.set()
    assert isinstance(await ended.ended(), Failed)
    assert isinstance(await waiting.ended(), Finished)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
async def test_a_thread_that_dies_leaves_nobody_waiting(
    scheduler: Scheduler[ScriptedRequest], engine: ScriptedEngine
) -> None:
    engine.gate.clear()
    engine.faults = [SystemExit()]
    listeners = [submit(scheduler)[1] for _ in range(3)]
    engine.gate.set()
    for listener in listeners:
        end = await listener.ended()
        assert isinstance(end, Failed)
        assert end.error.code == "internal_error"
    await asyncio.to_thread(scheduler.thread.join)
    assert not scheduler.is_alive
    with pytest.raises(AisterError, match="restarting"):
        submit(scheduler)


async def test_stopping_ends_what_waits_and_runs_and_closes_the_engine(
    scheduler: Scheduler[ScriptedRequest], engine: ScriptedEngine
) -> None:
    await hold(scheduler, engine)
    listeners = [submit(scheduler)[1] for _ in range(2)]
    stopping = asyncio.create_task(asyncio.to_thread(scheduler.stop))
    while scheduler.is_alive:  # noqa: ASYNC110  # the thread tells no one that it was asked to stop
        await asyncio.sleep(0)
    engine.gate.set()
    await stopping
    for listener in listeners:
        assert isinstance(await listener.ended(), Failed)
    assert engine.is_closed


async def test_a_listener_that_raises_keeps_nobody_else_from_hearing(
    scheduler: Scheduler[ScriptedRequest], caplog: pytest.LogCaptureFixture
) -> None:
    def bad(_news: News) -> None:
        raise ValueError(CLIENTS_TEXT)

    scheduler.submit(ScriptedRequest(key="a"), bad)
    _, good = submit(scheduler)
    assert isinstance(await good.ended(), Finished)
    assert CLIENTS_TEXT not in caplog.text


async def test_a_call_runs_on_the_schedulers_thread(scheduler: Scheduler[ScriptedRequest]) -> None:
    loop, ran = asyncio.get_running_loop(), asyncio.Event()
    names: list[str] = []

    def note() -> None:
        names.append(threading.current_thread().name)
        loop.call_soon_threadsafe(ran.set)

    scheduler.call(note)
    async with asyncio.timeout(10):
        await ran.wait()
    assert names == ["aister-model-scripted"]


def test_a_closed_event_loop_is_logged_and_harms_nothing(
    scheduler: Scheduler[ScriptedRequest], engine: ScriptedEngine, caplog: pytest.LogCaptureFixture
) -> None:
    async def leave_a_request_behind() -> None:
        engine.gate.clear()
        submit(scheduler)

    asyncio.run(leave_a_request_behind())
    engine.gate.set()

    async def ask() -> None:
        _, listener = submit(scheduler)
        await listener.ended()

    asyncio.run(ask())
    assert "An event loop closed" in caplog.text
