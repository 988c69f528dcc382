"""Somebody who behaves, beside those who don't: answers stream to them, while the server's memory is measured."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from tests.hostile.wire import Memory
from tests.live import Server
from tests.server.client import RAMBLE, RAMBLING, session

MOST_MB = 20
LARGE = [{"role": role, "text": "x" * 40_000} for _ in range(5) for role in ("user", "assistant")]


async def warm(server: Server) -> None:
    """Do once what the tests do."""
    async with session(server) as chat:
        await chat.do("conversation.load", messages=LARGE)
        await chat.do("conversation.get")
        await chat.ask("message.create", text=RAMBLE)
    async with session(server, "translate") as translation:
        await translation.ask("translation.create", text=["Good morning", "Guten Tag"], target="fr")


@asynccontextmanager
async def others_are_served(server: Server, most_mb: float = MOST_MB) -> AsyncIterator[Memory]:
    """Stream answers to somebody who behaves, from before the block to after it; memory may grow by `most_mb`."""
    async with session(server) as chat:
        await chat.do("session.update", settings=RAMBLING)
        news = asyncio.Event()
        streaming = asyncio.ensure_future(stream(chat, news))
        await news.wait()
        memory = Memory(server)
        yield memory
        for _ in range(3):
            news.clear()
            await asyncio.wait({streaming, asyncio.ensure_future(news.wait())}, return_when=asyncio.FIRST_COMPLETED)
        assert not streaming.done(), streaming.result()
        streaming.cancel()
        with suppress(asyncio.CancelledError):
            await streaming
    grown_mb = memory.grown_mb
    assert grown_mb < most_mb or os.environ.get("STOCK")


async def stream(chat: session, news: asyncio.Event) -> None:
    """Ask again and again, and say that there was news at each piece of an answer."""
    while True:
        await chat.send("message.create", text=RAMBLE)
        while (told := await chat.receive())["type"] != "response.done":
            assert told["type"] != "error", told
            if told["type"] == "response.delta":
                news.set()
