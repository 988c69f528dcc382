"""How long a query may take: a database that has stopped answering must not hold a thread for ever.

PostgreSQL only: its backend may hang, or the network to it, while the connection looks open (SQLite waits for 5 s
where another process holds its lock). Commands such as `migrate` have no limit; what serves has `QUERY_S`, unless a
block asks for another. Any thread; the limit of a block is that of its context.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

CONNECT_S = 3  # for a new connection
LEND_S = 2  # for one of the pool's: less than the ledger's patience, so that it tries more than once
QUERY_S = 5.0
PAGE_S = 30.0  # totals over years of usage

chosen_s: ContextVar[float | None] = ContextVar("chosen_s", default=None)
serving_s: list[float] = []  # empty in commands


def serve() -> None:
    """Limit the queries of this process from now on: it serves."""
    serving_s[:] = [QUERY_S]


def limit_s() -> float | None:
    """Return how long a query may take here and now; None for as long as it likes."""
    return chosen_s.get() or next(iter(serving_s), None)


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Give the queries of a block another limit."""
    token = chosen_s.set(seconds)
    try:
        yield
    finally:
        chosen_s.reset(token)
