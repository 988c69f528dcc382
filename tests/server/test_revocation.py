"""A key revoked by another process: its sessions close here too."""

import asyncio
import re
from pathlib import Path

from accounts import keys
from tests.live import LOADED, Server, start
from tests.redis_server import Redis
from tests.server.admin import Admin
from tests.server.client import error_code, session


async def test_revoking_from_a_terminal_closes_the_open_sessions_of_the_key_and_no_others(
    live: Server, admin: Admin
) -> None:
    key, other = admin.make_key(), admin.make_key()
    async with session(live, headers=key.headers) as chat, session(live, headers=other.headers) as bystander:
        await chat.ramble()
        live.manage("keys", "revoke", keys.parse(key.text).public_id)
        events, close_code = await chat.closed()
        assert (error_code(events[-1]), events[-1]["id"], close_code) == ("revoked_key", None, 4401)
        assert (await bystander.do("conversation.get"))["type"] == "conversation"


async def test_a_server_goes_on_without_its_redis_and_hears_of_revoked_keys_all_the_same(
    tmp_path: Path, absent_redis: Redis
) -> None:
    with start(tmp_path / "home", REDIS_URL=absent_redis.url()) as server:
        await asyncio.to_thread(server.wait_for, LOADED)  # a loading model keeps the loop from hearing Redis's refusal
        async with session(server) as chat:
            await asyncio.to_thread(server.wait_for, re.compile(r"Redis does not answer \(ConnectionError\)"))
            assert (await chat.ask("message.create", text="Hello!")).status == "completed"
            await asyncio.to_thread(absent_redis.start)
            await asyncio.to_thread(server.wait_for, re.compile("Redis answers again"))
            absent_redis.freeze()
            await chat.ramble()
            await asyncio.to_thread(server.manage, "keys", "revoke", keys.parse(server.key).public_id)
            events, close_code = await chat.closed()
            assert (error_code(events[-1]), close_code) == ("revoked_key", 4401)
        assert "hunter2" not in server.log.read_text()
