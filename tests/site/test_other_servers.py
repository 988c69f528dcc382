"""The application on other servers than `manage.py serve`: `runserver` is ours too, any other is told of in the log."""

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import httpx
import pytest

from tests import live
from tests.live import ROOT
from tests.server.admin import eventually

WARNING = "This is not the server of 'manage.py serve'."


def free_port() -> int:
    """Return a port that nobody listens on."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(home: Path, port: int, *command: str) -> Iterator["tuple[subprocess.Popen[bytes], Path]"]:
    """Run a server other than `manage.py serve` until the block ends; yield it and its log."""
    environment, log = live.environment(home), home.with_name("log")
    subprocess.run([sys.executable, "manage.py", "migrate", "-v0"], cwd=ROOT, env=environment, check=True)
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, *command], cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        eventually(lambda: process.poll() is not None or is_listening(port))
        yield process, log
    finally:
        live.end(process)
    assert "Traceback" not in log.read_text()


def is_listening(port: int) -> bool:
    """Say whether somebody answers."""
    with closing(socket.socket()) as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.parametrize("reloading", [[], ["--noreload"]])
def test_runserver_bounds_what_clients_send_too(tmp_path: Path, reloading: list[str]) -> None:
    port = free_port()
    with running(tmp_path / "home", port, "manage.py", "runserver", *reloading, f"127.0.0.1:{port}") as (process, log):
        refused = httpx.post(f"http://127.0.0.1:{port}/v1/translate", content=b"x" * 2_000_000, trust_env=False)
        assert (refused.status_code, refused.json()["error"]["code"]) == (413, "frame_too_large")
        assert httpx.get(f"http://127.0.0.1:{port}/healthz", trust_env=False).status_code == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(live.STOP_S) == 0
    assert WARNING not in log.read_text()


def test_the_log_says_once_what_another_server_lacks(tmp_path: Path) -> None:
    port = free_port()
    command = ["-m", "daphne", "-p", str(port), "aister_site.asgi:application"]
    with running(tmp_path / "home", port, *command) as (_, log):
        for _ in range(2):
            assert httpx.get(f"http://127.0.0.1:{port}/healthz", trust_env=False).status_code == 200
    assert log.read_text().count(WARNING) == 1
