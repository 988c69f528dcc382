"""A real PostgreSQL for tests: a cluster of its own on a free port, which a test may stop and start.

It is Debian's `postgresql`, run as the user `postgres` where the tests run as root, which it refuses. Tests that need
it are skipped where it is not installed. It is stopped, and its files are removed, at the end of the run.
"""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

START_S = 30
OWNER = "postgres"


def programs() -> Path | None:
    """Return the directory of the newest initdb and postgres, None when they are not installed."""
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda found: int(found.parts[-3]))
    found = versions[-1] if versions else shutil.which("initdb")
    return Path(found).parent if found else None


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Postgres:
    """One cluster. `start` and `stop` may follow each other as often as a test likes; the address stays."""

    def __init__(self, programs: Path, directory: Path) -> None:
        self.programs = programs
        self.directory = directory
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None
        self.who: dict[str, Any] = {}
        if os.geteuid() == 0:
            self.who = {"user": OWNER, "group": OWNER, "extra_groups": []}
            shutil.chown(directory, OWNER, OWNER)
        self.initialize()

    def initialize(self) -> None:
        """Make the cluster's files."""
        options = ["--auth=trust", "--encoding=UTF8", "--no-locale", "--no-sync", "--username=aister"]
        subprocess.run(
            [str(self.programs / "initdb"), *options, str(self.directory / "data")],
            cwd=self.directory,
            stdout=subprocess.DEVNULL,
            env=self.bare,
            check=True,
            **self.who,
        )

    @property
    def bare(self) -> dict[str, str]:
        """An environment in which nothing of whoever runs the tests leaks in."""
        return {"PATH": os.defpath, "LANG": "C"}

    @property
    def pid(self) -> int:
        """The process that takes new connections."""
        assert self.process is not None
        return self.process.pid

    def url(self, database: str, role: str = "aister") -> str:
        """Return the address of a database, as DATABASE_URL takes it. The role `aister` may do everything."""
        return f"postgres://{role}@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        """Start the cluster and wait until it answers."""
        listen = ["-p", str(self.port), "-c", "listen_addresses=127.0.0.1", "-k", str(self.directory)]
        hasty = ["-c", "fsync=off"]  # what the operating system has taken outlives every process, and that is enough
        with (self.directory.parent / f"{self.directory.name}.log").open("ab") as output:
            self.process = subprocess.Popen(
                [str(self.programs / "postgres"), "-D", str(self.directory / "data"), *listen, *hasty],
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=self.bare,
                **self.who,
            )
        self.wait()

    def wait(self) -> None:
        """Wait until it answers; fail when it ends before it does."""
        deadline_s = time.monotonic() + START_S
        while True:
            try:
                return psycopg.connect(self.url("postgres")).close()
            except psycopg.OperationalError as fault:
                assert self.process is not None
                if self.process.poll() is not None or time.monotonic() > deadline_s:
                    pytest.fail(f"PostgreSQL did not start: {fault}")
                time.sleep(0.02)

    def stop(self) -> None:
        """Stop the cluster as a service manager would: open connections are cut."""
        if self.process is not None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(START_S)
            self.process = None

    def run(self, *statements: str, database: str = "postgres") -> None:
        """Run statements as a superuser, each in a transaction of its own."""
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement)

    def create(self, database: str) -> str:
        """Make an empty database and return its address."""
        self.run(f'CREATE DATABASE "{database}"')
        return self.url(database)

    def create_on(self, disk: Path, database: str, role: str) -> str:
        """Make an empty database on a disk, with an owner who is no superuser; return its address for the owner."""
        if self.who:
            shutil.chown(disk, OWNER, OWNER)
        self.run(
            f"CREATE ROLE {role} LOGIN",
            f"CREATE TABLESPACE {database} LOCATION '{disk}'",
            f"CREATE DATABASE {database} OWNER {role} TABLESPACE {database}",
        )
        return self.url(database, role)

    def drop(self, database: str, role: str) -> None:
        """Remove what `create_on` made."""
        self.run(f"DROP DATABASE {database} WITH (FORCE)", f"DROP TABLESPACE {database}", f"DROP ROLE {role}")

    def backends(self, role: str) -> list[int]:
        """Return the process ids of a role's connections."""
        with psycopg.connect(self.url("postgres")) as connection:
            found = connection.execute("SELECT pid FROM pg_stat_activity WHERE usename = %s", [role])
            return [pid for (pid,) in found]


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A running cluster for the whole run; whoever stops it starts it again."""
    found = programs()
    if found is None:
        pytest.skip("PostgreSQL is not installed. On Debian: apt install postgresql")
    with tempfile.TemporaryDirectory(prefix="aister-postgres-") as base:  # not pytest's own, which is closed to others
        Path(base).chmod(0o755)
        directory = Path(base) / "cluster"
        directory.mkdir()
        cluster = Postgres(found, directory)
        cluster.start()
        try:
            yield cluster
        finally:
            cluster.stop()
