"""Opening a session: who is let in, what they are told first, and how the others are turned away."""

import asyncio
from typing import Any

import pytest
from websockets.asyncio.client import connect

from accounts import keys
from tests.live import Server
from tests.server.admin import Admin
from tests.server.client import WAIT_S, Event, error_code, http, refusal, session

UNKNOWN_KEY = keys.generate(keys.Kind.KEY, keys.new_public_id())
NO_LIMIT = {"requests_per_minute": None, "requests_left": None}
CHAT_DEFAULTS = dict.fromkeys(
    ["system", "temperature", "top_p", "top_k", "repetition_penalty", "max_tokens", "seed", "stop"]
)


def without_ids(event: Event) -> Event:
    """Return an event without what is different each time."""
    return {name: value for name, value in event.items() if name not in ("session_id", "request_id")}


def token(live: Server, **body: Any) -> str:
    """Mint a token with the first key."""
    with http(live) as client:
        return str(client.post("/v1/tokens", json=body).json()["token"])


async def test_a_chat_session_begins_with_what_there_is_to_know(live: Server) -> None:
    async with session(live) as chat:
        created = chat.created
    assert created["session_id"].startswith("sess_")
    assert created["model"].pop("description")
    assert without_ids(created) == {
        "type": "session.created",
        "task": "chat",
        "model": {"id": "aister-guide", "demonstration": True},
        "languages": ["en"],
        "settings": CHAT_DEFAULTS,
        "limits": {"open_requests": 16, "frame_bytes": 524_288, "text_characters": 100_000, **NO_LIMIT},
    }


async def test_a_translation_session_begins_with_its_languages(live: Server) -> None:
    async with session(live, "translate") as translation:
        created = translation.created
    assert created["model"].pop("description")
    assert without_ids(created) == {
        "type": "session.created",
        "task": "translation",
        "model": {"id": "aister-phrasebook", "demonstration": True},
        "languages": ["en", "fr", "de", "es", "it", "pt"],
        "settings": {"source": None, "target": None},
        "limits": {"open_requests": 16, "frame_bytes": 524_288, "text_characters": 50_000, **NO_LIMIT},
    }


async def test_what_is_left_of_the_minute_is_told(live: Server, admin: Admin) -> None:
    key = admin.make_key(requests_per_minute="7")
    async with session(live, headers=key.headers) as chat:
        limits = chat.created["limits"]
    assert (limits["requests_per_minute"], limits["requests_left"]) == (7, 7)


async def test_a_model_may_be_named_in_the_address(live: Server) -> None:
    async with session(live, "chat?model=aister-guide") as chat:
        assert chat.created["model"]["id"] == "aister-guide"


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({}, "missing_key"),
        ({"Authorization": "Bearer "}, "malformed_key"),
        ({"Authorization": "Basic YTpi"}, "malformed_key"),
        ({"Authorization": "Bearer aister_short"}, "malformed_key"),
        ({"Authorization": f"Bearer {UNKNOWN_KEY[:-1]}"}, "malformed_key"),
        ({"Authorization": f"Bearer {UNKNOWN_KEY}"}, "wrong_key"),
    ],
)
@pytest.mark.parametrize("task", ["chat", "translate"])
async def test_who_is_not_known_is_told_why_and_closed(
    live: Server, task: str, headers: dict[str, str], code: str
) -> None:
    event, close_code = await refusal(live, f"/v1/{task}", headers)
    assert (event["id"], error_code(event), close_code) == (None, code, 4401)


async def test_a_revoked_key_is_refused(live: Server, admin: Admin) -> None:
    key = admin.make_key()
    admin.revoke(key)
    event, close_code = await refusal(live, "/v1/chat", key.headers)
    assert (error_code(event), close_code) == ("revoked_key", 4401)


async def test_an_expired_key_is_refused(live: Server, admin: Admin) -> None:
    key = admin.make_key()
    admin.expire(key)
    event, close_code = await refusal(live, "/v1/chat", key.headers)
    assert (error_code(event), close_code) == ("expired_key", 4401)


