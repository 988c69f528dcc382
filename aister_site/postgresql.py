"""Connections to PostgreSQL that give up: see database.py. Imported only where DATABASE_URL names PostgreSQL."""

from time import monotonic
from typing import Any

import psycopg
from psycopg.pq import TransactionStatus

from aister_site.database import CONNECT_S, LEND_S, limit_s

INTERVAL_S = 0.1  # psycopg's: how often it looks for Ctrl-C


class Connection(psycopg.Connection[Any]):
    """A connection whose waits end. One that got no answer in time is closed: what it waits for may still come.

    So are those of its pool that wait to be lent: they are likely to be no better, and each would take as long again.
    """

    def wait(self, gen: Any, interval: float = INTERVAL_S, timeout: float | None = None) -> Any:
        """Wait for the server; raise psycopg.OperationalError when it does not answer in time."""
        limit = limit_s() if timeout is None else timeout
        began_s = monotonic()
        try:
            return super().wait(gen, interval, limit)
        except psycopg.OperationalError:
            is_hung = self.pgconn.transaction_status == TransactionStatus.ACTIVE
            if limit is None or not is_hung or monotonic() - began_s < limit:
                raise
            self.close()
            pool = getattr(self, "_pool", None)  # set when a pool lends it
            if pool is not None:
                pool.drain()
            raise psycopg.OperationalError(f"no answer within {limit:g} s") from None


def options(given: dict[str, Any]) -> dict[str, Any]:
    """Return Django's options for PostgreSQL; those that DATABASE_URL has win.

    Left to itself, the pool lets a request wait for 30 s while the database is away, and waits longer and longer
    before it tries again: 27 s after one outage of 30 s.
    """
    pool = {"timeout": LEND_S, "reconnect_timeout": LEND_S, "connection_class": Connection}
    return {"connect_timeout": CONNECT_S, **given, "pool": pool}
