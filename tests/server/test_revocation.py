"""A key revoked by another process: its sessions close here too."""

from accounts import keys
from tests.live import Server
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