@pytest.mark.parametrize(("task", "other"), [("chat", "translate"), ("translation", "chat")])
async def test_a_key_opens_the_tasks_that_it_may_use_only(live: Server, admin: Admin, task: str, other: str) -> None:
    key = admin.make_key(tasks=[task])
    async with session(live, "chat" if task == "chat" else "translate", key.headers) as opened:
        assert opened.created["task"] == task
    event, close_code = await refusal(live, f"/v1/{other}", key.headers)
    assert (error_code(event), close_code) == ("forbidden_task", 4403)


async def test_a_key_opens_the_models_that_it_may_use_only(live: Server, admin: Admin) -> None:
    key = admin.make_key(models="aister-phrasebook")
    async with session(live, "translate", key.headers):
        pass
    event, close_code = await refusal(live, "/v1/chat", key.headers)
    assert (error_code(event), event["error"]["param"], close_code) == ("forbidden_model", "model", 4403)


async def test_a_key_is_good_for_the_pages_that_it_names_and_for_programs(live: Server, admin: Admin) -> None:
    key = admin.make_key(origins="https://app.example.com")
    for headers in (key.headers, {**key.headers, "Origin": "https://app.example.com"}):
        async with session(live, headers=headers):
            pass
    event, close_code = await refusal(live, "/v1/chat", {**key.headers, "Origin": "https://app.example.com:8443"})
    assert (error_code(event), close_code) == ("forbidden_origin", 4403)


@pytest.mark.parametrize("path", ["/", "/v1", "/v1/chat/", "/v1/nothing", "/v1/models", "/%00%ff"])
async def test_an_unknown_path_is_told_so(live: Server, path: str) -> None:
    event, close_code = await refusal(live, path, live.headers)
    assert (event["id"], error_code(event), close_code) == (None, "unknown_endpoint", 4404)


@pytest.mark.parametrize(("model", "code"), [("nothing", "unknown_model"), ("aister-phrasebook", "wrong_task")])
async def test_a_model_that_does_not_chat_is_refused(live: Server, model: str, code: str) -> None:
    event, close_code = await refusal(live, f"/v1/chat?model={model}", live.headers)
    assert (error_code(event), event["error"]["param"], close_code) == (code, "model", 4404)


async def test_a_key_may_have_so_many_sessions_and_one_more_when_one_closes(live: Server, admin: Admin) -> None:
    key = admin.make_key(max_sessions="2")
    async with session(live, headers=key.headers):
        async with session(live, "translate", key.headers):
            event, close_code = await refusal(live, "/v1/chat", key.headers)
            assert (error_code(event), close_code) == ("too_many_sessions", 4429)
        while True:  # the server hears of the closing a moment later than we do
            try:
                async with session(live, headers=key.headers):
                    break
            except AssertionError:
                continue


# -- subprotocols -----------------------------------------------------------------------------------------------------


async def test_a_token_opens_a_session_and_only_the_protocol_is_echoed(live: Server) -> None:
    async with session(live, subprotocols=["aister.v1", f"aister.token.{token(live)}"]) as chat:
        assert chat.socket.subprotocol == "aister.v1"


async def test_only_what_is_offered_is_echoed(live: Server) -> None:
    async with session(live, headers=live.headers) as chat:
        assert chat.socket.subprotocol is None
    async with session(live, headers=live.headers, subprotocols=["soap", "aister.v1"]) as chat:
        assert chat.socket.subprotocol == "aister.v1"
    async with session(live, headers=live.headers, subprotocols=["soap"]) as chat:
        assert chat.socket.subprotocol is None
    async with session(live, subprotocols=[f"aister.token.{token(live)}"]) as chat:
        assert chat.socket.subprotocol is None


@pytest.mark.parametrize("prefix", ["", "aister.token."])
async def test_a_key_among_the_subprotocols_is_refused(live: Server, prefix: str) -> None:
    event, close_code = await refusal(live, "/v1/chat", subprotocols=["aister.v1", prefix + live.key])
    assert (error_code(event), close_code) == ("malformed_key", 4401)
    assert "POST /v1/tokens" in event["error"]["message"]
    assert live.key not in event["error"]["message"]


