"""`manage.py serve` as a process: what it prints, what it keeps, how it starts again, stops and refuses."""

import os
import pty
import re
import resource
import signal
import socket
import stat
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import pytest

from tests import live

KEY = re.compile(r"aister_[A-Za-z0-9_]{42,}")
LINK = re.compile(r"http://127\.0\.0\.1:\d+/sign-in#[\w-]{20,}")


@contextmanager
def on_terminal(home: Path) -> Iterator[tuple["subprocess.Popen[bytes]", str]]:
    """Run a server whose stdout is a terminal; yield it and what it says until it waits for requests."""
    terminal, output = pty.openpty()
    process = live.spawn(home, output)
    os.close(output)
    said = b""
    try:
        while b"Ctrl-C" not in said:
            said += os.read(terminal, 4096)
        reader = threading.Thread(target=read_on, args=[terminal])
        reader.start()
        yield process, said.decode().replace("\r\n", "\n")
    finally:
        live.end(process)
    reader.join()
    os.close(terminal)


def read_on(terminal: int) -> None:
    """Read until the other end is closed: what writes to a terminal that nobody reads comes to a halt."""
    with suppress(OSError):
        while os.read(terminal, 4096):
            pass


def failed(home: Path, before: Callable[[], None] | None = None, **settings: str) -> str:
    """Run a server that can't start and return what it says on stderr. `before` runs in its process first."""
    done = live.run(home, "serve", before=before, **settings)
    assert done.returncode == 1, done.stdout + done.stderr
    return done.stderr


def refusal(home: Path, before: Callable[[], None] | None = None, **settings: str) -> str:
    """Run a server that can't start and return the one line it says, without the `aister: ` that opens it."""
    said = failed(home, before, **settings)
    assert said.startswith("aister: ")
    assert said.count("\n") == 1, said
    return said.removeprefix("aister: ").removesuffix("\n")


def test_the_first_start_on_a_terminal_shows_a_link_a_key_and_a_client_that_works(tmp_path: Path) -> None:
    with on_terminal(tmp_path / "home") as (_, said):
        assert LINK.search(said)
        assert KEY.search(said)
        client = re.search(r"^curl .*(?:\n .*){2}$", said, re.MULTILINE)
        assert client is not None, said
        answer = subprocess.run(["sh", "-c", client[0]], capture_output=True, text=True, timeout=120, check=True)
        assert '"role":"assistant"' in answer.stdout
    assert not (tmp_path / "home" / "first_key").exists()


def test_the_second_start_on_a_terminal_shows_a_new_link_and_no_key(tmp_path: Path) -> None:
    with on_terminal(tmp_path / "home") as (_, first):
        pass
    with on_terminal(tmp_path / "home") as (_, second):
        assert not KEY.search(second)
    assert LINK.findall(first)[0].partition("#")[2] != LINK.findall(second)[0].partition("#")[2]
    assert "Preparing the database" in first
    assert "Preparing the database" not in second


def test_ctrl_c_stops_it_cleanly(tmp_path: Path) -> None:
    with on_terminal(tmp_path / "home") as (process, _):
        process.send_signal(signal.SIGINT)
        assert process.wait(live.STOP_S) == 0


def test_where_nobody_watches_the_key_goes_to_a_file_and_nothing_secret_is_printed(tmp_path: Path) -> None:
    with live.start(tmp_path / "home") as server:
        said = server.log.read_text()
        assert KEY.fullmatch(server.key)
        assert server.key not in said
        assert "sign-in#" not in said
        assert str(server.home / "first_key") in said
        for command in ("keys create", "signin"):
            assert f"manage.py {command}" in said
    for name in ("first_key", "secret_key"):
        assert stat.S_IMODE((server.home / name).stat().st_mode) == 0o600
    assert stat.S_IMODE(server.home.stat().st_mode) == 0o700


def test_the_second_start_keeps_the_first_key(tmp_path: Path) -> None:
    with live.start(tmp_path / "home") as first:
        pass
    with live.start(tmp_path / "home") as second:
        assert second.key == first.key
    assert "A model is still being loaded, or does not end: ending without it." in second.log.read_text()


def test_half_a_request_does_not_keep_it_from_stopping(tmp_path: Path) -> None:
    with live.start(tmp_path / "home") as server:
        host, _, port = server.url.removeprefix("http://").partition(":")
        half = socket.create_connection((host, int(port)))
        half.sendall(b"POST /v1/chat HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n{")
    half.close()


def test_a_port_in_use_is_refused_with_what_to_do(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert refusal(tmp_path / "home", PORT=str(port)) == (
            f"Port {port} is in use. Stop what uses it, or set PORT to another, such as {port + 1}."
        )


def test_a_host_that_is_not_ours_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path / "home", HOST="192.0.2.1") == (
        "HOST=192.0.2.1 is no address of this machine: Cannot assign requested address. Try HOST=127.0.0.1."
    )


def test_a_host_that_is_no_name_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path / "home", HOST="x" * 64) == "HOST is neither a name nor an address. Try HOST=127.0.0.1."


def test_a_home_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    home = tmp_path / "file" / "home"
    assert refusal(home) == (
        f"AISTER_HOME {home} can't be used: Not a directory. Free some space or set AISTER_HOME elsewhere."
    )


def test_a_broken_setting_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path / "home", PORT="eighty").startswith("PORT can't be used: Expected `int`, got `str`. ")


def test_a_model_directory_that_is_not_there_is_refused(tmp_path: Path) -> None:
    assert "neither a directory nor a hub id" in refusal(tmp_path / "home", AISTER_CHAT_MODEL="/no/such/model")


def test_a_default_model_that_cannot_be_loaded_ends_it(tmp_path: Path) -> None:
    model = tmp_path / "broken"
    model.mkdir()
    (model / "config.json").write_text('{"model_type": "llama"}')
    said = failed(tmp_path / "home", AISTER_CHAT_MODEL=str(model))
    assert said.splitlines()[-1].startswith("aister: Model broken can't be used. ")


def test_a_database_that_does_not_answer_is_refused_without_its_password(tmp_path: Path) -> None:
    said = refusal(tmp_path / "home", DATABASE_URL="postgres://user:hunter2@127.0.0.1:1/aister")
    assert said.startswith("The database can't be used: ")
    assert said.endswith("Check DATABASE_URL, and that its server runs.")
    assert "hunter2" not in said


@pytest.mark.parametrize("limit_bytes", [0, 64 * 1024])
def test_a_full_disk_is_refused_with_what_to_do(tmp_path: Path, limit_bytes: int) -> None:
    """A limit on the size of files stands in for the disk: 0 bytes stop the secret key, 64 KiB the database."""
    home = tmp_path / "home"
    said = refusal(home, partial(resource.setrlimit, resource.RLIMIT_FSIZE, (limit_bytes, limit_bytes)))
    assert str(home) in said
    assert "Free some space" in said
