"""Connections to a PostgreSQL that no longer answers, though they look open: a stopped backend."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest

from aister_site import database
from aister_site.postgresql import Connection, options
from tests.postgres import Postgres


@contextmanager
def hung(connection: psycopg.Connection) -> Iterator[None]:
    """Stop the process at the other end, until the block ends."""
    backend = connection.info.backend_pid
    os.kill(backend, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(backend, signal.SIGCONT)


@pytest.fixture
def connection(postgres: Postgres) -> Iterator[psycopg.Connection]:
    with Connection.connect(postgres.url("postgres"), autocommit=True) as connection:
        yield connection


def test_a_query_that_gets_no_answer_ends_and_so_does_its_connection(connection: psycopg.Connection) -> None:
    with (
        hung(connection),
        database.within(0.2),
        pytest.raises(psycopg.OperationalError, match=r"^no answer within 0\.2 s$"),
    ):
        connection.execute("SELECT 1")
    assert connection.closed


def test_a_query_of_a_command_may_take_as_long_as_it_likes(connection: psycopg.Connection) -> None:
    assert database.limit_s() is None
    connection.execute("SELECT pg_sleep(0.3)")


def test_what_fails_in_time_keeps_its_own_error(connection: psycopg.Connection) -> None:
    with database.within(5), pytest.raises(psycopg.errors.UndefinedTable):
        connection.execute("SELECT * FROM nothing")
    assert not connection.closed


def test_a_process_that_serves_has_a_limit_which_a_block_may_change(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "serving_s", [])
    database.serve()
    assert database.limit_s() == database.QUERY_S
    with database.within(database.PAGE_S):
        assert database.limit_s() == database.PAGE_S
    assert database.limit_s() == database.QUERY_S


def test_what_the_address_says_wins() -> None:
    assert options({"connect_timeout": 30, "sslmode": "require"}) == {
        **options({}),
        "connect_timeout": 30,
        "sslmode": "require",
    }
