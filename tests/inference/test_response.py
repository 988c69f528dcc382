"""One request from reception to its row: one end, whatever goes wrong on the way."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import ClassVar

import pytest

from inference import response
from inference.catalog import Catalog, ModelEntry, Task
from inference.engines.base import Delta
from inference.errors import AisterError
from inference.manager import ModelManager
from inference.models import UsageRecord
from inference.protocol import Message, ResponseDone, ResponseLoading, ServerEvent
from inference.response import Response
from inference.tasks.answer import Result
from inference.usage import Ledger
from tests.inference.scripted_engine import ScriptedEngine, ScriptedRequest
from tests.inference.test_manager import Loads

CLIENTS_TEXT = "what a client wrote"


class ScriptedAnswer:
    """Passes words on as they are. Raises where it is told to."""

    task: ClassVar[Task] = "chat"
    truncated = 0
    message_id: str | None = None

    def __init__(self, words: Sequence[str] = ("a", "b"), *, raises_in: str = "") -> None:
        self.words, self.raises_in = list(words), raises_in
        self.parts: list[str] = []

    def prepare(self, _engine: ScriptedEngine, key: str) -> ScriptedRequest:
        self.enter("prepare")
        return ScriptedRequest(key=key, words=self.words)

    def begin(self) -> Sequence[Delta]:
        self.enter("begin")
        return ()

    def hear(self, delta: Delta) -> Sequence[Delta]:
        self.enter("hear")
        self.parts.append(delta.text)
        return (delta,)

    def conclude(self, *, is_cancelled: bool) -> Result:
        self.enter("conclude")
        message = Message(id="msg_1", role="assistant", text="".join(self.parts))
        return Result(message=None if is_cancelled else message)

    def enter(self, place: str) -> None:
        if self.raises_in == place:
            raise RuntimeError(CLIENTS_TEXT)


class Rows:
    """A ledger's write that keeps the rows; the test makes it fail with `fault`."""

    def __init__(self) -> None:
        self.rows: list[UsageRecord] = []
        self.fault: Exception | None = None

    def __call__(self, records: list[UsageRecord]) -> None:
        if self.fault is not None:
            raise self.fault
        self.rows += records


@pytest.fixture
def loads() -> Loads:
    return Loads()


@pytest.fixture
async def manager(loads: Loads) -> AsyncIterator[ModelManager]:
    entry = ModelEntry(id="a", task="chat", source="/nowhere")
    manager = ModelManager(Catalog([entry]), loads, budget_bytes=1000, queue_capacity=8)
    yield manager
    loads.gate.set()
    await asyncio.to_thread(manager.close)


@pytest.fixture
def rows() -> Rows:
    return Rows()


@pytest.fixture
def ledger(rows: Rows) -> Iterator[Ledger]:
    ledger = Ledger(rows)
    yield ledger
    assert ledger.reserved == 0, "a place was never given back"
    ledger.close()


class Asked:
    """A request and what its client is told."""

    def __init__(self, answer: ScriptedAnswer) -> None:
        self.events: list[ServerEvent] = []
        self.created = asyncio.Event()
        self.response = Response("1", answer, model_id="a", key_id=1, transport="http", emit=self.emit)

    def emit(self, event: ServerEvent) -> None:
        self.events.append(event)
        self.created.set()

    async def hears(self, number: int) -> ServerEvent:
        """Return an event, once it has come."""
        async with asyncio.timeout(10):
            while len(self.events) <= number:  # noqa: ASYNC110  # whoever emits tells no one else
                await asyncio.sleep(0)
        return self.events[number]

    async def run(self, manager: ModelManager, ledger: Ledger) -> None:
        async with asyncio.timeout(10):
            await self.response.run(manager, ledger)

    @property
    def types(self) -> list[str]:
        return [str(event.__struct_config__.tag) for event in self.events]

    @property
    def done(self) -> ResponseDone:
        last = self.events[-1]
        assert isinstance(last, ResponseDone)
        return last


async def test_an_answer_is_told_in_order_and_has_its_row_before_its_end(
    manager: ModelManager, ledger: Ledger, rows: Rows
) -> None:
    await asyncio.wrap_future(manager.preload(["a"])[0])
    asked = Asked(ScriptedAnswer())
    await asked.run(manager, ledger)
    assert asked.types == ["response.created", "response.delta", "response.delta", "response.done"]
    assert asked.done.status == "completed"
    assert [(row.request_id, row.status) for row in rows.rows] == [(asked.response.request_id, "completed")]


