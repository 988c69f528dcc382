"""A real server for tests: `manage.py serve` in a process and an AISTER_HOME of its own, on a free port.

The fixture `live` is one server for the whole run, its models loaded; `start` makes another. When a server ends, its
log must hold no error.
"""

import os
import re
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
LISTENING = re.compile(r"Aister is ready: playground (\S+),")
LOADED = re.compile(r"^Models loaded", re.MULTILINE)
START_S = 120
STOP_S = 40
FAILING_ON_PURPOSE = "1000000"  # attempts a minute: every test comes from the same address


@dataclass(frozen=True)
class Server:
    """A running server. `url` is scheme, host and port; `key` the first key; `log` holds stdout and stderr. `trust` is
    what a client needs to believe who it is, behind a proxy of the tests'.
    """

    process: "subprocess.Popen[bytes]"
    url: str
    key: str
    home: Path
    log: Path
    trust: ssl.SSLContext | None = None
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def ws_url(self) -> str:
        """The address for WebSockets: scheme, host and port."""
        return self.url.replace("http", "ws", 1)

    @property
    def headers(self) -> dict[str, str]:
        """What a program sends to say who it is."""
        return {"Authorization": f"Bearer {self.key}"}

    def wait_for(self, pattern: "re.Pattern[str]") -> "re.Match[str]":
        """Return where the log matches; fail when the process ends before it does."""
        return wait_for(self.process, self.log, pattern)

    def manage(self, *arguments: str, **settings: str) -> str:
        """Run a management command with this server's settings and the given ones, and return what it printed."""
        command = [sys.executable, "manage.py", *arguments]
        surroundings = environment(self.home, **{**self.settings, **settings})
        done = subprocess.run(command, cwd=ROOT, env=surroundings, capture_output=True, text=True, check=True)
        return done.stdout


def environment(home: Path, **settings: str) -> dict[str, str]:
    """Return a bare environment with the given settings: nothing of whoever runs the tests leaks in."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return {**kept, "AISTER_HOME": str(home), "PORT": "0", "AISTER_ATTEMPTS": FAILING_ON_PURPOSE, **settings}


def spawn(
    home: Path, output: Any, program: str = "manage.py", umask: int = -1, **settings: str
) -> "subprocess.Popen[bytes]":
    """Start a server that writes to `output`, a file or descriptor; with a umask other than ours, if one is given."""
    return subprocess.Popen(
        [sys.executable, program, "serve"],
        cwd=ROOT,
        env=environment(home, **settings),
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        umask=umask,
    )


def run(
    home: Path, *arguments: str, before: Callable[[], None] | None = None, **settings: str
) -> "subprocess.CompletedProcess[str]":
    """Run a management command in a home of its own, to its end, whatever that is. `before` runs in it first."""
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env=environment(home, **settings),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        preexec_fn=before,
    )


def wait_for(process: "subprocess.Popen[bytes]", log: Path, pattern: "re.Pattern[str]") -> "re.Match[str]":
    """Return where the log matches; fail when the process ends before it does."""
    deadline_s = time.monotonic() + START_S
    while time.monotonic() < deadline_s:
        has_ended = process.poll() is not None
        if found := pattern.search(log.read_text()):
            return found
        if has_ended:
            break
        time.sleep(0.02)
    pytest.fail(f"The server's log never had {pattern.pattern!r}:\n{log.read_text()}")


@contextmanager
def start(home: Path, program: str = "manage.py", umask: int = -1, **settings: str) -> Iterator[Server]:
    """Run a server, listening but not waiting for its models, until the block ends."""
    home.parent.mkdir(parents=True, exist_ok=True)
    log = home.with_name(f"{home.name}.log")
    with log.open("wb") as output:
        process = spawn(home, output, program, umask, **settings)
    try:
        url = wait_for(process, log, LISTENING)[1]
        yield Server(process, url, (home / "first_key").read_text().strip(), home, log, settings=settings)
    finally:
        end(process)
    assert process.returncode == 0, log.read_text()
    assert not re.search("Traceback| ERROR | CRITICAL ", log.read_text()), log.read_text()


def end(process: "subprocess.Popen[bytes]") -> None:
    """Stop a server as a service manager would; kill it when it does not listen."""
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@pytest.fixture(scope="session")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for the whole run, its bundled models loaded. Make keys of your own to count or revoke."""
    with start(tmp_path_factory.mktemp("live") / "home") as server:
        server.wait_for(LOADED)
        yield server
