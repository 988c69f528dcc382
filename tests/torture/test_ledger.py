"""The ledger under fire: kill -9 under load, and a database that goes away and comes back.

`make torture` kills as often as ROUNDS says, `make test` a few times.
"""

import asyncio
import logging
import os
import random
import re
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path
from time import monotonic

import psycopg
import pytest

from tests.postgres import Postgres
from tests.torture.load import Witness, clients, killable

log = logging.getLogger(__name__)
IDS = "SELECT request_id FROM inference_usagerecord"
ROUNDS = int(os.environ.get("ROUNDS", "0"))
MOMENT_S = 1.5  # a kill comes within that, once the first request is done
OUTAGE_S = 1.0  # shorter than the ledger's patience


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


async def kill_under_load(home: Path, **settings: str) -> list[str]:
    """Start a server, keep it busy, kill it at some moment; return the requests whose row must be there."""
    witness = Witness()
    with killable(home, **settings) as server:
        working = clients(server, witness)
        await witness.until(lambda: bool(witness.done()))
        await asyncio.sleep(random.uniform(0, MOMENT_S))
        server.process.kill()
        server.process.wait()
        await asyncio.gather(*working)
    assert not re.search("Traceback| ERROR ", server.log.read_text()), server.log.read_text()
    return witness.done()


async def survive(rounds: int, home: Path, count: Callable[[], Counter[str]], **settings: str) -> None:
    """Kill one server after another on the same database; whatever was promised is there, once, after each."""
    promised: list[str] = []
    for number in range(1, rounds + 1):
        promised += await kill_under_load(home, **settings)
        rows = count()
        lost, doubled = wrong(promised, rows)
        figures = (number, len(promised), rows.total(), len(lost), len(doubled))
        log.info("Round %d: %d requests seen as done, %d rows, %d lost, %d doubled.", *figures)
        assert (lost, doubled) == ([], [])


async def test_what_a_client_saw_as_done_survives_a_kill(tmp_path: Path) -> None:
    home = tmp_path / "home"
    await survive(ROUNDS or 3, home, lambda: sqlite_rows(home))


async def test_what_a_client_saw_as_done_survives_a_kill_on_postgresql(tmp_path: Path, postgres: Postgres) -> None:
    url = postgres.create("killed")
    await survive(ROUNDS or 1, tmp_path / "home", lambda: postgres_rows(url), DATABASE_URL=url)


# -- a database that goes away ----------------------------------------------------------------------------------------


@asynccontextmanager
async def away(postgres: Postgres) -> AsyncIterator[None]:
    """Have no database until the block ends."""
    await asyncio.to_thread(postgres.stop)
    try:
        yield
    finally:
        await asyncio.to_thread(postgres.start)


async def served_again(witness: Witness, what: str) -> None:
    """Wait until every client has the answer to a request that it made from now on; none may fail."""
    back_s = monotonic()
    await witness.until(lambda: all(end.began_s > back_s for end in witness.last.values()))
    since = [end for end in witness.ends if end.began_s > back_s]
    log.info("Served %.1f s after %s.", min(end.ended_s for end in since) - back_s, what)
    assert {end.code for end in since} == {None}


async def test_a_database_that_goes_away_costs_no_row_and_no_request_hangs(tmp_path: Path, postgres: Postgres) -> None:
    url = postgres.create("stopped")
    witness = Witness()
    with killable(tmp_path / "home", DATABASE_URL=url) as server:
        working = clients(server, witness)
        await witness.until(lambda: len(witness.last) == len(working))
        async with away(postgres):
            await asyncio.sleep(OUTAGE_S)
        await served_again(witness, "a short outage")
        in_sessions = [end for end in witness.ends if not end.client.startswith("post")]
        assert {end.code for end in in_sessions} == {None}
        async with away(postgres):
            await witness.until(lambda: bool(witness.unavailable()))
        await served_again(witness, "a long outage")
        witness.is_over = True
        await asyncio.gather(*working)
    rows = postgres_rows(url)
    lost, doubled = wrong(witness.done(), rows)
    codes = Counter(end.code for end in witness.ends)
    slowest_s = max(end.ended_s - end.began_s for end in witness.ends)
    log.info("Ended with %s; %d lost, %d doubled, the slowest took %.1f s.", codes, len(lost), len(doubled), slowest_s)
    assert (lost, doubled) == ([], [])
    assert [request_id for request_id in witness.unavailable() if rows[request_id]] == []
    # What comes by HTTP is not let in while nobody can look up its key.
    assert set(codes) == {None, "usage_unavailable", "unavailable"}
