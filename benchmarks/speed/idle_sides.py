"""What an idle socket costs in memory: of ours, and of a Daphne that does nothing but echo."""

import asyncio
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path

from websockets.asyncio.client import connect

from benchmarks.server import ROOT, Server
from benchmarks.speed import clients, serving
from benchmarks.speed.scale import Scale
from benchmarks.speed.worker import Figures, Run

FIRST = 200
"""Sockets that are open before anything is measured: what a server makes once is made by then."""


def own_kb(pid: int) -> int:
    """Return the memory that a process shares with no other, in KB."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    sizes = {name: int(size.split()[0]) for name, size in (line.split(":") for line in lines)}
    return sizes["Private_Clean"] + sizes["Private_Dirty"]


async def kb_a_socket(server: Server, count: int) -> Figures:
    """Return what a session costs that says nothing."""
    async with clients.sessions(server, "chat", FIRST), AsyncExitStack() as stack:
        before_kb = own_kb(server.process.pid)
        await stack.enter_async_context(clients.sessions(server, "chat", count))
        return {"kb_a_socket": (own_kb(server.process.pid) - before_kb) / count}


@contextmanager
def ours(scale: Scale, threads: int) -> Iterator[Run]:
    """Idle chat sessions of a new server for each run: freed memory would be used again."""

    def run(_number: int) -> Figures:
        with serving.started(None, threads) as server:
            serving.allow_sessions(server, FIRST + scale.idle_sockets)
            return asyncio.run(kb_a_socket(server, scale.idle_sockets))

    yield run


@asynccontextmanager
async def echoing(url: str, count: int) -> AsyncIterator[None]:
    """Have sockets to an echo server until the block ends, each of which has echoed once."""
    async with AsyncExitStack() as stack:
        for _ in range(count):
            opened = await stack.enter_async_context(connect(url, proxy=None, compression=None))
            await opened.send("?")
            await opened.recv()
        yield


async def kb_an_echo(url: str, pid: int, count: int) -> Figures:
    """Return what a socket costs that has echoed once."""
    async with echoing(url, FIRST), AsyncExitStack() as stack:
        before_kb = own_kb(pid)
        await stack.enter_async_context(echoing(url, count))
        return {"kb_a_socket": (own_kb(pid) - before_kb) / count}


@contextmanager
def echo(scale: Scale, _threads: int) -> Iterator[Run]:
    """Idle sockets of a new Daphne for each run."""
    serving.may_open_many_files()

    def run(_number: int) -> Figures:
        port = free_port()
        command = [sys.executable, "-m", "daphne", "-p", str(port), "-v", "0", "benchmarks.speed.echo:application"]
        process = subprocess.Popen(command, cwd=ROOT)
        try:
            wait_for_port(port)
            return asyncio.run(kb_an_echo(f"ws://127.0.0.1:{port}/", process.pid, scale.idle_sockets))
        finally:
            process.terminate()
            process.wait()

    yield run


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for_port(port: int, wait_s: float = 60.0) -> None:
    """Return when something listens; raise OSError when nothing does after `wait_s`."""
    deadline_s = time.monotonic() + wait_s
    while True:
        try:
            with socket.create_connection(("127.0.0.1", port)):
                return
        except OSError:
            if time.monotonic() > deadline_s:
                raise
        time.sleep(0.1)
