"""The ledger, limits and places: what a client saw as done has its row, exactly once, whatever the client did."""

import asyncio
import json
from typing import Any

import httpx

from tests.live import Server
from tests.server.admin import Admin, Key, eventually, usage
from tests.server.client import RAMBLE, RAMBLING, async_http, error_code, http, refusal, session
from tests.server.test_http import QUESTION, error

RAMBLING_BODY = {"messages": [{"role": "user", "text": RAMBLE}], "settings": RAMBLING}


def figures(row: dict[str, Any]) -> dict[str, Any]:
    """Return what a row has in common with `response.done`."""
    counted = {name: row[name] for name in ("input_tokens", "cached_tokens", "output_tokens")}
    timed = {name: row[name] for name in ("queue_ms", "first_token_ms", "total_ms")}
    return {"status": row["status"], **counted, **timed}


def told(done: dict[str, Any]) -> dict[str, Any]:
    """Return the same of a `response.done`."""
    counted = {name: value for name, value in done["usage"].items() if name != "truncated"}
    return {"status": done["status"], **counted, **done["timing"]}


def assert_committed(live: Server, done: dict[str, Any], **expected: Any) -> None:
    """Check that at this moment there is one row for a request, and that it says what the client was told."""
    rows = usage(live, request_id=done["request_id"])
    assert len(rows) == 1
    assert figures(rows[0]) == told(done)
    assert {name: rows[0][name] for name in expected} == expected


def cancelled_row(live: Server, key: Key) -> dict[str, Any]:
    """Wait for the row of a key's only request, which was cancelled, and return it."""
    (row,) = eventually(lambda: usage(live, key_id=key.pk))
    assert (row["status"], row["error_code"]) == ("cancelled", "")
    return row


# -- rows -------------------------------------------------------------------------------------------------------------


async def test_the_row_of_a_request_is_there_when_its_end_is_seen(live: Server, admin: Admin) -> None:
    key = admin.make_key()
    whose = {"key_id": key.pk, "transport": "websocket", "error_code": ""}
    async with session(live, headers=key.headers) as chat, session(live, "translate", key.headers) as translation:
        done = (await chat.ask("message.create", text="What is Aister?")).last
        assert_committed(live, done, task="chat", model="aister-guide", **whose)
        done = (await chat.ask("message.create", text="Thank you!")).last
        assert_committed(live, done, task="chat", model="aister-guide", **whose)
        done = (await translation.ask("translation.create", text=["Good morning", "Hi"], target="fr")).last
        assert_committed(live, done, task="translation", model="aister-phrasebook", **whose)
    assert len(usage(live, key_id=key.pk)) == 3


async def test_a_request_by_http_has_its_row_too(live: Server, admin: Admin) -> None:
    key = admin.make_key()
    with http(live, key.headers) as client:
        done = client.post("/v1/chat", json={"messages": QUESTION}).json()
        assert_committed(live, done, key_id=key.pk, task="chat", transport="http")
        done = client.post("/v1/translate", json={"text": "Good morning", "target": "fr"}).json()
        assert_committed(live, done, key_id=key.pk, task="translation", transport="http")
        last = client.post("/v1/chat", json={"messages": QUESTION, "stream": True}).text.split("data: ")[-1]
        assert_committed(live, json.loads(last), key_id=key.pk, task="chat", transport="http")


async def test_the_use_of_a_token_is_its_keys(live: Server, admin: Admin) -> None:
    key = admin.make_key()
    with http(live, key.headers) as client:
        token = client.post("/v1/tokens").json()["token"]
    async with session(live, subprotocols=["aister.v1", f"aister.token.{token}"]) as chat:
        done = (await chat.ask("message.create", text="Hello!")).last
    assert_committed(live, done, key_id=key.pk)


async def test_a_cancelled_request_has_its_row(live: Server, admin: Admin) -> None:
    key = admin.make_key()
    async with session(live, headers=key.headers) as chat:
        await chat.ramble("long")
        await chat.send("response.cancel", "stop", target="long")
        done = (await chat.until("response.done"))[-1]
        assert_committed(live, done, key_id=key.pk, status="cancelled", error_code="")
    assert done["usage"]["output_tokens"] > 0


async def test_what_is_refused_has_no_row(live: Server, admin: Admin) -> None:
    key = admin.make_key()
    async with session(live, headers=key.headers) as chat, session(live, "translate", key.headers) as translation:
        await chat.ask("message.create", text="")
        await chat.ask("message.create", text="hello " * 5_000)
        await translation.ask("translation.create", text="Good morning", target="tlh")
        done = (await chat.ask("message.create", text="Hello!")).last
    assert [row["request_id"] for row in usage(live, key_id=key.pk)] == [done["request_id"]]


# -- clients that go --------------------------------------------------------------------------------------------------


