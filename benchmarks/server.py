"""A server that is soaked or measured: `manage.py serve`, or a program around it, in a process and a home of its own.

It has the settings that it is given and the defaults for all others: none of whoever runs the benchmark leaks in.
"""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LISTENING = re.compile(r"Aister is ready: playground (\S+),")
LOADED = re.compile(r"^Models loaded", re.MULTILINE)
FAULT = re.compile(r"Traceback|^\S+ \S+ (?:ERROR|CRITICAL) | ERROR | CRITICAL ")
SERVE = ("manage.py", "serve")
KEPT = ("PATH", "HOME", "LANG")
START_S = 120
STOP_S = 40  # as long as the service manager of docs/operations.md waits


@dataclass(frozen=True)
class Server:
    """A running server. `url` is scheme, host and port; `key` the first key; `log` holds stdout and stderr."""

    process: "subprocess.Popen[bytes]"
    url: str
    key: str
    home: Path
    log: Path

    @property
    def ws_url(self) -> str:
        """The address for WebSockets: scheme, host and port."""
        return self.url.replace("http", "ws", 1)

    @property
    def database(self) -> Path:
        """Where the ledger is."""
        return self.home / "aister.sqlite3"

    def manage(self, *arguments: str) -> str:
        """Run a management command in this server's home and return what it printed."""
        command = [sys.executable, "manage.py", *arguments]
        done = subprocess.run(command, cwd=ROOT, env=environment(self.home), capture_output=True, text=True, check=True)
        return done.stdout.strip()

    def make_key(self, name: str, *options: str) -> str:
        """Make a key and return its text."""
        return self.manage("keys", "create", name, "--quiet", *options)

    def faults(self) -> list[str]:
        """Return the lines of the log that no healthy server writes."""
        return [line for line in self.log.read_text(errors="replace").splitlines() if FAULT.search(line)]


def environment(home: Path, **settings: str) -> dict[str, str]:
    """Return a bare environment with these settings; the port is one that is free."""
    kept = {name: os.environ[name] for name in KEPT if name in os.environ}
    return {**kept, "AISTER_HOME": str(home), "PORT": "0", **settings}


@contextmanager
def started(directory: Path, program: Sequence[str] = SERVE, **settings: str) -> Iterator[Server]:
    """Run a server in a directory, its models loaded; kill it when the block ends and it was not stopped.

    `program` is what Python is told to run. Raises RuntimeError, with the log, when the server does not start.
    """
    home, log = directory / "home", directory / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, *program],
            cwd=ROOT,
            env=environment(home, **settings),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        url = wait_for(process, log, LISTENING)[1]
        wait_for(process, log, LOADED)
        yield Server(process, url, (home / "first_key").read_text().strip(), home, log)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def wait_for(process: "subprocess.Popen[bytes]", log: Path, pattern: "re.Pattern[str]") -> "re.Match[str]":
    """Return where the log matches; raise RuntimeError when the server ends, or START_S pass, before it does."""
    deadline_s = time.monotonic() + START_S
    while process.poll() is None and time.monotonic() < deadline_s:
        if found := pattern.search(log.read_text()):
            return found
        time.sleep(0.05)
    raise RuntimeError(f"The server did not start:\n{log.read_text()}")


def stop(server: Server) -> tuple[int | None, float]:
    """Stop the server as a service manager would; return its exit code, None when it had to be killed, and seconds."""
    began_s = time.monotonic()
    server.process.send_signal(signal.SIGTERM)
    try:
        code: int | None = server.process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        code = None
    return code, time.monotonic() - began_s
