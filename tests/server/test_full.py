"""A server with little room: queues, what is refused when they are full, and the first requests of all."""

import asyncio
import re
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass

import pytest

from tests import live
from tests.live import Server
from tests.server.client import LAST, Answer, Event, connected, error_code, http, session
from tests.server.test_http import QUESTION, error

SESSIONS = 4


@dataclass(frozen=True)
class Narrow:
    """A server that answers one chat at a time, and what its first requests were answered, before a model was there."""

    server: Server
    first: list[Answer]


async def first_requests(server: Server) -> list[Answer]:
    """Ask before any model is loaded, from two sessions at once."""

    async def ask() -> Answer:
        async with session(server) as chat:
            answer = await chat.ask("message.create", text="Hello!")
            while answer.last["type"] == "error" and answer.code == "overloaded":  # both came for the one place at once
                answer = await chat.ask("message.create", text="Hello!")
            return answer

    return list(await asyncio.gather(ask(), ask()))


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Narrow]:
    """One place in the batch, one in the queue, four sessions."""
    home = tmp_path_factory.mktemp("narrow") / "home"
    limits = {"AISTER_BATCH": "1", "AISTER_QUEUE": "1", "AISTER_SESSIONS": str(SESSIONS)}
    with live.start(home, **limits) as server:
        answers = asyncio.run(first_requests(server))
        server.wait_for(live.LOADED)
        yield Narrow(server, answers)


def test_two_first_requests_share_one_load(narrow: Narrow) -> None:
    assert [answer.status for answer in narrow.first] == ["completed", "completed"]
    assert len(re.findall("Model aister-guide is loaded", narrow.server.log.read_text())) == 1


async def test_a_request_waits_its_turn_and_is_told_its_place(narrow: Narrow) -> None:
    async with session(narrow.server) as running, session(narrow.server) as waiting:
        await running.ramble("long")
        await waiting.send("message.create", "next", text="Hello!")
        assert await waiting.receive() == {"type": "response.queued", "id": "next", "position": 1}
        await running.send("response.cancel", "stop", target="long")
        answer = (await waiting.answers("next"))["next"]
    assert answer.types[0] == "response.created"
    assert answer.status == "completed"
    timing = answer.last["timing"]
    assert 0 < timing["queue_ms"] <= timing["first_token_ms"]


async def test_a_request_is_cancelled_while_it_waits(narrow: Narrow) -> None:
    async with session(narrow.server) as running, session(narrow.server) as waiting:
        await running.ramble("long")
        await waiting.send("message.create", "next", text="Hello!")
        queued = await waiting.receive()
        await waiting.send("response.cancel", "stop", target="next")
        answers = await waiting.answers("next")
        held = (await waiting.do("conversation.get"))["messages"]
        await running.send("response.cancel", "stop", target="long")
        assert (await running.until("response.done"))[-1]["status"] == "cancelled"
    assert queued["type"] == "response.queued"
    assert answers["stop"].last["found"] is True
    assert answers["next"].types == ["response.created", "response.done"]
    done = answers["next"].last
    assert (done["status"], done["finish_reason"], done["message"]) == ("cancelled", "cancelled", None)
    assert (done["usage"]["output_tokens"], done["timing"]["first_token_ms"]) == (0, None)
    assert held == []


async def test_a_full_queue_refuses_and_says_when_to_come_back(narrow: Narrow) -> None:
    async with (
        session(narrow.server) as running,
        session(narrow.server) as waiting,
        session(narrow.server) as refused,
    ):
        await running.ramble("long")
        await waiting.send("message.create", "next", text="Hello!")
        assert (await waiting.receive())["type"] == "response.queued"
        answer = await refused.ask("message.create", "extra", text="Hello!")
        assert (answer.types, answer.code, answer.last["id"]) == (["error"], "overloaded", "extra")
        assert answer.last["error"]["retry_after"] >= 1
        for stream in (False, True):
            with http(narrow.server) as client:
                over_http = client.post("/v1/chat", json={"messages": QUESTION, "stream": stream})
            assert error(over_http) == (503, "overloaded", None)
            assert int(over_http.headers["retry-after"]) >= 1
        await running.send("response.cancel", "stop", target="long")
        assert (await waiting.answers("next"))["next"].status == "completed"
        assert (await refused.ask("message.create", "extra", text="Hello!")).status == "completed"


async def test_a_client_that_vanishes_while_it_waits_frees_its_place(narrow: Narrow) -> None:
    async with session(narrow.server) as running:
        await running.ramble("long")
        async with session(narrow.server) as waiting:
            await waiting.send("message.create", "next", text="Hello!")
            assert (await waiting.receive())["type"] == "response.queued"
            waiting.vanish()
        async with session(narrow.server) as after:
            kinds = []
            while "response.queued" not in kinds:  # refused until the server has heard of it
                await after.send("message.create", "next", text="Hello!")
                kinds.append((await after.receive())["type"])
                assert kinds[-1] in ("response.queued", "error")
            await running.send("response.cancel", "stop", target="long")
            assert (await after.answers("next"))["next"].status == "completed"


async def test_a_full_server_turns_sessions_away(narrow: Narrow) -> None:
    async with AsyncExitStack() as stack:
        first: list[Event] = []
        while not first or first[-1]["type"] not in LAST:
            opened = await stack.enter_async_context(connected(narrow.server, "/v1/chat", narrow.server.headers))
            first.append(await opened.receive())
            assert len(first) <= SESSIONS + 1
        _, close_code = await opened.closed()
        assert (error_code(first[-1]), close_code) == ("server_full", 1013)
        assert first[-1]["error"]["retry_after"] > 0
        with http(narrow.server) as client:
            over_http = client.post("/v1/chat", json={"messages": QUESTION})
        assert error(over_http) == (503, "server_full", None)
        assert int(over_http.headers["retry-after"]) > 0