async def test_a_token_is_narrower_than_its_key(live: Server) -> None:
    chats = token(live, tasks=["chat"], origin="https://app.example.com")
    offered = ["aister.v1", f"aister.token.{chats}"]
    async with session(live, headers={"Origin": "https://app.example.com"}, subprotocols=offered):
        pass
    event, close_code = await refusal(live, "/v1/translate", subprotocols=offered)
    assert (error_code(event), close_code) == ("forbidden_task", 4403)
    event, close_code = await refusal(live, "/v1/chat", {"Origin": "https://b.example"}, offered)
    assert (error_code(event), close_code) == ("forbidden_origin", 4403)


async def test_a_refused_page_is_told_why_too(live: Server) -> None:
    unknown = keys.generate(keys.Kind.TOKEN, keys.new_public_id())
    async with connect(
        f"{live.ws_url}/v1/chat",
        subprotocols=["aister.v1", f"aister.token.{unknown}"],
        proxy=None,  # type: ignore[list-item]
    ) as socket:
        assert socket.subprotocol == "aister.v1"
        assert '"wrong_key"' in str(await socket.recv())


async def test_revoking_a_key_closes_its_open_sessions_and_no_others(live: Server, admin: Admin) -> None:
    key, other = admin.make_key(), admin.make_key()
    async with (
        session(live, headers=key.headers) as chat,
        session(live, "translate", key.headers) as translation,
        session(live, headers=other.headers) as bystander,
    ):
        await chat.ramble()
        admin.revoke(key)
        for opened in (chat, translation):
            events, close_code = await opened.closed()
            assert (error_code(events[-1]), events[-1]["id"], close_code) == ("revoked_key", None, 4401)
        assert (await bystander.do("conversation.get"))["type"] == "conversation"


# -- handshakes that no library makes ---------------------------------------------------------------------------------


@pytest.mark.parametrize("origin", ["null", "file://", "http://localhost:5173", "https://app.example.com"])
async def test_a_page_from_anywhere_may_connect(live: Server, origin: str) -> None:
    async with session(live, headers={**live.headers, "Origin": origin}):
        pass


@pytest.mark.parametrize("offered", ["aister%2Ev1", "aister.v1%2Cx", "\xff\xe9", "aister.v2", ""])
async def test_what_is_not_quite_our_subprotocol_is_not_echoed(live: Server, offered: str) -> None:
    answer = await handshake(live, {**live.headers, "Sec-WebSocket-Protocol": offered})
    assert answer.startswith("HTTP/1.1 101")
    assert "sec-websocket-protocol" not in answer.lower()


async def test_a_key_given_twice_is_told_to_be_no_key(live: Server) -> None:
    event, close_code = await refusal(
        live, "/v1/chat", [("Authorization", f"Bearer {live.key}"), ("Authorization", f"Bearer {live.key}")]
    )
    assert (error_code(event), close_code) == ("malformed_key", 4401)


@pytest.mark.parametrize("key", ["\xff\xe9", "aister_" + "\xe9" * 50, "%00", "x" * 7_000])
async def test_a_key_of_strange_letters_is_told_to_be_no_key(live: Server, key: str) -> None:
    answer = await handshake(live, {"Authorization": f"Bearer {key}"})
    assert answer.startswith("HTTP/1.1 101")
    assert '"malformed_key"' in answer


async def handshake(live: Server, headers: dict[str, str]) -> str:
    """Shake hands with headers that libraries refuse to send; return what came up to the first event."""
    host, port = live.url.removeprefix("http://").split(":")
    fixed = {
        "Host": host,
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version": "13",
    }
    lines = ["GET /v1/chat HTTP/1.1", *(f"{name}: {value}" for name, value in {**fixed, **headers}.items()), "", ""]
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write("\r\n".join(lines).encode("latin-1"))
    answer = await asyncio.wait_for(reader.readuntil(b"}"), WAIT_S)
    writer.close()
    await writer.wait_closed()
    return answer.decode("latin-1")
