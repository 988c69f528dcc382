"""Somebody who behaves, beside those who don't: answers stream to them, while the server's memory is measured."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.hostile.wire import Memory
from tests.live import Server
from tests.server.client import RAMBLE, RAMBLING, Session, session

MOST_MB = 20
# each answer in a conversation of its own, for which one block of K and V is enough: what is kept of it never grows
BRIEF = {**RAMBLING, "max_tokens": 200}
# what the heap once took stays with the process, so that only what takes more than before is growth
KEEP_HEAP = {"MALLOC_TRIM_THRESHOLD_": str(1 << 30), "MALLOC_MMAP_THRESHOLD_": str(1 << 25)}
LARGE = [{"role": role, "text": "x" * 40_000} for _ in range(5) for role in ("user", "assistant")]


async def warm(server: Server) -> None:
    """Do once what the tests do; then, the heap cut to what is in use, let it take what two at a time need."""
    await use(server)
    server.process.send_signal(signal.SIGUSR1)
    await asyncio.gather(use(server), use(server))


async def use(server: Server) -> None:
    """Load and read back a large conversation, chat and translate."""
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
        await chat.do("session.update", settings=BRIEF)
        news = asyncio.Event()
        streaming = asyncio.create_task(stream(chat, news))
        try:
            await heard(news, streaming)
            memory = Memory(server)
            yield memory
            for _ in range(3):
                await heard(news, streaming)
        finally:
            streaming.cancel()
            await asyncio.gather(streaming, return_exceptions=True)
    grown_mb = memory.grown_mb
    assert grown_mb < most_mb or os.environ.get("STOCK"), f"{memory.before_mb:.0f} MB at first, {grown_mb:+.1f} at most"


async def heard(news: asyncio.Event, streaming: "asyncio.Task[None]") -> None:
    """Wait for the next piece of an answer; raise what ended the stream, should that come first."""
    news.clear()
    waiting = asyncio.create_task(news.wait())
    await asyncio.wait({streaming, waiting}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if streaming.done():
        streaming.result()


async def stream(chat: Session, news: asyncio.Event) -> None:
    """Ask again and again, and say that there was news at each piece of an answer."""
    while True:
        await chat.do("conversation.load", messages=[])
        await chat.send("message.create", text=RAMBLE)
        while (told := await chat.receive())["type"] != "response.done":
            assert told["type"] != "error", told
            if told["type"] == "response.delta":
                news.set()
        assert told["status"] == "completed", told
