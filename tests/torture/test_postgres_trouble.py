"""A PostgreSQL that is there and of no use, under load: full, hung, out of connections, locked, refusing.

One server goes through all of it. In each trouble every request ends, with an error that says so, and what was told to
have no row has none; after each the server is as it was, without a restart.
"""

import asyncio
import logging
import os
import signal
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from time import monotonic

import psycopg
import pytest

from tests.live import Server
from tests.postgres import Postgres
from tests.torture.load import Witness, clients, killable, loaded
from tests.torture.small_disk import full, small_disk
from tests.torture.test_ledger import in_full, postgres_rows, served_again, wrong

log = logging.getLogger(__name__)
ROLE = DATABASE = "troubled"
TABLE = "inference_usagerecord"


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    """Leave only our figures in the output of `make torture`."""
    caplog.set_level(logging.WARNING, "httpx")
    caplog.set_level(logging.INFO, __name__)


@contextmanager
def stopped(pids: list[int]) -> Iterator[None]:
    """Let processes hang: their connections stay open, and nothing comes from them."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


@contextmanager
def crowded(postgres: Postgres) -> Iterator[None]:
    """Take every connection that there is, those of the server too."""
    taken: list[psycopg.Connection] = []
    with ExitStack() as stack:
        while True:
            try:
                taken.append(stack.enter_context(psycopg.connect(postgres.url(DATABASE, ROLE))))
            except psycopg.OperationalError:
                theirs = set(postgres.backends(ROLE)) - {connection.info.backend_pid for connection in taken}
                if not theirs:
                    break
                terminate(postgres, theirs)
        yield


def terminate(postgres: Postgres, pids: Iterable[int]) -> None:
    """End connections."""
    for pid in pids:
        postgres.run(f"SELECT pg_terminate_backend({pid})")


@contextmanager
def locked(postgres: Postgres) -> Iterator[None]:
    """Keep everybody else from writing usage."""
    with psycopg.connect(postgres.url(DATABASE)) as connection:
        connection.execute(f"LOCK TABLE {TABLE} IN EXCLUSIVE MODE")
        yield


@contextmanager
def impatient(postgres: Postgres) -> Iterator[None]:
    """Keep everybody else from writing usage, and have PostgreSQL itself end what waits for it."""
    postgres.run(f"ALTER ROLE {ROLE} SET statement_timeout = '100ms'")
    terminate(postgres, postgres.backends(ROLE))
    with locked(postgres):
        yield
    postgres.run(f"ALTER ROLE {ROLE} RESET statement_timeout")
    terminate(postgres, postgres.backends(ROLE))


@contextmanager
def forbidden(postgres: Postgres) -> Iterator[None]:
    """Take away the permission to write usage."""
    postgres.run(f"REVOKE INSERT ON {TABLE} FROM {ROLE}", database=DATABASE)
    yield
    postgres.run(f"GRANT INSERT ON {TABLE} TO {ROLE}", database=DATABASE)


class Ordeal:
    """A server, its clients and its database, and what becomes of them."""

    def __init__(self, server: Server, postgres: Postgres, witness: Witness) -> None:
        self.server = server
        self.postgres = postgres
        self.witness = witness

    async def go_through(self, what: str, trouble: AbstractContextManager[None]) -> set[tuple[str, str | None]]:
        """Have a trouble until everybody knows of it; return who was told what, and see that all is well again."""
        began_s = monotonic()
        await asyncio.to_thread(trouble.__enter__)
        in_it_s = monotonic()
        await self.witness.until(lambda: all(end.began_s > in_it_s for end in self.witness.last.values()))
        since = [end for end in self.witness.ends if end.ended_s > began_s]
        await asyncio.to_thread(trouble.__exit__, None, None, None)
        slowest_s = max(end.ended_s - end.began_s for end in since)
        told = Counter((end.client.split()[0], end.code) for end in since)
        log.info("%s: %s; the slowest took %.1f s.", what, dict(told), slowest_s)
        await served_again(self.witness, what)
        return {(kind, code) for kind, code in told if code}


COUNTED_NOWHERE = {(kind, "usage_unavailable") for kind in ("chat", "translate", "post")}
NOBODY_LET_IN = {*COUNTED_NOWHERE, ("post", "unavailable")}  # by HTTP: some were let in before


@in_full
async def test_no_trouble_of_postgresql_hangs_a_request_or_costs_a_row_that_was_promised(
    tmp_path: Path, postgres: Postgres
) -> None:
    witness = Witness()
    with small_disk(postgres.directory.parent / "small", 48) as disk:
        url = postgres.create_on(disk, DATABASE, ROLE)
        try:
            with killable(tmp_path / "home", DATABASE_URL=url) as server:
                await loaded(server)
                working = clients(server, witness)
                await witness.until(lambda: len(witness.last) == len(working))
                ordeal = Ordeal(server, postgres, witness)
                backends = postgres.backends(ROLE)
                assert backends
                # Connections that hang are replaced in time: whoever asks for a key's rights may meet one.
                assert await ordeal.go_through("hung", stopped(backends)) <= {("post", "unavailable")}
                assert await ordeal.go_through("forbidden", forbidden(postgres)) == COUNTED_NOWHERE
                assert await ordeal.go_through("locked", locked(postgres)) == COUNTED_NOWHERE
                assert await ordeal.go_through("impatient", impatient(postgres)) == COUNTED_NOWHERE
                assert await ordeal.go_through("crowded", crowded(postgres)) | COUNTED_NOWHERE == NOBODY_LET_IN
                assert await ordeal.go_through("full", full(disk)) == COUNTED_NOWHERE
                everything = [postgres.pid, *postgres.backends(ROLE)]
                assert await ordeal.go_through("frozen", stopped(everything)) | COUNTED_NOWHERE == NOBODY_LET_IN
                witness.is_over = True
                await asyncio.gather(*working)
            rows = postgres_rows(postgres.url(DATABASE))
        finally:
            postgres.drop(DATABASE, ROLE)
    lost, doubled = wrong(witness.done(), rows)
    log.info("%d requests, %d lost, %d doubled.", len(witness.ends), len(lost), len(doubled))
    assert (lost, doubled) == ([], [])
    assert [request_id for request_id in witness.unavailable() if rows[request_id]] == []
