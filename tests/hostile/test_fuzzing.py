"""Events, frames, heads and bodies that are nearly right, by the thousand: `make torture` sends a million (`FUZZED`).

Hypothesis makes them up, and what it made is crossed and mangled. Each event has one answer, each connection an end;
the server's log says nothing of it and holds none of it, its memory stays, and every request that was done has a row.
"""

import asyncio
import itertools
import logging
import math
import os
import random
import re
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import AsyncExitStack
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from inference.protocol import CHAT_EVENTS, TRANSLATION_EVENTS, EventError, Parser, error_body, readable_id
from tests import live
from tests.hostile import fuzzed, fuzzing, wire
from tests.hostile.bystander import KEEP_HEAP, others_are_served, warm
from tests.hostile.conftest import PROGRAM
from tests.hostile.fuzzing import MANY, Tally
from tests.live import Server
from tests.server.admin import eventually, usage
from tests.server.client import RAMBLE, RAMBLING, http, session

log = logging.getLogger(__name__)
FUZZED = int(os.environ.get("FUZZED", "3000"))
REHEARSED = 1500 if FUZZED < 100_000 else 50_000
"""How many are sent before memory is measured. The heap was cut to what it held when the models were loaded; it finds
the size that it needs once, and then stays.
"""
SHARES = {"/v1/chat": 0.4, "/v1/translate": 0.5, "frames": 0.08, "heads": 0.015, "posts": 0.005}
AT_ONCE = 6  # connections side by side
EXAMPLES = 10  # in one go: Hypothesis remembers all that it drew
MEMORY_MB = 64  # of which a quarter is for K and V, by default 2 GB: what clients may take there is no leak
KEPT = 12  # conversations, more than there is room to keep
SHOWN = 50_000  # after so many, a line says how far we are
FORBIDDEN = r"\S+ \S+ WARNING django.security.csrf: Forbidden \((CSRF|Origin|Referer) .*\)\n"  # one a minute of each
FUZZ = settings(
    max_examples=EXAMPLES,
    database=None,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(autouse=True)
def figures(caplog: pytest.LogCaptureFixture) -> None:
    """Show our figures in the output of `make torture`."""
    caplog.set_level(logging.INFO, __name__)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with little room for K and V, all of it taken."""
    home = tmp_path_factory.mktemp("fuzzed") / "home"
    with live.start(home, PROGRAM, AISTER_MEMORY_MB=str(MEMORY_MB), **KEEP_HEAP) as server:
        server.wait_for(live.LOADED)
        asyncio.run(warm(server))
        with http(server) as client:
            for number in range(KEPT):
                brief = {"messages": [{"role": "user", "text": f"{number}"}], "settings": {"max_tokens": 1}}
                client.post("/v1/chat", json=brief).raise_for_status()
        yield server


def drawn(kind: str, number: int) -> list[tuple[list[Any], random.Random]]:
    """Return what Hypothesis makes of one kind, with chance for each; the number says which."""
    strategies = {"frames": fuzzed.frames, "heads": fuzzed.heads, "posts": fuzzed.posts}
    found = []

    @seed(f"{kind} {number}")
    @FUZZ
    @given(st.lists(strategies.get(kind, fuzzed.events)(), min_size=4, max_size=8), st.integers(0, 2**64))
    def draw(parents: list[Any], chance: int) -> None:
        found.append((parents, random.Random(chance)))

    draw()
    return found


def parents_of(kind: str, first: int) -> Iterator[tuple[list[Any], random.Random]]:
    """Yield parents without end; among those of events some that are in order."""
    for number in itertools.count(first):
        for parents, chance in drawn(kind, number):
            yield parents + (chance.sample(fuzzed.SOUND, 4) if kind.startswith("/") else []), chance


def send(server: Server, kind: str, parents: list[Any], chance: random.Random) -> Tally:
    """Send these and their descendants; a pool's thread."""
    tally = Tally()
    match kind:
        case "frames":
            key = server.key if chance.random() < 0.5 else None
            fuzzing.send_streams(server, key, parents, chance, tally)
        case "heads":
            fuzzing.send_heads(server, parents, chance, tally)
        case "posts":
            fuzzing.send_posts(server, parents, chance, tally)
        case path:
            fuzzing.send_events(server, path, parents, chance, tally)
    return tally


def fuzz_all(server: Server, first: int, messages: int) -> Tally:
    """Send so many in all, of each kind its share, whichever is most behind at a time."""
    log.info("%d from seed %d.", messages, first)
    tally, promised, began_s = Tally(), Counter[str](), time.monotonic()
    stock = {kind: parents_of(kind, first) for kind in SHARES}
    sending: set[Future[Tally]] = set()
    with ThreadPoolExecutor(AT_ONCE, "fuzzer") as pool:
        while behind := [kind for kind in SHARES if promised[kind] < SHARES[kind] * messages]:
            kind = min(behind, key=lambda kind: promised[kind] / SHARES[kind])
            parents, chance = next(stock[kind])
            promised[kind] += len(parents) * (1 + MANY[kind])
            sending.add(pool.submit(send, server, kind, parents, chance))
            if len(sending) > AT_ONCE:
                sending = add_up(sending, tally)
        while sending:
            sending = add_up(sending, tally)
    log.info("Sent %d in %.0f s: %s.", tally.sent.total(), time.monotonic() - began_s, dict(tally.sent))
    log.info("Told %s; %d requests done.", dict(tally.outcomes.most_common()), tally.done.total())
    return tally


def add_up(sending: set[Future[Tally]], tally: Tally) -> set[Future[Tally]]:
    """Wait for one at least, count what was sent, and return what is still being sent. Raises what any of them met."""
    sent, sending = wait(sending, return_when=FIRST_COMPLETED)
    before = tally.sent.total()
    for one in sent:
        tally.add(one.result())
    if before // SHOWN < tally.sent.total() // SHOWN:
        log.info("%d.", tally.sent.total())
    return sending


# whoever behaves draws random numbers too, on another thread, and Hypothesis takes them for its own
@pytest.mark.filterwarnings("ignore:Do not use the `random` module")
async def test_what_is_nearly_right_is_answered_and_harms_nobody(server: Server) -> None:
    few, log_bytes = wire.sockets(server), server.log.stat().st_size
    first = random.randrange(REHEARSED, 1 << 32)
    async with others_are_served(server, math.inf):
        await asyncio.to_thread(fuzz_all, server, first - REHEARSED, REHEARSED)
    async with others_are_served(server) as memory:
        tally = await asyncio.to_thread(fuzz_all, server, first, FUZZED)
        at_most_mb, at_last_mb = (memory.read_mb(field) - memory.before_mb for field in ("VmHWM", "VmRSS"))
        log.info("%.0f MB at first, %+.1f at most, %+.1f at last.", memory.before_mb, at_most_mb, at_last_mb)
    assert tally.sent.total() >= FUZZED
    assert not tally.outcomes["internal_error"]
    assert set(tally.done.values()) <= {1}
    rows = [row["request_id"] for row in usage(server)] if tally.done else []
    assert set(tally.done) <= set(rows)
    assert len(rows) == len(set(rows))
    eventually(lambda: wire.sockets(server) <= few)
    said = server.log.read_bytes()[log_bytes:].decode()
    assert (re.sub(FORBIDDEN, "", said), fuzzed.MARK in said) == ("", False)
    async with session(server) as chat:
        assert (await chat.ask("message.create", text="Hello!")).status == "completed"


async def test_requests_that_need_all_the_room_for_k_and_v_take_turns_and_all_end(server: Server) -> None:
    cancelled = len(usage(server, status="cancelled"))
    async with AsyncExitStack() as opened:
        chats = [await opened.enter_async_context(session(server)) for _ in range(6)]
        for chat in chats:
            await chat.do("session.update", settings=RAMBLING)
        for chat in chats:
            await chat.send("message.create", text=RAMBLE)
            await chat.until("response.delta" if chat is chats[0] else "response.queued")
        for number, (running, waiting) in enumerate(itertools.pairwise(chats)):
            if number % 2:
                running.vanish()
            else:
                await running.send("response.cancel", "cancel", target="1")
                assert (await running.answers("1"))["1"].status == "cancelled"
            await waiting.until("response.delta")
    eventually(lambda: len(usage(server, status="cancelled")) >= cancelled + len(chats))


def test_every_event_is_among_what_is_made_up() -> None:
    tags = {str(event.__struct_config__.tag) for event in (*CHAT_EVENTS, *TRANSLATION_EVENTS)}
    assert set(fuzzed.FIELDS) == tags
    for event in (*CHAT_EVENTS, *TRANSLATION_EVENTS):
        assert {"id", *fuzzed.FIELDS[str(event.__struct_config__.tag)]} == set(event.__struct_fields__)


@settings(FUZZ, max_examples=40)
@given(st.lists(fuzzed.events(), min_size=4, max_size=8), st.integers(0, 2**64))
def test_the_parser_knows_an_answer_to_everything(parents: list[bytes], chance: int) -> None:
    for data in fuzzed.relatives(parents + fuzzed.SOUND, random.Random(chance), 40):
        for parser in (Parser(CHAT_EVENTS), Parser(TRANSLATION_EVENTS)):
            for frame in (data, data.decode(errors="surrogateescape")):
                check_parsed(parser, frame)


def check_parsed(parser: Parser, frame: str | bytes) -> None:
    """A frame is an event with an id, or an error that can be told and that names an id only where there is one."""
    known: set[str | None] = set()
    try:
        known = {parser.parse(frame).id}
        code = ""
    except EventError as error:
        known = {error.event_id}
        code = msgspec.json.decode(msgspec.json.encode(error_body(error)))["code"]
    assert code in ("", "invalid_json", "invalid_field", "unknown_type", "frame_too_large")
    assert all(readable_id(event_id) for event_id in known - ({None} if code else set()))
