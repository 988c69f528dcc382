"""A client as a developer would write it, which takes down what it sees. One event loop.

Waiting ends after HANGS_S with TimeoutError: whatever takes longer is a fault of the server's.
"""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from benchmarks.server import Server
from benchmarks.soak.record import Page, Record, Request

Event = dict[str, Any]
HANGS_S = 60


def browser(server: Server, **options: Any) -> httpx.AsyncClient:
    """Return a client for plain HTTP. Without TLS: to load its certificates takes 50 ms."""
    return httpx.AsyncClient(base_url=server.url, timeout=HANGS_S, trust_env=False, verify=False, **options)


@dataclass
class Client:
    """One of the crowd: who it is, the key it has, its own dice, and an HTTP connection."""

    who: str
    server: Server
    record: Record
    rng: random.Random
    key: str
    pace: float = 1.0  # think times are multiplied by it
    expected: Collection[str] = ()  # codes of errors that are no fault of the server's
    http: httpx.AsyncClient = field(init=False)

    def __post_init__(self) -> None:
        self.http = browser(self.server)

    @property
    def headers(self) -> dict[str, str]:
        """What a program sends to say who it is."""
        return {"Authorization": f"Bearer {self.key}"}

    async def think(self, mean_s: float) -> None:
        """Wait as people do: mostly briefly, sometimes for long, never for very long."""
        await asyncio.sleep(self.pace * min(self.rng.expovariate(1 / mean_s), 5 * mean_s))

    def chance(self, probability: float) -> bool:
        """Throw the dice."""
        return self.rng.random() < probability

    @asynccontextmanager
    async def session(self, task: str, **options: Any) -> AsyncIterator["Session"]:
        """Have a session until the block ends, or until the server ends it and has said why."""
        options = {"additional_headers": self.headers, **options}
        url = f"{self.server.ws_url}/v1/{task}"
        async with connect(url, proxy=None, open_timeout=HANGS_S, max_size=None, **options) as socket:
            session = Session(self, socket)
            self.record.sessions += 1
            try:
                session.take(await session.receive())
                yield session
            except ConnectionClosed:
                if not session.was_told_why:
                    raise
            finally:
                self.record.sessions -= 1
                for request in session.open.values():
                    self.record.lose(request)

    async def get(self, path: str, kind: str, status: int = 200) -> httpx.Response:
        """Get a page, and time it; another status than this is a fault."""
        began_s = self.record.now_s
        response = await self.http.get(path)
        self.record.pages.append(Page(kind, began_s, self.record.now_s))
        if response.status_code != status:
            self.record.cut_off(self.who, f"{kind}: {response.status_code}")
        return response

    async def post(self, path: str, kind: str, body: Event) -> Request:
        """Have a request answered by plain HTTP."""
        request = self.record.begin(kind)
        try:
            response = await self.http.post(path, json=body, headers=self.headers)
            self.record.hear(request, response.json(), self.who, self.expected)
        finally:
            self.record.lose(request)
        return request

    async def stream(self, kind: str, body: Event, most_events: int | None = None) -> Request:
        """Have a chat answered by server-sent events; go without a word after `most_events` of them."""
        request = self.record.begin(kind)
        try:
            async with self.http.stream(
                "POST", "/v1/chat", json={**body, "stream": True}, headers=self.headers
            ) as response:
                heard = 0
                async for line in response.aiter_lines():
                    if line.startswith("data: "):
                        self.record.hear(request, json.loads(line.removeprefix("data: ")), self.who, self.expected)
                        heard += 1
                    elif line.startswith("{"):
                        self.record.hear(request, json.loads(line), self.who, self.expected)
                    if heard == most_events:
                        break
        finally:
            self.record.lose(request)
        return request


class Session:
    """An open session; its requests may be open side by side."""

    def __init__(self, client: Client, socket: ClientConnection) -> None:
        self.client = client
        self.socket = socket
        self.record = client.record
        self.open: dict[str, Request] = {}
        self.was_told_why = False
        self.created: Event | None = None
        self.sent = 0

    async def receive(self) -> Event:
        """Return the next event."""
        async with asyncio.timeout(HANGS_S):
            event: Event = json.loads(await self.socket.recv())
        return event

    def take(self, event: Event) -> None:
        """Take down an event."""
        request = self.open.get(event.get("id") or "")
        if event["type"] == "session.created":
            self.created = event
        elif request is not None:
            self.record.hear(request, event, self.client.who, self.client.expected)
            if request.end != "open":
                del self.open[event["id"]]
        elif event["type"] == "error":
            self.was_told_why = self.was_told_why or event["id"] is None
            self.record.fault(self.client.who, event["error"]["code"], self.client.expected)

    async def send(self, kind: str, **fields: Any) -> str:
        """Send an event and return its id."""
        self.sent += 1
        event_id = str(self.sent)
        await self.socket.send(json.dumps({"type": kind, "id": event_id, **fields}))
        return event_id

    async def start(self, kind: str, event_type: str, **fields: Any) -> Request:
        """Send a request and don't wait."""
        request = self.open[str(self.sent + 1)] = self.record.begin(kind)
        await self.send(event_type, **fields)
        return request

    async def ended(self, *requests: Request) -> None:
        """Read until these have ended."""
        while any(request.end == "open" for request in requests):
            self.take(await self.receive())

    async def begun(self, request: Request) -> None:
        """Read until there is some text, or the end."""
        while request.end == "open" and request.first_s is None:
            self.take(await self.receive())

    async def ask(self, kind: str, event_type: str, **fields: Any) -> Request:
        """Send a request and wait for its end."""
        request = await self.start(kind, event_type, **fields)
        await self.ended(request)
        return request

    async def do(self, event_type: str, **fields: Any) -> Event:
        """Send a command and return the event that answers it."""
        event_id = await self.send(event_type, **fields)
        while True:
            event = await self.receive()
            self.take(event)
            if event.get("id") == event_id:
                return event

    def id_of(self, request: Request) -> str:
        """Return the event id of an open request."""
        return next(event_id for event_id, other in self.open.items() if other is request)

    def vanish(self) -> None:
        """Go without a word, as a client that lost its network or its power."""
        self.socket.transport.abort()
