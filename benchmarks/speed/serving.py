"""The server that is measured: `manage.py serve`, or a program around it, in a process and a home of its own."""

import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.soak.server import LISTENING, LOADED, ROOT, Server, stop, wait_for
from benchmarks.speed import shapes
from benchmarks.speed.scale import Scale

SERVE = ("manage.py", "serve")
QUEUE_S = 3600  # nobody is refused for having waited


@contextmanager
def started(scale: Scale | None, threads: int, program: tuple[str, ...] = SERVE, **settings: str) -> Iterator[Server]:
    """Run a server with a chat model of the scale's shape, or with the bundled ones alone, until the block ends."""
    may_open_many_files()
    chat = {"AISTER_CHAT_MODEL": str(shapes.llama(scale.shape)), "AISTER_DTYPE": "bfloat16"} if scale else {}
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "OMP_NUM_THREADS") if name in os.environ}
    with tempfile.TemporaryDirectory(prefix="aister-bench-") as directory:
        home, log = Path(directory, "home"), Path(directory, "server.log")
        ours = {"AISTER_HOME": str(home), "PORT": "0", "AISTER_THREADS": str(threads)}
        environment = {**kept, **ours, "AISTER_QUEUE_SECONDS": str(QUEUE_S), **chat, **settings}
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, *program],
                cwd=ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        try:
            url = wait_for(process, log, LISTENING)[1]
            wait_for(process, log, LOADED)
            server = Server(process, url, (home / "first_key").read_text().strip(), home, log)
            yield server
            stop(server)
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()


def allow_sessions(server: Server, count: int) -> None:
    """Let every key of the server have so many open sessions: an operator sets that in the admin."""
    server.manage("shell", "-c", f"from accounts.models import ApiKey; ApiKey.objects.update(max_sessions={count})")


def may_open_many_files() -> None:
    """Let this process and its children have as many open files as they are ever allowed."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
