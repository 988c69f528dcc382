"""The ledger under fire: kill -9 under load, and a database that goes away and comes back.

`make torture` kills as often as ROUNDS says, on each database; `make test` twice on SQLite and once on PostgreSQL, at
the end of its outages.
"""

import asyncio
import logging
import os
import random
import re
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path
from time import monotonic

import psycopg
import pytest

from tests.live import Server
from tests.postgres import Postgres
from tests.server.client import async_http, refusal
from tests.torture.load import Witness, clients, killable, loaded

log = logging.getLogger(__name__)
IDS = "SELECT request_id FROM inference_usagerecord"
ROUNDS = int(os.environ.get("ROUNDS", "0"))
in_full = pytest.mark.skipif(not ROUNDS, reason="Takes minutes: make torture")
MOMENT_S = 1.5  # a kill comes within that, once the first request is done
OUTAGE_S = 1.0  # shorter than the ledger's patience
UNAVAILABLE = {
    "code": "unavailable",
    "message": "The server can't use its database right now. Try again shortly; its log says why.",
    "param": None,
    "retry_after": 5.0,
}


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    """Leave only our figures in the output of `make torture`, and not a line for each HTTP request."""
    caplog.set_level(logging.WARNING, "httpx")
    caplog.set_level(logging.INFO, __name__)


def sqlite_rows(home: Path) -> Counter[str]:
    """Return how many rows each request has."""
    with closing(sqlite3.connect(home / "aister.sqlite3")) as connection:
        return Counter(request_id for (request_id,) in connection.execute(IDS))


def postgres_rows(url: str) -> Counter[str]:
    """Return how many rows each request has."""
    with psycopg.connect(url) as connection:
        return Counter(request_id for (request_id,) in connection.execute(IDS))


def wrong(promised: list[str], rows: Counter[str]) -> tuple[list[str], list[str]]:
    """Return the requests whose row is lost, and those that have more than one, or were answered twice."""
    lost = [request_id for request_id in promised if not rows[request_id]]
    doubled = [request_id for request_id, times in (rows + Counter()).items() if times > 1]
    return lost, doubled + [request_id for request_id, times in Counter(promised).items() if times > 1]


async def kill(server: Server, working: list["asyncio.Task[None]"]) -> None:
    """Kill a server at some moment within the next, and wait for the clients to notice."""
    await asyncio.sleep(random.uniform(0, MOMENT_S))
    server.process.kill()
    server.process.wait()
    await asyncio.gather(*working)


async def kill_under_load(home: Path, **settings: str) -> Witness:
    """Start a server, keep it busy, kill it at some moment; return what the clients saw."""
    witness = Witness()
    with killable(home, **settings) as server:
        await loaded(server)
        working = clients(server, witness)
        await witness.until(lambda: bool(witness.done()))
        await kill(server, working)
    assert not re.search("Traceback| ERROR ", server.log.read_text()), server.log.read_text()
    return witness


async def survive(rounds: int, home: Path, count: Callable[[], Counter[str]], **settings: str) -> None:
    """Kill one server after another on the same database; whatever was promised is there, once, after each."""
    promised: list[str] = []
    slowest_s = 0.0
    for number in range(1, rounds + 1):
        witness = await kill_under_load(home, **settings)
        promised += witness.done()
        slowest_s = max(slowest_s, witness.slowest_s())
        rows = count()
        lost, doubled = wrong(promised, rows)
        figures = (number, len(promised), rows.total(), len(lost), len(doubled), slowest_s)
        log.info("Round %d: %d requests seen done, %d rows, %d lost, %d doubled, the slowest took %.1f s.", *figures)
        assert (lost, doubled) == ([], [])


async def test_what_a_client_saw_as_done_survives_a_kill(tmp_path: Path) -> None:
    home = tmp_path / "home"
    await survive(ROUNDS or 2, home, lambda: sqlite_rows(home))


@in_full
async def test_what_a_client_saw_as_done_survives_a_kill_on_postgresql(tmp_path: Path, postgres: Postgres) -> None:
    url = postgres.create("killed")
    await survive(ROUNDS, tmp_path / "home", lambda: postgres_rows(url), DATABASE_URL=url)