async def test_a_client_that_vanishes_frees_its_place_and_its_request_is_cancelled(live: Server, admin: Admin) -> None:
    key = admin.make_key(max_sessions="1")
    async with session(live, headers=key.headers) as chat:
        await chat.ramble()
        event, _ = await refusal(live, "/v1/chat", key.headers)
        assert error_code(event) == "too_many_sessions"
        chat.vanish()
    assert (await asyncio.to_thread(cancelled_row, live, key))["output_tokens"] > 0
    async with session(live, headers=key.headers) as chat:
        assert (await chat.ask("message.create", text="Hello!")).status == "completed"


async def test_a_session_closed_in_an_answer_cancels_it(live: Server, admin: Admin) -> None:
    key = admin.make_key()
    async with session(live, headers=key.headers) as chat:
        await chat.ramble()
    assert (await asyncio.to_thread(cancelled_row, live, key))["transport"] == "websocket"


async def test_a_stream_that_is_closed_early_is_cancelled(live: Server, admin: Admin) -> None:
    key = admin.make_key()
    async with (
        async_http(live, key.headers) as client,
        client.stream("POST", "/v1/chat", json={**RAMBLING_BODY, "stream": True}) as response,
    ):
        async for line in response.aiter_lines():
            if line == "event: response.delta":
                break
    assert (await asyncio.to_thread(cancelled_row, live, key))["transport"] == "http"


async def test_a_client_that_does_not_wait_for_its_answer_cancels_it(live: Server, admin: Admin) -> None:
    key = admin.make_key(requests_per_minute="10")

    async def requests_left() -> int:
        async with session(live, headers=key.headers) as chat:
            return int(chat.created["limits"]["requests_left"])

    async with async_http(live, key.headers) as client:
        asking = asyncio.create_task(client.post("/v1/chat", json=RAMBLING_BODY))
        while await requests_left() == 10:
            assert not asking.done()
        asking.cancel()
        await asyncio.wait([asking])
    assert (await asyncio.to_thread(cancelled_row, live, key))["transport"] == "http"


async def test_revoking_a_key_cancels_what_it_has_open(live: Server, admin: Admin) -> None:
    key = admin.make_key()
    async with async_http(live, key.headers) as client, session(live, headers=key.headers) as chat:
        await chat.ramble()
        async with client.stream("POST", "/v1/chat", json={**RAMBLING_BODY, "stream": True}) as response:
            lines = response.aiter_lines()
            async for line in lines:
                if line == "event: response.delta":
                    break
            admin.revoke(key)
            left = [line async for line in lines]
        events, code = await chat.closed()
    assert '"code":"revoked_key"' in left[-2]
    assert (error_code(events[-1]), code) == ("revoked_key", 4401)

    def both() -> bool:
        return [row["status"] for row in usage(live, key_id=key.pk)] == ["cancelled"] * 2

    assert await asyncio.to_thread(eventually, both)


# -- limits -----------------------------------------------------------------------------------------------------------


async def test_requests_beyond_the_minutes_allowance_are_refused_and_told_when_to_come_back(
    live: Server, admin: Admin
) -> None:
    key = admin.make_key(requests_per_minute="3")
    async with session(live, headers=key.headers) as chat, session(live, "translate", key.headers) as translation:
        for _ in range(2):
            assert (await chat.ask("message.create", text="Hello!")).status == "completed"
        assert (await translation.ask("translation.create", text="Hi", target="fr")).status == "completed"
        for refused in (
            await chat.ask("message.create", "more", text="Hello!"),
            await translation.ask("translation.create", "more", text="Hi", target="fr"),
        ):
            assert (refused.types, refused.code, refused.last["id"]) == (["error"], "rate_limited", "more")
            assert 0 < refused.last["error"]["retry_after"] <= 60
        assert (await chat.do("conversation.get"))["type"] == "conversation"
    with http(live, key.headers) as client:
        over_http = client.post("/v1/chat", json={"messages": QUESTION})
    assert error(over_http) == (429, "rate_limited", None)
    assert 1 <= int(over_http.headers["retry-after"]) <= 60
    async with session(live, headers=key.headers) as chat:
        assert chat.created["limits"]["requests_left"] == 0
    assert len(usage(live, key_id=key.pk)) == 3


async def test_a_request_over_http_takes_one_of_the_keys_places(live: Server, admin: Admin) -> None:
    key = admin.make_key(max_sessions="1")
    async with session(live, headers=key.headers):
        with http(live, key.headers) as client:
            refused: httpx.Response = client.post("/v1/chat", json={"messages": QUESTION})
            streamed = client.post("/v1/chat", json={"messages": QUESTION, "stream": True})
    assert error(refused) == (429, "too_many_sessions", None)
    assert error(streamed) == (429, "too_many_sessions", None)
