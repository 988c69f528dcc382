"""The whole server, from outside: sockets that stream, its event loop, a key beside one that asks for too much."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.server import Server
from benchmarks.speed import clients, serving
from benchmarks.speed.engine_sides import WrongLengthError
from benchmarks.speed.results import quantile
from benchmarks.speed.scale import Scale
from benchmarks.speed.texts import texts
from benchmarks.speed.worker import Figures, Run

RUNNING = 24
"""Requests of one key that are answered at the same time, by default: three quarters of AISTER_BATCH."""
SAID = 4
"""Tokens of the answers whose first one is timed."""
PROBED = ("-m", "benchmarks.speed.probed", "serve")


def stream(server: Server, scale: Scale, number: int) -> Figures:
    """Let all streams be answered at once; return tokens a second and seconds to the first token."""
    asked = texts(number, scale.streams, scale.prompt_tokens)
    answered = asyncio.run(clients.chat_at_once(server, asked, scale.new_tokens))
    if any(each.output_tokens != scale.new_tokens for each in answered):
        raise WrongLengthError(str(answered))
    took_s = max(each.done_s for each in answered) - min(each.sent_s for each in answered)
    return {
        "tokens_per_s": scale.streams * scale.new_tokens / took_s,
        "first_token_s": sum(each.first_s - each.sent_s for each in answered) / len(answered),
    }


@contextmanager
def sockets(scale: Scale, threads: int) -> Iterator[Run]:
    """Stream to sockets through the whole server."""
    with serving.started(scale, threads) as server:
        yield lambda number: stream(server, scale, number)


@contextmanager
def loop_lag(scale: Scale, threads: int) -> Iterator[Run]:
    """Stream to sockets, and ask the server's event loop every few milliseconds how late it is."""
    with TemporaryDirectory(prefix="aister-bench-") as directory:
        lags = Path(directory, "lags")
        with serving.started(scale, threads, PROBED, AISTER_BENCH_LAGS=str(lags)) as server:

            def run(number: int) -> Figures:
                began_at = lags.stat().st_size
                figures = stream(server, scale, number)
                seen = [float(line) for line in lags.read_text()[began_at:].splitlines()]
                return {
                    "lag_p99_ms": quantile(seen, 0.99),
                    "lag_p50_ms": quantile(seen, 0.5),
                    "lag_most_ms": max(seen),
                    **figures,
                }

            yield run


async def first_tokens_s(server: Server, scale: Scale, number: int, key: str) -> list[float]:
    """Return how long requests of a key, one after the other, take to their first token."""
    async with clients.session(server, "chat", key) as session:
        await session.settle(max_tokens=SAID, temperature=0)
        seen = []
        for text in texts(number, scale.asked_under_load, scale.prompt_tokens // 4):
            answered = await session.chat(text)
            seen.append(answered.first_s - answered.sent_s)
        return seen


async def keep_asking(session: clients.Session, text: str, has_asked: asyncio.Event) -> None:
    """Begin a conversation as soon as the one before has its answer; say when the server has the first request."""
    while True:
        await session.send({"type": "message.create", "text": text})
        await session.until("response.queued", "response.created")
        has_asked.set()
        await session.until("response.done")
        await session.send({"type": "conversation.load", "messages": []})
        await session.until("conversation")


async def crowded(server: Server, scale: Scale, number: int, greedy: str, other: str) -> list[float]:
    """Return how long a key's requests take to their first token while another's wait by the hundred."""
    busy = scale.waiting_requests + RUNNING
    async with clients.sessions(server, "chat", busy, greedy) as opened:
        for session in opened:
            await session.settle(max_tokens=scale.new_tokens, temperature=0)
        asked = [(text, asyncio.Event()) for text in texts(-number, busy, scale.prompt_tokens // 4)]
        tasks = [asyncio.create_task(keep_asking(s, *each)) for s, each in zip(opened, asked, strict=True)]
        try:
            await asyncio.gather(*(has_asked.wait() for _, has_asked in asked))
            return await first_tokens_s(server, scale, number, other)
        finally:
            if ended := [task for task in tasks if task.done()]:
                ended[0].result()  # it never ends but by an error
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


@contextmanager
def other_key_unloaded(scale: Scale, threads: int) -> Iterator[Run]:
    """One key's requests, alone on the server."""
    with serving.started(scale, threads) as server:

        def run(number: int) -> Figures:
            seen = asyncio.run(first_tokens_s(server, scale, number, server.key))
            return {"first_token_p95_s": quantile(seen, 0.95), "first_token_s": quantile(seen, 0.5)}

        yield run


@contextmanager
def other_key_crowded(scale: Scale, threads: int) -> Iterator[Run]:
    """One key's requests, beside a key with hundreds waiting."""
    with serving.started(scale, threads) as server:
        greedy, other = server.make_key("greedy"), server.make_key("other")
        serving.allow_sessions(server, scale.waiting_requests + RUNNING)

        def run(number: int) -> Figures:
            seen = asyncio.run(crowded(server, scale, number, greedy, other))
            return {"first_token_p95_s": quantile(seen, 0.95), "first_token_s": quantile(seen, 0.5)}

        yield run
