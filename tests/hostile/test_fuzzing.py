"""Events, frames, heads and bodies that are nearly right, by the thousand: `make torture` sends a million (`FUZZED`).

Hypothesis makes them up, and what it made is crossed and mangled. Each event has one answer, each connection an end;
the server's log says nothing of it and holds none of it, its memory stays, and every request that was done has a row.
"""

import asyncio
import itertools
import logging
import os
import random
import time
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from inference.protocol import CHAT_EVENTS, TRANSLATION_EVENTS, EventError, Parser, error_body, readable_id
from tests.hostile import fuzzed, fuzzing, wire
from tests.hostile.bystander import MOST_MB, others_are_served
from tests.hostile.fuzzing import Tally
from tests.live import Server
from tests.server.admin import eventually, usage
from tests.server.client import session

log = logging.getLogger(__name__)
FUZZED = int(os.environ.get("FUZZED", "3000"))
REHEARSED, MOST_FUZZED_MB = (1500, 40.0) if FUZZED < 100_000 else (20_000, MOST_MB)
"""How many are sent before memory is measured, and by how much it may then grow. What a server does for the first time
costs it some 25 MB, once, which 15,000 messages spend: only a long run tells a leak.
"""
SHARES = {"/v1/chat": 0.4, "/v1/translate": 0.5, "frames": 0.08, "heads": 0.015, "posts": 0.005}
EXAMPLES = 5  # in one go: Hypothesis remembers all that it drew
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


def fuzz(server: Server, kind: str, number: int, tally: Tally) -> None:
    """Send some of one kind; the number says which."""

    def several(made: st.SearchStrategy[Any], send: Callable[[list[Any], random.Random], None]) -> None:
        @seed(number)
        @FUZZ
        @given(st.lists(made, min_size=4, max_size=8), st.integers(0, 2**64))
        def run(parents: list[Any], chance: int) -> None:
            send(parents, random.Random(chance))

        run()

    match kind:
        case "frames":
            key = server.key if number % 2 else None
            several(fuzzed.frames(), lambda made, chance: fuzzing.send_streams(server, key, made, chance, tally))
        case "heads":
            several(fuzzed.heads(), lambda made, chance: fuzzing.send_heads(server, made, chance, tally))
        case "posts":
            several(fuzzed.posts(), lambda made, chance: fuzzing.send_posts(server, made, chance, tally))
        case path:
            several(fuzzed.events(), lambda made, chance: fuzzing.send_events(server, path, made, chance, tally))


def fuzz_all(server: Server, first: int, messages: int) -> Tally:
    """Send so many in all, of each kind its share, whichever is most behind at a time."""
    tally, began_s = Tally(), time.monotonic()
    for number in itertools.count(first):
        kind = min(SHARES, key=lambda kind: tally.sent[kind] / SHARES[kind])
        if tally.sent[kind] >= SHARES[kind] * messages:
            break
        fuzz(server, kind, number, tally)
        if (number - first) % 50 == 49:
            log.info("%d in %.0f s.", tally.sent.total(), time.monotonic() - began_s)
    log.info("Sent %s in %.0f s from seed %d.", dict(tally.sent), time.monotonic() - began_s, first)
    log.info("Told %s; %d requests done.", dict(tally.outcomes.most_common()), tally.done.total())
    return tally


# whoever behaves draws random numbers too, on another thread, and Hypothesis takes them for its own
@pytest.mark.filterwarnings("ignore:Do not use the `random` module")
async def test_what_is_nearly_right_is_answered_and_harms_nobody(server: Server) -> None:
    few, log_bytes = wire.sockets(server), server.log.stat().st_size
    first = random.randrange(REHEARSED, 1 << 32)
    await asyncio.to_thread(fuzz_all, server, first - REHEARSED, REHEARSED)
    async with others_are_served(server, MOST_FUZZED_MB) as memory:
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
    assert (said, fuzzed.MARK in said) == ("", False)
    async with session(server) as chat:
        assert (await chat.ask("message.create", text="Hello!")).status == "completed"


def test_every_event_is_among_what_is_made_up() -> None:
    tags = {str(event.__struct_config__.tag) for event in (*CHAT_EVENTS, *TRANSLATION_EVENTS)}
    assert set(fuzzed.FIELDS) == tags
    for event in (*CHAT_EVENTS, *TRANSLATION_EVENTS):
        assert {"id", *fuzzed.FIELDS[str(event.__struct_config__.tag)]} == set(event.__struct_fields__)


@settings(FUZZ, max_examples=40)
@given(st.lists(fuzzed.events(), min_size=4, max_size=8), st.integers(0, 2**64))
def test_the_parser_knows_an_answer_to_everything(parents: list[bytes], chance: int) -> None:
    for data in fuzzed.relatives(parents + fuzzed.SOUND, random.Random(chance), fuzzing.MANY_EVENTS):
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
