"""Two server processes on one PostgreSQL, and a Redis: a key revoked anywhere is revoked everywhere.

Between looks into the database that nobody asks for, these servers wait for an hour: what happens sooner, Redis did.
"""

import asyncio
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from psycopg.rows import dict_row

from accounts import keys
from tests.live import Server, start
from tests.postgres import Postgres
from tests.redis_server import Redis, run_redis
from tests.server.admin import Admin, Key
from tests.server.client import RAMBLE, RAMBLING, async_http, error_code, session

PROGRAM = "tests/server/seldom_looking.py"
SHARED = ("secret_key", "first_key")


def another_home(home: Path) -> Path:
    """Make a home for a second process, as the documentation says, and return it."""
    second = home.with_name("second")
    second.mkdir(0o700)
    for name in SHARED:
        shutil.copy(home / name, second)
    return second


@pytest.fixture(scope="module")
def redis_of_two() -> Iterator[Redis]:
    """A Redis for both servers."""
    with run_redis() as redis:
        redis.start()
        yield redis


@pytest.fixture(scope="module")
def servers(
    tmp_path_factory: pytest.TempPathFactory, postgres: Postgres, redis_of_two: Redis
) -> Iterator[tuple[Server, Server]]:
    """Two servers on one database and one Redis; the first prepares the database, before the second starts."""
    settings = {"DATABASE_URL": postgres.create("two"), "REDIS_URL": redis_of_two.url()}
    home = tmp_path_factory.mktemp("two") / "first"
    with start(home, PROGRAM, **settings) as first, start(another_home(home), PROGRAM, **settings) as second:
        yield first, second


@pytest.fixture(scope="module")
def admin(servers: tuple[Server, Server]) -> Iterator[Admin]:
    """Somebody signed in at the first server."""
    admin = Admin(servers[0])
    yield admin
    admin.http.close()


async def usage_of(server: Server, key: Key) -> list[dict[str, Any]]:
    """Return the usage rows of a key, once there are some."""
    async with asyncio.timeout(20):
        with psycopg.connect(server.settings["DATABASE_URL"], row_factory=dict_row, autocommit=True) as connection:
            query = "SELECT * FROM inference_usagerecord WHERE key_id = %s"
            while not (rows := connection.execute(query, [key.pk]).fetchall()):  # noqa: ASYNC110
                await asyncio.sleep(0.02)
    return rows


async def listens(redis: Redis, how_many: int) -> None:
    """Wait until so many servers listen: each does from its first session on."""
    async with asyncio.timeout(20):
        while await asyncio.to_thread(lambda: redis.listeners) < how_many:  # noqa: ASYNC110  # it lies in Redis
            await asyncio.sleep(0.02)


async def test_revoking_in_the_admin_of_one_server_ends_a_session_of_the_other(
    servers: tuple[Server, Server], admin: Admin, redis_of_two: Redis
) -> None:
    key, other = admin.make_key(), admin.make_key()
    async with (
        session(servers[1], headers=key.headers) as chat,
        session(servers[1], headers=other.headers) as bystander,
    ):
        await listens(redis_of_two, 1)
        began = await chat.ramble()
        await asyncio.to_thread(admin.revoke, key)
        events, close_code = await chat.closed()
        assert (error_code(events[-1]), events[-1]["id"], close_code) == ("revoked_key", None, 4401)
        assert (await bystander.do("conversation.get"))["type"] == "conversation"
    (row,) = await usage_of(servers[1], key)
    (created,) = [event for event in began if event["type"] == "response.created"]
    assert (row["request_id"], row["status"]) == (created["request_id"], "cancelled")
    assert 0 < row["output_tokens"] < RAMBLING["max_tokens"]
    assert row["input_tokens"] > 0


async def test_revoking_from_a_terminal_ends_what_both_servers_have_of_a_key_and_of_its_tokens(
    servers: tuple[Server, Server], admin: Admin, redis_of_two: Redis
) -> None:
    key = admin.make_key()
    async with async_http(servers[0], key.headers) as http:
        token = (await http.post("/v1/tokens", json={})).json()["token"]
    offered = ["aister.v1", f"aister.token.{token}"]
    async with session(servers[0], headers=key.headers) as here, session(servers[1], subprotocols=offered) as there:
        await listens(redis_of_two, 2)
        await asyncio.to_thread(servers[0].manage, "keys", "revoke", keys.parse(key.text).public_id)
        for chat in (here, there):
            events, close_code = await chat.closed()
            assert (error_code(events[-1]), close_code) == ("revoked_key", 4401)


async def test_a_request_over_http_is_cancelled_too(
    servers: tuple[Server, Server], admin: Admin, redis_of_two: Redis
) -> None:
    key = admin.make_key()
    body = {"messages": [{"role": "user", "text": RAMBLE}], "settings": RAMBLING, "stream": True}
    async with async_http(servers[1], key.headers) as http, http.stream("POST", "/v1/chat", json=body) as response:
        await listens(redis_of_two, 1)
        lines = response.aiter_lines()
        async for line in lines:
            if "response.delta" in line:
                break
        await asyncio.to_thread(admin.revoke, key)
        data = [line.removeprefix("data: ") async for line in lines if line.startswith("data: ")]
    assert error_code(json.loads(data[-1])) == "revoked_key"
    (row,) = await usage_of(servers[1], key)
    assert (row["status"], row["transport"]) == ("cancelled", "http")
    assert row["output_tokens"] > 0


def test_who_signed_in_at_one_server_is_signed_in_at_the_other(servers: tuple[Server, Server], admin: Admin) -> None:
    assert admin.http.get(f"{servers[1].url}/admin/").status_code == 200
    assert httpx.get(f"{servers[1].url}/admin/", trust_env=False).status_code == 302
