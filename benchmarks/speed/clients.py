"""Clients of a measured server, as a developer would write them. One event loop."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, NamedTuple

from websockets.asyncio.client import ClientConnection, connect

from benchmarks.server import Server

HANGS_S = 900


class Answered(NamedTuple):
    """When a request was sent, had its first text, and had ended, by `time.perf_counter`; and its tokens."""

    sent_s: float
    first_s: float
    done_s: float
    output_tokens: int


class RefusedError(Exception):
    """The server answered with an error, or with less than was asked: there is nothing to measure."""


class Session:
    """An open session."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.sent = 0

    async def send(self, event: dict[str, Any]) -> None:
        """Send an event under an id of its own."""
        self.sent += 1
        await self.socket.send(json.dumps({"id": str(self.sent), **event}))

    async def settle(self, **settings: Any) -> None:
        """Change the session's settings."""
        await self.send({"type": "session.update", "settings": settings})
        await self.until("session.updated")

    async def until(self, *kinds: str) -> dict[str, Any]:
        """Return the next event of one of these types; raise RefusedError for one that says that something failed."""
        async with asyncio.timeout(HANGS_S):
            async for frame in self.socket:
                event: dict[str, Any] = json.loads(frame)
                if event["type"] == "error" or event.get("status") == "failed":
                    raise RefusedError(str(event["error"]))
                if event["type"] in kinds:
                    return event
        raise RefusedError("the session was closed")

    async def ask(self, event: dict[str, Any]) -> Answered:
        """Send a request and read its answer to the end."""
        sent_s = time.perf_counter()
        await self.send(event)
        told, first_s = await self.until("response.delta", "response.done"), time.perf_counter()
        done = told if told["type"] == "response.done" else await self.until("response.done")
        return Answered(sent_s, first_s, time.perf_counter(), done["usage"]["output_tokens"])

    async def chat(self, text: str) -> Answered:
        """Send a message and read the answer to its end."""
        return await self.ask({"type": "message.create", "text": text})


@asynccontextmanager
async def session(server: Server, task: str, key: str | None = None) -> AsyncIterator[Session]:
    """Have a session until the block ends."""
    headers = {"Authorization": f"Bearer {key or server.key}"}
    url = f"{server.ws_url}/v1/{task}"
    async with connect(
        url, additional_headers=headers, proxy=None, open_timeout=60, max_size=None, compression=None
    ) as socket:
        opened = Session(socket)
        await opened.until("session.created")
        yield opened


@asynccontextmanager
async def sessions(server: Server, task: str, count: int, key: str | None = None) -> AsyncIterator[list[Session]]:
    """Have many sessions until the block ends."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(session(server, task, key)) for _ in range(count)]


async def chat_at_once(server: Server, asked: Sequence[str], new_tokens: int, key: str | None = None) -> list[Answered]:
    """Send each text in a session of its own, all at once, and read all answers."""
    async with sessions(server, "chat", len(asked), key) as opened:
        for each in opened:
            await each.settle(max_tokens=new_tokens, temperature=0)
        return await asyncio.gather(*(each.chat(text) for each, text in zip(opened, asked, strict=True)))