async def test_who_waits_for_a_model_hears_how_its_load_is_getting_on(
    manager: ModelManager, loads: Loads, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(response, "LOADING_EVERY_S", 0.001)
    loads.gate.clear()
    loads.fraction = 0.409
    waiting = [Asked(ScriptedAnswer()) for _ in range(2)]
    running = [asyncio.create_task(asked.run(manager, ledger)) for asked in waiting]
    assert await asyncio.to_thread(loads.has_begun.wait, 10)
    for asked in waiting:
        later = await asked.hears(len(asked.events) + 1)
        assert isinstance(later, ResponseLoading)
        assert (later.id, later.percent, later.expected_s) == ("1", 40, None)
    loads.gate.set()
    await asyncio.gather(*running)
    for asked in waiting:
        told = [event for event in asked.events if isinstance(event, ResponseLoading)]
        assert asked.events[: len(told)] == told
        types = [kind for kind in asked.types[len(told) :] if kind != "response.queued"]
        assert types == ["response.created", "response.delta", "response.delta", "response.done"]


async def test_a_request_is_cancelled_while_its_model_loads(
    manager: ModelManager, loads: Loads, ledger: Ledger, rows: Rows
) -> None:
    loads.gate.clear()
    asked = Asked(ScriptedAnswer())
    running = asyncio.create_task(asked.run(manager, ledger))
    await asked.hears(0)
    asked.response.cancel()
    await running
    assert asked.types == ["response.loading", "response.created", "response.done"]
    assert asked.done.status == "cancelled"
    assert [row.status for row in rows.rows] == ["cancelled"]
    assert manager.slots["a"].leases == 0


async def test_cancelling_one_request_leaves_the_load_to_the_others(
    manager: ModelManager, loads: Loads, ledger: Ledger
) -> None:
    loads.gate.clear()
    cancelled, waiting = Asked(ScriptedAnswer()), Asked(ScriptedAnswer())
    running = [asyncio.create_task(asked.run(manager, ledger)) for asked in (cancelled, waiting)]
    async with asyncio.timeout(10):
        while manager.slots["a"].leases < 2:  # noqa: ASYNC110  # until both wait for the model
            await asyncio.sleep(0)
    cancelled.response.cancel()
    await running[0]
    loads.gate.set()
    await running[1]
    assert (cancelled.done.status, waiting.done.status) == ("cancelled", "completed")


@pytest.mark.parametrize("place", ["begin", "hear", "conclude"])
async def test_an_answer_that_raises_fails_its_request_and_nobody_waits(
    place: str, manager: ModelManager, ledger: Ledger, rows: Rows, caplog: pytest.LogCaptureFixture
) -> None:
    asked = Asked(ScriptedAnswer(raises_in=place))
    await asked.run(manager, ledger)
    assert asked.types.count("response.done") == 1
    assert asked.done.status == "failed"
    assert getattr(asked.done.error, "code", None) == "internal_error"
    assert len(rows.rows) == 1
    assert asked.response.request_id in caplog.text
    assert CLIENTS_TEXT not in caplog.text


async def test_a_request_that_can_not_be_prepared_is_refused_without_a_row(
    manager: ModelManager, ledger: Ledger, rows: Rows
) -> None:
    await asyncio.wrap_future(manager.preload(["a"])[0])
    asked = Asked(ScriptedAnswer(raises_in="prepare"))
    await asked.run(manager, ledger)
    assert asked.types == ["error"]
    assert rows.rows == []


async def test_a_model_that_can_not_be_loaded_is_told_and_nothing_is_kept(
    manager: ModelManager, loads: Loads, ledger: Ledger
) -> None:
    loads.gate.clear()
    loads.faults = [AisterError("model_unavailable")]
    asked = Asked(ScriptedAnswer())
    running = asyncio.create_task(asked.run(manager, ledger))
    await asked.hears(0)
    loads.gate.set()
    await running
    assert asked.types == ["response.loading", "error"]
    assert manager.slots["a"].leases == 0


async def test_an_answer_without_a_row_does_not_stand(manager: ModelManager, ledger: Ledger, rows: Rows) -> None:
    rows.fault = ValueError("no")
    asked = Asked(answer := ScriptedAnswer(raises_in="conclude"))
    await asked.run(manager, ledger)
    assert answer.parts == ["a", "b"]
    assert asked.done.status == "failed"
    assert getattr(asked.done.error, "code", None) == "usage_unavailable"