# -- a database that goes away ----------------------------------------------------------------------------------------


@asynccontextmanager
async def away(postgres: Postgres) -> AsyncIterator[None]:
    """Have no database until the block ends."""
    await asyncio.to_thread(postgres.stop)
    try:
        yield
    finally:
        await asyncio.to_thread(postgres.start)


async def check_what_is_told(server: Server) -> None:
    """Ask in every way while there is no database."""
    event, close_code = await refusal(server, "/v1/chat", server.headers)
    assert (event["error"], close_code) == (UNAVAILABLE, 1013)
    async with async_http(server) as http:
        answer = await http.post("/v1/translate", json={"text": "Hello!", "target": "fr"})
        page = await http.get("/admin/", headers={"Cookie": f"sessionid={'a' * 32}"})
        ready = await http.get("/readyz")
    assert (answer.status_code, answer.json()["error"], answer.headers["Retry-After"]) == (503, UNAVAILABLE, "5")
    assert (page.status_code, page.headers["Retry-After"]) == (503, "5")
    assert "The server can't use its database right now" in page.text
    assert (ready.status_code, ready.json()["checks"]["database"]) == (503, False)


async def served_again(witness: Witness, what: str) -> None:
    """Wait until every client has the answer to a request that it made from now on; none may fail."""
    back_s = monotonic()
    await witness.until(lambda: all(end.began_s > back_s for end in witness.last.values()))
    since = [end for end in witness.ends if end.began_s > back_s]
    log.info("Served %.1f s after %s.", min(end.ended_s for end in since) - back_s, what)
    assert {end.code for end in since} == {None}


@contextmanager
def refusing(url: str, task: str) -> Iterator[None]:
    """Have PostgreSQL refuse the rows of a task, and no other, until the block ends."""
    condition = f"ADD CONSTRAINT refused CHECK (task <> '{task}') NOT VALID"  # those that are there may stay
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"ALTER TABLE inference_usagerecord {condition}")
        yield
        connection.execute("ALTER TABLE inference_usagerecord DROP CONSTRAINT refused")


async def check_that_refused_rows_fail_alone(url: str, witness: Witness) -> None:
    """Have the rows of translations refused, which share their transactions with those of chats."""
    with refusing(url, "translation"):
        since_s = monotonic()
        await witness.until(lambda: all(end.began_s > since_s for end in witness.last.values()))
        seen = {(end.client.split()[0], end.code) for end in witness.ends if end.began_s > since_s}
    assert seen == {("chat", None), ("post", None), ("translate", "usage_unavailable")}
    await served_again(witness, "rows were refused")


async def test_a_database_that_goes_away_costs_no_row_and_no_request_hangs(tmp_path: Path, postgres: Postgres) -> None:
    url = postgres.create("stopped")
    witness = Witness()
    with killable(tmp_path / "home", DATABASE_URL=url) as server:
        await loaded(server)
        working = clients(server, witness)
        await witness.until(lambda: len(witness.last) == len(working))
        await check_that_refused_rows_fail_alone(url, witness)
        before = len(witness.ends)
        async with away(postgres):
            await asyncio.sleep(OUTAGE_S)
        await served_again(witness, "a short outage")
        in_sessions = [end for end in witness.ends[before:] if not end.client.startswith("post")]
        assert {end.code for end in in_sessions} == {None}
        refused = len(witness.unavailable())
        async with away(postgres):
            told = asyncio.create_task(check_what_is_told(server))
            await witness.until(lambda: len(witness.unavailable()) > refused)
            await told
        await served_again(witness, "a long outage")
        await kill(server, working)
    rows = postgres_rows(url)
    lost, doubled = wrong(witness.done(), rows)
    codes = Counter(end.code for end in witness.ends)
    figures = (codes, len(lost), len(doubled), witness.slowest_s())
    log.info("Ended with %s; %d lost, %d doubled, the slowest took %.1f s.", *figures)
    assert (lost, doubled) == ([], [])
    assert [request_id for request_id in witness.unavailable() if rows[request_id]] == []
    # What comes by HTTP is not let in while nobody can look up its key.
    assert set(codes) == {None, "usage_unavailable", "unavailable"}
