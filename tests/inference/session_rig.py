"""What a session runs on in test_session_machine.py: a client below the application, and a model that is let speak step
by step.
"""

import asyncio
import json
import threading
from collections.abc import Callable
from typing import Any

from aister_site.asgi import application
from aister_site.guard import GUARDED
from inference.engines.base import Output
from inference.engines.decoder import DecoderEngine
from tests.inference.session_model import Event, Frame

PATIENCE_S = 30.0


class Pace:
    """How many steps an engine may make; None is as many as it likes. Any thread."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.steps: int | None = None

    def allow(self, steps: int | None) -> None:
        """Set how many steps may be made from now on."""
        with self.changed:
            self.steps = steps
            self.changed.notify_all()

    def wait(self) -> None:
        """Return when one more step may be made."""
        with self.changed:
            self.changed.wait_for(lambda: self.steps != 0)
            if self.steps is not None:
                self.steps -= 1


class PacedEngine(DecoderEngine):
    """The engine as it is, but for the moments of its steps."""

    pace: Pace

    def step(self) -> list[Output]:
        self.pace.wait()
        return super().step()


class Client:
    """A WebSocket client on the other side of the ASGI application."""

    def __init__(self, key: str) -> None:
        self.incoming: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.outgoing: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.incoming.put_nowait({"type": "websocket.connect"})
        scope = {
            "type": "websocket",
            "path": "/v1/chat",
            "query_string": b"",
            "headers": [(b"authorization", f"Bearer {key}".encode())],
            "subprotocols": [],
            "client": ["127.0.0.1", 1],
            "extensions": {GUARDED: {}},
        }
        self.session = asyncio.create_task(application(scope, self.incoming.get, self.outgoing.put))

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
        event: Event = json.loads(message["text"])
        return event

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
