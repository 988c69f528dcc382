"""Who comes to the server, how many of each, and what keeps them coming. One event loop."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Collection
from typing import NamedTuple

import httpx
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from benchmarks.server import Server
from benchmarks.soak import people, traffic, trouble
from benchmarks.soak.client import Client
from benchmarks.soak.record import Record

log = logging.getLogger(__name__)
Visit = Callable[[Client], Awaitable[None]]


class Kind(NamedTuple):
    """A kind of client: what one visit of its is, how many there are, which key they have, what they must expect."""

    visit: Visit
    how_many: int
    key: str = "first"
    expected: Collection[str] = ()


# Together they keep the server at about two thirds of a core of 2026: busy, but never at its limit.
KINDS = {
    "chats": Kind(traffic.chat, 10),
    "translates": Kind(traffic.translate, 6, "translation only"),
    "posts": Kind(traffic.post, 4),
    "has a token": Kind(traffic.with_token, 1),
    "idles": Kind(traffic.idle, 12),
    "visits": Kind(people.visit, 2),
    "operates": Kind(people.operate, 1),
    "vanishes": Kind(trouble.vanish, 2),
    "never reads": Kind(trouble.never_read, 1, expected=["cut off", "client_too_slow"]),
    "sends rubbish": Kind(trouble.send_rubbish, 1, expected=trouble.RUBBISH),
    "protests": Kind(trouble.protest, 1),
    "guesses keys": Kind(trouble.guess, 1, expected=trouble.GUESSES),
    "hurries": Kind(trouble.hurry, 2, "30 a minute", ["rate_limited"]),
    "crowds": Kind(trouble.crowd, 1, expected=["conversation_busy"]),
    "loses its key": Kind(trouble.lose_the_key, 1, expected=["revoked_key"]),
}
KEYS = {"translation only": ["--tasks", "translation"], "30 a minute": ["--requests-per-minute", "30"]}
AGAIN_S = 1.0  # after a visit that failed


def make_keys(server: Server) -> dict[str, str]:
    """Return the keys that clients have, by name; raise CalledProcessError when one can't be made."""
    return {"first": server.key, **{name: server.make_key(name, *options) for name, options in KEYS.items()}}


def arrive(
    server: Server, record: Record, made: dict[str, str], *, seed: int, pace: float
) -> list["asyncio.Task[None]"]:
    """Set everybody to work, with these keys."""
    tasks = []
    for who, kind in KINDS.items():
        for number in range(kind.how_many):
            rng = random.Random(f"{seed} {who} {number}")
            client = Client(who, server, record, rng, made[kind.key], pace, kind.expected)
            tasks.append(asyncio.create_task(keep_coming(client, kind.visit)))
    return tasks


async def keep_coming(client: Client, visit: Visit) -> None:
    """Visit again and again, until the server stops."""
    await client.think(1.0)
    async with client.http:
        while not client.record.is_stopping:
            try:
                await visit(client)
                client.record.visits[client.who] = client.record.visits.get(client.who, 0) + 1
            except ConnectionClosed as fault:
                client.record.cut_off(client.who, f"closed {fault.rcvd.code if fault.rcvd else 'without a word'}")
                await asyncio.sleep(AGAIN_S)
            except (OSError, httpx.TransportError, InvalidHandshake, EOFError) as fault:
                client.record.cut_off(client.who, type(fault).__name__)
                await asyncio.sleep(AGAIN_S)
            except Exception as fault:  # a mistake in this package must not look like an hour without trouble
                if not client.record.is_stopping:
                    log.exception("A client that %s failed.", client.who)
                client.record.cut_off(client.who, type(fault).__name__)
                await asyncio.sleep(AGAIN_S)
