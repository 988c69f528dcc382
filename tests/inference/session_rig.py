"""What a session runs on in the tests of whatever a client may send: the application's other side, and a model that is
let speak step by step, or fails at one.
"""

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import pytest

from aister_site.asgi import application as asgi_application
from aister_site.guard import GUARDED
from inference.apps import BUNDLED, application
from inference.catalog import Catalog, ModelEntry, Task
from inference.consumers import session
from inference.engines.base import Output
from inference.engines.decoder import DecoderEngine
from inference.engines.progress import Report
from inference.engines.seq2seq import Seq2SeqEngine, SequenceRequest
from inference.manager import Model, ModelManager
from inference.usage import Ledger, insert
from tests.inference.session_model import Event, Frame

PATIENCE_S = 30.0


class BrokenStepError(Exception):
    """A step failed on purpose."""


class Pace:
    """How many steps an engine may make; None is as many as it likes. Any thread."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.steps: int | None = None
        self.is_broken = False
        self.is_waiting = False  # the engine, at a step that it may not make yet

    def allow(self, steps: int | None) -> None:
        """Set how many steps may be made from now on."""
        with self.changed:
            self.steps = steps
            self.changed.notify_all()

    def wait(self) -> None:
        """Return when one more step may be made; raise BrokenStepError when that one is to fail."""
        with self.changed:
            self.is_waiting = True
            self.changed.wait_for(lambda: self.steps != 0)
            self.is_waiting = False
            if self.steps is not None:
                self.steps -= 1
            is_broken, self.is_broken = self.is_broken, False
        if is_broken:
            raise BrokenStepError


class PacedDecoder(DecoderEngine):
    """The engine as it is, but for the moments of its steps."""

    pace: Pace

    def step(self) -> list[Output]:
        self.pace.wait()
        return super().step()


class PacedTranslator(Seq2SeqEngine):
    """The engine as it is, but for the moments of its steps and for its room, so that a session's requests queue."""

    pace: Pace
    most_requests = 4

    def step(self) -> list[Output]:
        self.pace.wait()
        return super().step()

    def has_room_for(self, request: SequenceRequest) -> bool:
        return len(self._pool) < self.most_requests


class Rig:
    """What all examples of a test share: a loaded model, a ledger on the database."""

    def __init__(self, task: Task, model_id: str, load: Callable[[ModelEntry], Any], queue_capacity: int) -> None:
        self.pace = Pace()
        self.task = task
        self.model_id = model_id
        self.queue_capacity = queue_capacity
        self.load_engine = load
        catalog = Catalog([ModelEntry(id=model_id, task=task, source=str(BUNDLED / model_id), is_default=True)])
        self.manager = ModelManager(catalog, self.load, budget_bytes=10**9, queue_capacity=queue_capacity)
        self.ledger = Ledger(insert)

    def load(self, entry: ModelEntry, _report: Report) -> Any:
        engine = self.load_engine(entry)
        engine.pace = self.pace
        return engine

    @property
    def model(self) -> Model:
        return self.manager.preload([self.model_id])[0].result(60)

    def has_settled(self) -> bool:
        """True when the engine has nothing to do, and nothing to forget."""
        scheduler = self.model.scheduler
        return not scheduler.calls and not scheduler.queue.size and self.model.engine.is_idle

    def close(self) -> None:
        self.pace.allow(None)
        self.manager.close()
        self.ledger.close()

    @contextmanager
    def in_place(self, monkeypatch: pytest.MonkeyPatch) -> Iterator["Rig"]:
        """Let the application's sessions use this model and ledger until the block ends."""
        monkeypatch.setattr(application(), "manager", self.manager)
        monkeypatch.setattr(session, "ledger", self.ledger)
        try:
            yield self
        finally:
            self.close()


class Socket:
    """A WebSocket, seen from the other side of the ASGI application."""

    def __init__(self, path: str, secret: str) -> None:
        self.incoming: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.outgoing: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.incoming.put_nowait({"type": "websocket.connect"})
        scope = {
            "type": "websocket",
            "path": path,
            "query_string": b"",
            "headers": [(b"authorization", f"Bearer {secret}".encode())],
            "subprotocols": [],
            "client": ["127.0.0.1", 1],
            "extensions": {GUARDED: {}},
        }
        self.session = asyncio.create_task(asgi_application(scope, self.incoming.get, self.outgoing.put))

    async def hear(self) -> dict[str, Any]:
        """Return the next message of the application."""
        async with asyncio.timeout(PATIENCE_S):
            return await self.outgoing.get()

    async def hear_event(self) -> Event | int:
        """Return the next event, or the code with which the session is closed."""
        message = await self.hear()
        if message["type"] == "websocket.close":
            return int(message["code"])
        assert message["type"] == "websocket.send"
        return cast(Event, json.loads(message["text"]))

    def say(self, frame: Frame) -> None:
        """Send a frame."""
        data = frame.data or json.dumps(frame.event)
        self.incoming.put_nowait({"type": "websocket.receive", "text" if isinstance(data, str) else "bytes": data})

    async def leave(self) -> None:
        """Close the socket; return when nothing of the session runs but its requests."""
        self.incoming.put_nowait({"type": "websocket.disconnect", "code": 1001})
        async with asyncio.timeout(PATIENCE_S):
            await self.session


async def until(claim: Callable[[], bool]) -> None:
    """Wait until a claim about another thread holds."""
    async with asyncio.timeout(PATIENCE_S):
        while not claim():  # noqa: ASYNC110  # no event tells it
            await asyncio.sleep(0.001)
