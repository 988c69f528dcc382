"""Clients that keep a server busy and remember how every request ended; and a server that may be killed.

One event loop. A client asks again as soon as it has its answer, until the server is gone or `Witness.stop` is called.
"""

import asyncio
import random
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any

import httpx
from websockets.exceptions import ConnectionClosed

from tests import live
from tests.live import Server
from tests.server.client import async_http, session

CHATS = 4
TRANSLATIONS = 3
TRANSLATED_AT_ONCE = 3
HTTP_CLIENTS = 2
HANGS_S = 40  # later than any patience of the server's
LOADS_S = 180  # models, on a machine that does other things too
SAID = ["Hello!", "What is Aister?", "Thank you!", "Good morning", "How are you?"]
BRIEF = {"max_tokens": 12}


@dataclass(frozen=True)
class End:
    """How a request ended. It has an id where there was a `response.done`, a code where there was an error."""

    client: str
    request_id: str | None
    code: str | None
    began_s: float
    ended_s: float


@dataclass
class Witness:
    """What all clients saw."""

    ends: list[End] = field(default_factory=list)
    last: dict[str, End] = field(default_factory=dict)  # by client
    seen: asyncio.Event = field(default_factory=asyncio.Event)
    is_over: bool = False

    def see(self, client: str, event: dict[str, Any], began_s: float) -> None:
        """Take down the last event of a request."""
        error = event.get("error")
        has_row = event["type"] == "response.done"
        request_id = event["request_id"] if has_row else None
        end = End(client, request_id, error["code"] if error else None, began_s, monotonic())
        self.ends.append(end)
        self.last[client] = end
        self.seen.set()

    def done(self) -> list[str]:
        """Return the ids of requests that must have a row: `response.done` was seen, and not `usage_unavailable`."""
        return [end.request_id for end in self.ends if end.request_id and end.code != "usage_unavailable"]

    def unavailable(self) -> list[str]:
        """Return the ids of those that were told that they have none."""
        return [end.request_id for end in self.ends if end.request_id and end.code == "usage_unavailable"]

    def slowest_s(self) -> float:
        """Return how long the slowest request took."""
        return max((end.ended_s - end.began_s for end in self.ends), default=0.0)

    async def until(self, is_so: Callable[[], bool], hangs_s: float = HANGS_S) -> None:
        """Wait for something that follows from what was seen; raise TimeoutError when it never comes."""
        async with asyncio.timeout(hangs_s):
            while not is_so():
                self.seen.clear()
                await self.seen.wait()


@contextmanager
def killable(home: Path, **settings: str) -> Iterator[Server]:
    """Run a server whose end, and whose log, are the test's own affair."""
    log = home.with_name(f"{home.name}.log")
    with log.open("wb") as output:
        process = live.spawn(home, output, **settings)
    try:
        url = live.wait_for(process, log, live.LISTENING)[1]
        yield Server(process, url, (home / "first_key").read_text().strip(), home, log)
    finally:
        if process.poll() is None:
            live.end(process)


async def loaded(server: Server) -> None:
    """Wait for the models, so that no request's time is theirs."""
    async with asyncio.timeout(LOADS_S):
        while not live.LOADED.search(server.log.read_text()):  # noqa: ASYNC110  # another process writes it
            await asyncio.sleep(0.05)


async def chat(server: Server, witness: Witness, client: str) -> None:
    """Chat without a pause."""
    async with session(server) as opened:
        await opened.do("session.update", settings=BRIEF)
        while not witness.is_over:
            began_s = monotonic()
            async with asyncio.timeout(HANGS_S):
                answer = await opened.ask("message.create", text=random.choice(SAID))
            witness.see(client, answer.last, began_s)


async def translate(server: Server, witness: Witness, client: str) -> None:
    """Have several texts translated at once, in requests of their own."""
    async with session(server, "translate") as opened:
        while not witness.is_over:
            began_s = monotonic()
            ids = [str(number) for number in range(TRANSLATED_AT_ONCE)]
            for event_id in ids:
                await opened.send("translation.create", event_id, text=random.choice(SAID), source="en", target="fr")
            waiting = set(ids)
            while waiting:
                async with asyncio.timeout(HANGS_S):
                    event = await opened.receive()
                if event["type"] in ("response.done", "error"):
                    waiting.remove(event["id"])
                    witness.see(client, event, began_s)


async def post(server: Server, witness: Witness, client: str) -> None:
    """Chat over plain HTTP, where every request needs the database before it is let in."""
    async with async_http(server) as http:
        while not witness.is_over:
            began_s = monotonic()
            body = {"messages": [{"role": "user", "text": random.choice(SAID)}], "settings": BRIEF}
            response = await http.post("/v1/chat", json=body, timeout=HANGS_S)
            witness.see(client, response.json(), began_s)


async def served(client: Coroutine[Any, Any, None]) -> None:
    """Run a client until it ends; that the server went away is its end too."""
    try:
        await client
    except (ConnectionClosed, OSError, httpx.TransportError) as fault:
        if isinstance(fault, TimeoutError | httpx.TimeoutException):
            raise


def clients(server: Server, witness: Witness) -> list["asyncio.Task[None]"]:
    """Set all clients to work."""
    kinds = [(chat, CHATS), (translate, TRANSLATIONS), (post, HTTP_CLIENTS)]
    return [
        asyncio.create_task(served(kind(server, witness, f"{kind.__name__} {number}")))
        for kind, how_many in kinds
        for number in range(how_many)
    ]
