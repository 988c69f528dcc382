"""Clients that don't behave: they vanish, do not read, send rubbish, guess keys, exceed limits, or lose their key.

Each function is one visit. What the server must tell them is checked: a refusal that does not come is a fault too.
"""

import asyncio
import json
import secrets
import socket
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import httpx
from websockets.exceptions import ConnectionClosed

from accounts import keys
from benchmarks.soak.client import HANGS_S, Client, browser
from benchmarks.soak.traffic import BRIEF, LONG, SAID, chat_body, ramble, say, translation

ELSEWHERE = "127.0.0.9"  # guesses come from another address than everybody else's requests
LARGE = [{"role": role, "text": "x" * 40_000} for _ in range(5) for role in ("user", "assistant")]
FRAMES: list[Any] = [
    "no JSON",
    b"\x00\xff\xfe",
    "[]",
    "{" * 50_000,
    {"id": "1"},
    {"type": "message.creat", "id": "1"},
    {"type": "message.create", "id": "1"},
    {"type": "message.create", "id": "1", "text": 1},
    {"type": "message.create", "id": "1", "text": ""},
    {"type": "message.create", "id": "no id", "text": "Hello!"},
    {"type": "message.create", "id": "1", "text": "x" * 200_000},
    {"type": "message.edit", "id": "1", "message_id": "msg_none", "text": "Hello!"},
    {"type": "conversation.load", "id": "1", "messages": [{"role": "system", "text": "x"}]},
    {"type": "session.update", "id": "1", "settings": {"temperature": "hot"}},
]
RUBBISH = {
    *("invalid_json", "unknown_type", "invalid_field", "empty_text", "text_too_long", "unknown_message"),
    *("too_many_invalid_frames", "invalid_conversation", "nothing_to_answer", "conversation_busy"),
}
GUESSES = {"wrong_key", "malformed_key", "too_many_attempts", "missing_key"}
PROTESTS = [  # method, path, body, status, code
    ("GET", "/v1/nothing", None, 404, "unknown_endpoint"),
    ("GET", "/v1/chat", None, 426, "upgrade_required"),
    ("DELETE", "/v1/translate", None, 405, "method_not_allowed"),
    ("POST", "/v1/chat", b"{", 400, "invalid_json"),
    ("POST", "/v1/chat", b'{"messages": 1}', 400, "invalid_field"),
    ("POST", "/v1/translate", b'{"text": "Hi", "target": "xx"}', 400, "unknown_language"),
    ("POST", "/v1/translate", b'{"text": "' + b"x" * 2_000_000 + b'"}', 413, "frame_too_large"),
]


async def vanish(client: Client) -> None:
    """Go without a word: while an answer streams, before it begins, or out of a stream over HTTP."""
    way = client.rng.randrange(3)
    if way == 2:
        await client.stream("left SSE chat", chat_body(client, LONG), most_events=client.rng.randint(1, 20))
    else:
        async with client.session("chat") as session:
            await session.do("session.update", settings=LONG)
            request = await session.start("abandoned chat", "message.create", text=client.rng.choice(SAID))
            if way:
                await session.begun(request)
            session.vanish()
    await client.think(4.0)


async def never_read(client: Client) -> None:
    """Ask for megabytes and don't read them; the server has to end that."""
    address = urlsplit(client.server.url)
    small = socket.socket()
    small.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    small.setblocking(False)
    await asyncio.get_running_loop().sock_connect(small, (address.hostname, address.port))
    async with client.session("chat", sock=small, max_queue=1, ping_interval=None) as session:
        await session.do("conversation.load", messages=LARGE)
        await session.do("session.update", settings=LONG)
        await session.start("unread chat", "message.create", text="Hello!")
        with suppress(ConnectionClosed, TimeoutError):
            async with asyncio.timeout(HANGS_S):
                for _ in range(30):
                    await session.send("conversation.get")
                await session.socket.wait_closed()
        how = "cut off" if session.socket.close_code in (None, 1006, 4408) else f"closed {session.socket.close_code}"
        client.record.fault(client.who, how, client.expected)
        session.vanish()
    await client.think(20.0)


