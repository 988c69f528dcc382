"""The server of the rows that measure a whole one: with the model of the row's scale, and no limits in the way."""

import resource
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks import server
from benchmarks.server import SERVE, Server
from benchmarks.speed import shapes
from benchmarks.speed.scale import Scale

QUEUE_S = 3600  # nobody is refused for having waited


@contextmanager
def started(scale: Scale | None, threads: int, program: Sequence[str] = SERVE, **settings: str) -> Iterator[Server]:
    """Run a server with a chat model of the scale's shape, or with the bundled ones alone, until the block ends."""
    may_open_many_files()
    chat = {"AISTER_CHAT_MODEL": str(shapes.llama(scale.shape)), "AISTER_DTYPE": "bfloat16"} if scale else {}
    sized = {"AISTER_THREADS": str(threads), "OMP_NUM_THREADS": str(threads), "AISTER_QUEUE_SECONDS": str(QUEUE_S)}
    with (
        tempfile.TemporaryDirectory(prefix="aister-bench-") as directory,
        server.started(Path(directory), program, **sized, **chat, **settings) as running,
    ):
        yield running
        server.stop(running)


def allow_sessions(server: Server, count: int) -> None:
    """Let every key of the server have so many open sessions: an operator sets that in the admin."""
    server.manage("shell", "-c", f"from accounts.models import ApiKey; ApiKey.objects.update(max_sessions={count})")


def may_open_many_files() -> None:
    """Let this process and its children have as many open files as they are ever allowed."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
