"""How soon there is an answer: from a server that has its model, from a process that loads it for each request, as the
first Aister did, and from a server that has been started again.
"""

import asyncio
import http.client
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http import HTTPStatus
from pathlib import Path

from benchmarks import server as servers
from benchmarks.server import ROOT, SERVE, Server
from benchmarks.speed import clients, peers, serving, shapes
from benchmarks.speed.idle_sides import free_port
from benchmarks.speed.scale import Scale
from benchmarks.speed.texts import texts
from benchmarks.speed.worker import Figures, Run

BUNDLED = ROOT / "inference" / "bundled" / "aister-guide"
QUESTION = "How do I get an API key?"
ASKED = 20
LOOK_S = 0.05  # each look takes the server some milliseconds of what is measured


async def warm_s(server: Server, asked: list[str]) -> Figures:
    """Return the mean time to the first token of requests that come one after the other, each to a new conversation."""
    seen = []
    for text in asked:
        async with clients.session(server, "chat") as session:
            await session.settle(max_tokens=4, temperature=0)
            answered = await session.chat(text)
            seen.append(answered.first_s - answered.sent_s)
    return {"first_token_s": sum(seen) / len(seen)}


@contextmanager
def warm(scale: Scale, threads: int) -> Iterator[Run]:
    """A request to a server that has the model of the scale's shape."""
    with serving.started(scale, threads) as server:
        yield lambda number: asyncio.run(warm_s(server, texts(number, ASKED, len(QUESTION))))


@contextmanager
def warm_bundled(_scale: Scale, threads: int) -> Iterator[Run]:
    """A request to a server that has the bundled model."""
    with serving.started(None, threads) as server:
        yield lambda _number: asyncio.run(warm_s(server, [QUESTION] * ASKED))


def fresh_s(directory: Path, threads: int, text: str) -> Figures:
    """Return how long a process takes that loads a model with transformers and says one token."""
    began_s = time.perf_counter()
    command = [sys.executable, "-m", "benchmarks.speed.fresh", str(directory), str(threads), text]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as process:
        said = process.stdout.readline() if process.stdout else b""
        took_s = time.perf_counter() - began_s
    if process.returncode or not said.strip():
        raise clients.RefusedError(f"The process said nothing and ended with {process.returncode}.")
    return {"first_token_s": took_s}


@contextmanager
def fresh(scale: Scale, threads: int) -> Iterator[Run]:
    """A process for each request, with the model of the scale's shape."""
    directory = shapes.llama(scale.shape)
    yield lambda number: fresh_s(directory, threads, texts(number, 1, len(QUESTION))[0])


@contextmanager
def fresh_bundled(_scale: Scale, threads: int) -> Iterator[Run]:
    """A process for each request, with the bundled model."""
    yield lambda _number: fresh_s(BUNDLED, threads, QUESTION)


def ready_s(python: Path, home: Path) -> Figures:
    """Return how long a server takes from the command to its first 200 of /readyz."""
    port = free_port()
    environment = servers.environment(home) | {"PORT": str(port)}
    began_s = time.perf_counter()
    with subprocess.Popen(
        [python, *SERVE], cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            while not is_ready(port):
                if process.poll() is not None or time.perf_counter() - began_s > servers.START_S:
                    raise clients.RefusedError(f"The server did not start; it ended with {process.poll()}.")
                time.sleep(LOOK_S)
            return {"ready_s": time.perf_counter() - began_s}
        finally:
            process.terminate()


def is_ready(port: int) -> bool:
    """Say whether the server on a port answers that it is ready."""
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False


@contextmanager
def again(_scale: Scale, _threads: int) -> Iterator[Run]:
    """A server as `make serve` installs it, with the bundled models, started in a home that has seen it before."""
    python = peers.installed(ROOT / "requirements.txt")
    with tempfile.TemporaryDirectory(prefix="aister-bench-") as home:
        ready_s(python, Path(home))
        yield lambda _number: ready_s(python, Path(home))