async def send_rubbish(client: Client) -> None:
    """Send frames that make no sense, now and then so many in a row that it ends the session."""
    async with client.session("chat") as session:
        await session.do("session.update", settings=BRIEF)
        for _ in range(client.rng.randint(1, 14)):
            frame = client.rng.choice(FRAMES)
            await session.socket.send(frame if isinstance(frame, str | bytes) else json.dumps(frame))
            session.take(await session.receive())
        await session.do("session.update", settings=BRIEF)
    await client.think(2.0)


async def protest(client: Client) -> None:
    """Send HTTP requests that make no sense, and half of one."""
    for method, path, body, status, code in PROTESTS:
        response = await client.http.request(method, path, content=body, headers=client.headers)
        told = response.json()["error"]["code"]
        client.record.fault(client.who, told, [code] if response.status_code == status else [])
        await client.think(0.5)
    address = urlsplit(client.server.url)
    _, half = await asyncio.open_connection(address.hostname, address.port)
    half.write(b"POST /v1/chat HTTP/1.1\r\nHost: localhost\r\nContent-Le")
    await client.think(5.0)
    half.transport.abort()


async def guess(client: Client) -> None:
    """Try keys that are none: some well-formed, some not; more often than is allowed."""
    well_formed = keys.generate(keys.Kind.KEY, keys.new_public_id())
    client.key = client.rng.choice([well_formed, well_formed[:-1] + "!", "", secrets.token_hex(20)])
    headers = client.headers if client.key else {}
    transport = httpx.AsyncHTTPTransport(local_address=ELSEWHERE, verify=False)
    async with browser(client.server, transport=transport) as elsewhere:
        response = await elsewhere.post("/v1/translate", json=translation(client), headers=headers)
    client.record.fault(client.who, response.json().get("error", {}).get("code", "was let in"), GUESSES)
    async with client.session("chat", additional_headers=headers, local_addr=(ELSEWHERE, 0)) as session:
        if session.created is not None:
            client.record.fault(client.who, "was let in")
        await session.receive()
    await client.think(4.0)


async def hurry(client: Client) -> None:
    """Ask more often than a key may."""
    async with client.session("translate") as session:
        for _ in range(20):
            await session.ask("translation", "translation.create", **translation(client))
            await client.think(0.5)


async def crowd(client: Client) -> None:
    """Ask for two answers at a time in one conversation, and reuse an open id."""
    async with client.session("chat") as session:
        await session.do("session.update", settings=LONG)
        first = await session.start("long chat", "message.create", text="Hello!")
        await session.begun(first)
        second = await session.start("refused chat", "message.create", text="Hello!")
        await session.ended(first, second)
    await client.think(6.0)


async def lose_the_key(client: Client) -> None:
    """Work with a key of one's own until an operator revokes it; sessions must end, and no other begin."""
    client.key = await asyncio.to_thread(client.server.make_key, "Short-lived")
    revoking = asyncio.create_task(revoke_soon(client))
    try:
        async with client.session("chat") as session:
            await session.do("session.update", settings=BRIEF)
            while True:
                await say(client, session)
                await ramble(client, session)
        ended_s = client.record.now_s
        revoked_s = await revoking
        if not client.record.is_stopping and ended_s - revoked_s > 1:
            client.record.fault(client.who, "session outlived its key")
    finally:
        revoking.cancel()
    async with client.session("chat") as session:
        if session.created is not None:
            client.record.fault(client.who, "was let in")
        await session.receive()
    await client.think(45.0)


async def revoke_soon(client: Client) -> float:
    """Revoke a client's key after a while; return when the command had ended."""
    await client.think(8.0)
    await asyncio.to_thread(client.server.manage, "keys", "revoke", client.key.split("_")[1])
    return client.record.now_s
