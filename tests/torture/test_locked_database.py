"""An SQLite that another process keeps to itself for longer than anyone waits."""

import asyncio
import logging
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

from tests.torture.load import Witness, clients, killable, loaded
from tests.torture.test_ledger import in_full, served_again, sqlite_rows, wrong

log = logging.getLogger(__name__)
LOCKED_S = 10.0


@asynccontextmanager
async def locked(home: Path) -> AsyncIterator[None]:
    """Let nobody else write until the block ends."""
    with closing(sqlite3.connect(home / "aister.sqlite3", isolation_level=None, timeout=30)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")


@in_full
async def test_a_lock_held_for_long_costs_the_requests_of_that_time_and_nothing_else(tmp_path: Path) -> None:
    home = tmp_path / "home"
    witness = Witness()
    with killable(home) as server:
        await loaded(server)
        working = clients(server, witness)
        await witness.until(lambda: len(witness.last) == len(working))
        async with locked(home):
            await asyncio.sleep(LOCKED_S)
        await served_again(witness, "a lock")
        witness.is_over = True
        await asyncio.gather(*working)
        rows = sqlite_rows(home)
    codes = Counter(end.code for end in witness.ends)
    log.info("Ended with %s; the slowest took %.1f s.", codes, witness.slowest_s())
    assert wrong(witness.done(), rows) == ([], [])
    assert [request_id for request_id in witness.unavailable() if rows[request_id]] == []
    assert set(codes) == {None, "usage_unavailable"}
