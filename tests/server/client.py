"""A client as a developer would write it: it knows the protocol and nothing of the server's insides."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.live import Server

Event = dict[str, Any]
Headers = Mapping[str, str]
HeaderLines = Mapping[str, str] | Sequence[tuple[str, str]]
WAIT_S = 60
LAST = ("response.done", "error")
# Sampled so, a small model hardly ever finds the end of its answer: hundreds of tokens to cancel, vanish or wait in.
RAMBLING = {"temperature": 2, "top_k": 256, "top_p": 1, "repetition_penalty": 2, "seed": 8, "max_tokens": 32_768}
RAMBLE = "a"


@dataclass
class Answer:
    """The events of one request, in the order in which they came."""

    events: list[Event] = field(default_factory=list)

    @property
    def types(self) -> list[str]:
        """What kinds of events came."""
        return [event["type"] for event in self.events]

    @property
    def last(self) -> Event:
        """The last event: `response.done` or `error`."""
        return self.events[-1]

    @property
    def status(self) -> str:
        """How the request ended."""
        return str(self.last["status"])

    @property
    def code(self) -> str:
        """The code of the error that it ended with."""
        return str(self.last["error"]["code"])

    @property
    def deltas(self) -> str:
        """The text that was streamed, of the only item."""
        return "".join(event["text"] for event in self.events if event["type"] == "response.delta")

    @property
    def text(self) -> str:
        """The text of the answer."""
        return str(self.last["message"]["text"])

    @property
    def translations(self) -> list[str]:
        """The texts of a translation."""
        return [translation["text"] for translation in self.last["translations"]]


class Session:
    """An open session; `created` is its first event."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.created: Event = {}

    async def send(self, kind: str, event_id: str = "1", **fields: Any) -> None:
        """Send one event."""
        await self.socket.send(json.dumps({"type": kind, "id": event_id, **fields}))

    async def receive(self) -> Event:
        """Return the next event."""
        async with asyncio.timeout(WAIT_S):  # in Python 3.11 wait_for loses a cancellation that comes with a frame
            frame = await self.socket.recv()
        assert isinstance(frame, str), "a frame of bytes"
        event: Event = json.loads(frame)
        return event

    async def until(self, kind: str) -> list[Event]:
        """Return the events up to the first of a kind."""
        events = [await self.receive()]
        while events[-1]["type"] != kind:
            events.append(await self.receive())
        return events

    async def say(self, frame: str | bytes) -> Event:
        """Send a frame as it stands and return the next event."""
        await self.socket.send(frame)
        return await self.receive()

    async def do(self, kind: str, event_id: str = "1", **fields: Any) -> Event:
        """Send a command and return the next event, which answers it."""
        await self.send(kind, event_id, **fields)
        return await self.receive()

    async def ask(self, kind: str, event_id: str = "1", **fields: Any) -> Answer:
        """Send a request and return its answer; nothing else may be open."""
        await self.send(kind, event_id, **fields)
        return (await self.answers(event_id))[event_id]

    async def answers(self, *event_ids: str) -> dict[str, Answer]:
        """Read until all these requests have ended."""
        answers: dict[str, Answer] = {event_id: Answer() for event_id in event_ids}
        waiting = set(event_ids)
        while waiting:
            event = await self.receive()
            answers.setdefault(event.get("id"), Answer()).events.append(event)  # type: ignore[arg-type]  # null ids too
            if event["type"] in LAST:
                waiting.discard(event.get("id"))  # type: ignore[arg-type]
        return answers

    async def ramble(self, event_id: str = "1") -> list[Event]:
        """Begin an answer without end, and return its events up to its first text."""
        await self.do("session.update", "settings", settings=RAMBLING)
        await self.send("message.create", event_id, text=RAMBLE)
        return await self.until("response.delta")

    async def closed(self) -> tuple[list[Event], int | None]:
        """Read to the end; return the events that were left and the close code."""
        events = []
        try:
            while True:
                events.append(await self.receive())
        except ConnectionClosed:
            return events, self.socket.close_code

    def vanish(self) -> None:
        """Go without a word, as a client that lost its network or its power."""
        self.socket.transport.abort()


@asynccontextmanager
async def connected(
    server: Server, path: str, headers: HeaderLines | None = None, subprotocols: list[Any] | None = None
) -> AsyncIterator[Session]:
    """A socket on which nothing was read yet."""
    url = server.ws_url + path
    async with connect(
        url,
        additional_headers=headers,
        subprotocols=subprotocols,
        open_timeout=WAIT_S,
        max_size=None,
        max_queue=None,
        proxy=None,
        ssl=server.trust,
    ) as socket:
        yield Session(socket)


@asynccontextmanager
async def session(
    server: Server, task: str = "chat", headers: HeaderLines | None = None, subprotocols: list[Any] | None = None
) -> AsyncIterator[Session]:
    """An open session of the endpoint `task`, with the server's first key when no other is given."""
    if headers is None and subprotocols is None:
        headers = server.headers
    async with connected(server, f"/v1/{task}", headers, subprotocols) as opened:
        opened.created = await opened.receive()
        assert opened.created["type"] == "session.created", opened.created
        yield opened


async def refusal(
    server: Server, path: str, headers: HeaderLines | None = None, subprotocols: list[Any] | None = None
) -> tuple[Event, int | None]:
    """Connect where no session is to be had; return the one event that says why, and the close code."""
    async with connected(server, path, headers, subprotocols) as refused:
        events, code = await refused.closed()
    assert len(events) == 1, events
    return events[0], code


def http(server: Server, headers: Headers | None = None) -> httpx.Client:
    """A client for plain HTTP, with the server's first key when no other headers are given."""
    headers = server.headers if headers is None else headers
    trust = True if server.trust is None else server.trust
    return httpx.Client(base_url=server.url, headers=headers, timeout=WAIT_S, verify=trust, trust_env=False)


def async_http(server: Server, headers: Headers | None = None) -> httpx.AsyncClient:
    """The same for a test that does other things meanwhile."""
    headers = server.headers if headers is None else headers
    trust = True if server.trust is None else server.trust
    return httpx.AsyncClient(base_url=server.url, headers=headers, timeout=WAIT_S, verify=trust, trust_env=False)


def error_code(event: Event) -> str:
    """Return the code of an `error` event."""
    assert event["type"] == "error", event
    return str(event["error"]["code"])
