"""A disk that is really full: what a client is told, what the log says, and that all is well once there is room."""

import asyncio
import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from django.conf import settings

from accounts.authentication import authenticate
from accounts.models import ApiKey
from aister_site import home, startup
from aister_site.configuration import ConfigurationError
from tests import live
from tests.live import Server
from tests.server.client import async_http, session
from tests.site.test_serve import refusal
from tests.torture.load import HANGS_S, Witness, clients, killable, loaded
from tests.torture.small_disk import fill, full, small_disk
from tests.torture.test_ledger import ROUNDS, served_again, sqlite_rows, wrong

FILES = {"secret_key", startup.KEY_FILE, "aister.sqlite3-shm", "aister.sqlite3-journal"}
UNAVAILABLE = {
    "code": "usage_unavailable",
    "message": "The usage of this request could not be recorded. Try again shortly.",
    "param": None,
    "retry_after": 5.0,
}


async def readiness(http: httpx.AsyncClient) -> tuple[int, bool]:
    """Return the status of /readyz, and whether it says that usage can be written."""
    answer = await http.get("/readyz")
    return answer.status_code, answer.json()["checks"]["usage"]


async def check_what_is_told(server: Server, disk: Path) -> None:
    """Chat on a full disk: the answer streams, and its last event says that it does not count."""
    async with session(server) as chat:
        answer = await chat.ask("message.create", text="Hello!")
        while answer.status == "completed":  # its row took what SQLite had left in its files
            answer = await chat.ask("message.create", text="Hello!")
        assert len(answer.deltas) > 0
        assert (answer.types[-1], answer.status, answer.last["error"]) == ("response.done", "failed", UNAVAILABLE)
        assert answer.last["message"] is None
    async with async_http(server) as http:
        assert await readiness(http) == (503, False)
    said = await asyncio.to_thread(doctor, server.home)
    assert f" 0 MB free in {disk}: usage can't be kept for long. Free some space" in said


def doctor(home: Path) -> str:
    """Return what the doctor says."""
    command = [sys.executable, "manage.py", "doctor"]
    done = subprocess.run(
        command, cwd=live.ROOT, env=live.environment(home), capture_output=True, text=True, check=False
    )
    assert done.returncode == 1, done.stdout + done.stderr
    return done.stdout


async def test_a_full_disk_costs_the_requests_on_it_and_nothing_else(tmp_path: Path) -> None:
    witness = Witness()
    with small_disk(tmp_path / "home") as disk, killable(disk) as server:
        await loaded(server)
        working = clients(server, witness)
        await witness.until(lambda: len(witness.last) == len(working))
        with full(disk):
            told = asyncio.create_task(check_what_is_told(server, disk))
            await witness.until(lambda: bool(witness.unavailable()))
            await told
        async with asyncio.timeout(HANGS_S), async_http(server) as http:
            while await readiness(http) != (200, True):  # noqa: ASYNC110  # nothing tells when that changes
                await asyncio.sleep(0.05)
        await served_again(witness, "a full disk")
        witness.is_over = True
        await asyncio.gather(*working)
        rows = sqlite_rows(disk)
    assert wrong(witness.done(), rows) == ([], [])
    assert [request_id for request_id in witness.unavailable() if rows[request_id]] == []
    assert {end.code for end in witness.ends} == {None, "usage_unavailable"}
    said = re.findall(r"(?:ERROR|WARNING) (inference\.usage: .*)", server.log.read_text())
    assert said[0] == (
        "inference.usage: Usage can't be written: database or disk is full. Until it can, requests fail with "
        "usage_unavailable. 'manage.py doctor' says what to do."
    )
    assert re.fullmatch(r"inference\.usage: Usage is written again\. \d+ requests failed for want of it\.", said[-1])
    assert len(said) <= 4, said  # room may come and go


# -- the first start --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("free_kb", [0, 8, 64, 200, 300, 400] if ROUNDS else [8])
def test_a_first_start_on_a_full_disk_says_so_in_one_line_and_the_next_one_works(tmp_path: Path, free_kb: int) -> None:
    with small_disk(tmp_path / "home") as disk:
        (disk / "room").write_bytes(bytes(free_kb * 1024))
        fill(disk)
        (disk / "room").unlink()
        said = refusal(disk)
        assert "Free some space" in said
        assert str(disk) in said
        kept = [file for file in ("secret_key", startup.KEY_FILE) if (disk / file).exists()]
        assert all(len((disk / file).read_text()) > 40 for file in kept)
        assert {file.name for file in disk.iterdir()} <= {"filler", "aister.sqlite3", "aister.sqlite3-wal", *FILES}
        (disk / "filler").unlink()
        if ROUNDS:
            with live.start(disk) as server:
                assert server.key


def test_a_secret_that_does_not_fit_leaves_nothing(tmp_path: Path) -> None:
    with small_disk(tmp_path / "home") as disk:
        fill(disk)
        with pytest.raises(ConfigurationError, match=r"No space left on device\. Free some space"):
            home.secret(disk, "secret_key")
        assert [file.name for file in disk.iterdir()] == ["filler"]


@pytest.mark.django_db(transaction=True)
def test_a_first_key_that_can_not_be_kept_is_not_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with small_disk(tmp_path / "home") as disk:
        monkeypatch.setattr(settings, "HOME", disk)
        fill(disk)
        with pytest.raises(ConfigurationError, match=r"No space left on device\. Free some space"):
            startup.first_key(is_terminal=False)
        assert not ApiKey.objects.exists()
        (disk / "filler").unlink()
        startup.first_key(is_terminal=False)
        assert authenticate((disk / startup.KEY_FILE).read_text().strip()).name == "First key"
