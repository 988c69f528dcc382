"""A real Redis for tests: Debian's `redis-server` on a free port, which a test may stop, start and freeze.

It keeps nothing. Tests that need it are skipped where it is not installed.
"""

import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest

from tests.postgres import free_port

START_S = 30
PROGRAM = shutil.which("redis-server")
PASSWORD = "hunter2"


class Redis:
    """One Redis. `start` and `stop` may follow each other as often as a test likes; the address stays."""

    def __init__(self, program: str) -> None:
        self.program = program
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None

    def url(self, password: str = PASSWORD) -> str:
        """Return the address, as REDIS_URL takes it."""
        return f"redis://:{password}@127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it and wait until it answers."""
        options = {"port": str(self.port), "bind": "127.0.0.1", "requirepass": PASSWORD, "save": "", "appendonly": "no"}
        arguments = [text for name, value in options.items() for text in (f"--{name}", value)]
        self.process = subprocess.Popen(
            [self.program, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, cwd="/"
        )
        deadline_s = time.monotonic() + START_S
        while not self.answers():
            if self.process.poll() is not None or time.monotonic() > deadline_s:
                pytest.fail("Redis did not start")
            time.sleep(0.01)

    def answers(self) -> bool:
        """Say whether it does."""
        try:
            return self.ask("PING") == b"+PONG"
        except OSError:
            return False

    def ask(self, *words: str) -> bytes:
        """Send one command and return the last line of the reply."""
        with closing(socket.create_connection(("127.0.0.1", self.port), START_S)) as connection:
            connection.sendall(f"AUTH {PASSWORD}\r\n{' '.join(words)}\r\nQUIT\r\n".encode())
            with connection.makefile("rb") as reply:
                return reply.read().splitlines()[-2]

    @property
    def listeners(self) -> int:
        """How many processes listen for announcements."""
        return int(self.ask("PUBSUB", "NUMSUB", "aister__group__keys").lstrip(b":"))

    def stop(self) -> None:
        """Stop it; connections are cut."""
        if self.process is not None:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
            self.process.wait(START_S)
            self.process = None

    def freeze(self) -> None:
        """Let it hang: its connections stay, and it accepts others, but says nothing."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)


@contextmanager
def run_redis() -> Iterator[Redis]:
    """A Redis that was not started yet, and is stopped when the block ends."""
    if PROGRAM is None:
        pytest.skip("Redis is not installed. On Debian: apt install redis-server")
    redis = Redis(PROGRAM)
    try:
        yield redis
    finally:
        redis.stop()


@pytest.fixture
def absent_redis() -> Iterator[Redis]:
    """A Redis that was not started yet."""
    with run_redis() as redis:
        yield redis


@pytest.fixture
def redis(absent_redis: Redis) -> Redis:
    """A running Redis."""
    absent_redis.start()
    return absent_redis
