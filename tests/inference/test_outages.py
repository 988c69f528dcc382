"""Which faults of a database are outages, and what is told of them. Real databases make each fault."""

import logging
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import dj_database_url
import pytest
from django.db import Error
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.utils import ConnectionHandler

from aister_site.seldom import Seldom
from inference import outages
from inference.outages import is_outage, unavailable
from tests.postgres import Postgres

pytestmark = pytest.mark.django_db  # for Django to let connections through; the default one is not used

TABLE = "CREATE TABLE counted (name varchar(5) NOT NULL UNIQUE CHECK (name <> 'no'))"
REFUSED = ["VALUES ('no')", "VALUES (NULL)", "VALUES ('there')"]


def opened(url: str) -> BaseDatabaseWrapper:
    """Return a connection as the server would have it, but without a pool."""
    configured: dict[str, Any] = dict(dj_database_url.parse(url))
    if configured["ENGINE"].endswith("sqlite3"):
        configured["OPTIONS"] = {"timeout": 0.01}
    return ConnectionHandler({"default": configured})["default"]


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[BaseDatabaseWrapper]:
    with closing(opened(f"sqlite:///{tmp_path / 'some.sqlite3'}")) as connection:
        run(connection, TABLE)
        run(connection, "INSERT INTO counted VALUES ('there')")
        yield connection


@pytest.fixture(scope="module")
def outages_url(postgres: Postgres) -> str:
    return postgres.create("outages")


@pytest.fixture
def postgresql(outages_url: str) -> Iterator[BaseDatabaseWrapper]:
    with closing(opened(outages_url)) as connection:
        run(connection, "DROP SCHEMA public CASCADE", "CREATE SCHEMA public", TABLE)
        run(connection, "INSERT INTO counted VALUES ('there')")
        yield connection


def run(connection: BaseDatabaseWrapper, *statements: str) -> None:
    """Run statements, each in a transaction of its own."""
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


def fault_of(connection: BaseDatabaseWrapper, *statements: str) -> Error:
    """Return what the last of the statements fails with."""
    run(connection, *statements[:-1])
    with pytest.raises(Error) as caught:
        run(connection, statements[-1])
    return caught.value


def locked(connection: BaseDatabaseWrapper) -> Error:
    """Write while another process is writing."""
    with closing(sqlite3.connect(str(connection.settings_dict["NAME"]), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        return fault_of(connection, "INSERT INTO counted VALUES ('a')")


def full(connection: BaseDatabaseWrapper) -> Error:
    """Write more pages than may be."""
    return fault_of(connection, "PRAGMA max_page_count = 1", "CREATE TABLE more (name)")


def read_only(connection: BaseDatabaseWrapper) -> Error:
    """Write where nothing may be written."""
    return fault_of(connection, "PRAGMA query_only = ON", "INSERT INTO counted VALUES ('a')")


@pytest.mark.parametrize(
    ("use", "said"),
    [
        (locked, "database is locked"),
        (full, "database or disk is full"),
        (read_only, "attempt to write a readonly database"),
    ],
)
def test_sqlite_that_can_not_be_written_is_an_outage(
    sqlite: BaseDatabaseWrapper, use: Callable[[BaseDatabaseWrapper], Error], said: str
) -> None:
    fault = use(sqlite)
    assert is_outage(fault)
    assert outages.reason(fault) == said


@pytest.mark.parametrize("row", [*REFUSED, "VALUES ('raised')"])
def test_what_sqlite_refuses_is_none(sqlite: BaseDatabaseWrapper, row: str) -> None:
    trigger = "BEFORE INSERT ON counted WHEN NEW.name = 'raised' BEGIN SELECT RAISE(ABORT, 'not this one'); END"
    assert not is_outage(fault_of(sqlite, f"CREATE TRIGGER refuse {trigger}", f"INSERT INTO counted {row}"))


@pytest.mark.parametrize(
    "statements",
    [
        ("SET statement_timeout = 1", "SELECT pg_sleep(9)"),
        ("SET default_transaction_read_only = on", "INSERT INTO counted VALUES ('a')"),
        ("SELECT pg_terminate_backend(pg_backend_pid())",),
        ("DO $$ BEGIN RAISE disk_full; END $$",),
        ("DO $$ BEGIN RAISE too_many_connections; END $$",),
        ("DO $$ BEGIN RAISE admin_shutdown; END $$",),
        ("DO $$ BEGIN RAISE lock_not_available; END $$",),
    ],
    ids=["statement timeout", "replica", "terminated", "disk full", "connections", "shutdown", "lock"],
)
def test_postgresql_that_can_not_be_used_is_an_outage(
    postgresql: BaseDatabaseWrapper, statements: tuple[str, ...]
) -> None:
    assert is_outage(fault_of(postgresql, *statements))


@pytest.mark.parametrize("row", [*REFUSED, "VALUES ('too long')", "VALUES ('raised')"])
def test_what_postgresql_refuses_is_none(postgresql: BaseDatabaseWrapper, row: str) -> None:
    body = "BEGIN IF NEW.name = 'raised' THEN RAISE EXCEPTION 'not this one'; END IF; RETURN NEW; END"
    function = f"CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ {body} $$"
    trigger = "CREATE TRIGGER refuse BEFORE INSERT ON counted FOR EACH ROW EXECUTE FUNCTION refuse()"
    assert not is_outage(fault_of(postgresql, function, trigger, f"INSERT INTO counted {row}"))


def test_a_permission_that_is_gone_is_no_outage(postgresql: BaseDatabaseWrapper) -> None:
    run(postgresql, "DROP ROLE IF EXISTS reader", "CREATE ROLE reader", "GRANT SELECT ON counted TO reader")
    fault = fault_of(postgresql, "SET ROLE reader", "INSERT INTO counted VALUES ('a')")
    run(postgresql, "RESET ROLE", "DROP OWNED BY reader", "DROP ROLE reader")
    assert not is_outage(fault)


def test_an_outage_is_told_to_everybody_and_logged_once_a_minute(
    sqlite: BaseDatabaseWrapper, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    times_s = [0.0, 1.0, 59.9, 60.0]
    monkeypatch.setattr(outages, "lines", Seldom(clock=lambda: times_s.pop(0)))
    fault = locked(sqlite)
    caplog.set_level(logging.DEBUG, outages.__name__)
    while times_s:
        error = unavailable(fault)
        assert error is not None
        assert (error.code, error.retry_after_s) == ("unavailable", 5.0)
    line = "The database can't be used: database is locked. 'manage.py doctor' says what to do."
    assert caplog.messages == [line, line]


def test_any_other_fault_is_none_of_this(sqlite: BaseDatabaseWrapper) -> None:
    assert unavailable(fault_of(sqlite, "INSERT INTO counted VALUES ('no')")) is None
    assert unavailable(ValueError("no")) is None
