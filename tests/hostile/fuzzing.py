"""Sends what fuzzed.py makes up to a server, and holds what comes back to the protocol. Of any thread, several at once.

Each event must have one answer, and each connection an end that somebody wanted. What requests came to is remembered,
to be looked up in the ledger.
"""

import http.client
import json
import random
import re
import socket
import struct
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from inference.errors import CODES
from tests.hostile import wire
from tests.hostile.fuzzed import GOOD_IDS, relatives
from tests.live import Server

BINARY = 2
BREATHER = 6  # after so many events comes one in order: ten in a row that can't be read would end the session
FEW_BYTES = 16_384  # of events that are sent before the answers to those before them are read
MANY = {"/v1/chat": 40, "/v1/translate": 40, "frames": 8, "heads": 8, "posts": 4}  # descendants of each that is drawn
QUIET_S = 0.2  # a head that is not whole gets no answer; the server closes in its own time
ANSWERS = {"error", "session.updated", "conversation", "response.cancelled", "response.done"}
PROGRESS = {"session.created", "response.loading", "response.queued", "response.created", "response.delta"}
ENDS = {1000, 1002, 1007, 1009, 4400, 4401, 4404, 4429}
STATUSES = {row.status for row in CODES.values()} - {500} | {200, 201}


@dataclass
class Tally:
    """What was sent, by what it was; what came of it, by what it was told; and the ids of requests that were done."""

    sent: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    done: Counter[str] = field(default_factory=Counter)
    begun: int = 0

    def add(self, other: "Tally") -> None:
        """Count in what was counted elsewhere."""
        self.sent += other.sent
        self.outcomes += other.outcomes
        self.done += other.done
        self.begun += other.begun


class Talk:
    """A session of one task, whose events are counted."""

    def __init__(self, server: Server, path: str, tally: Tally) -> None:
        self.tally = tally
        self.opened = wire.open_session(server, server.key, path=path)
        self.received = self.opened.makefile("rb", buffering=65_536)
        self.numbers = iter(range(1 << 62))
        assert self.hear()["type"] == "session.created"

    def close(self) -> None:
        """Go without a word."""
        self.received.close()
        self.opened.close()

    def hear(self) -> dict[str, Any]:
        """Return the next event; a session is never closed."""
        first, length = self.received.read(2)
        if length >= 126:
            (length,) = struct.unpack("!H" if length == 126 else "!Q", self.received.read(2 if length == 126 else 8))
        payload = self.received.read(length)
        if first & 15 == wire.PING:
            return self.hear()
        assert first & 15 == wire.TEXT, (first, payload)
        told: dict[str, Any] = json.loads(payload)
        return told

    def exchange(self, events: list[bytes]) -> None:
        """Send events, some in order among them, then cancel whatever they began; hear an answer to each."""
        owed = 0
        for frames in in_pieces([*self.with_breathers(events), *self.cancels()]):
            self.opened.sendall(b"".join(frames))
            self.hear_answers(owed)
            owed = len(frames)
        self.hear_answers(owed)

    def with_breathers(self, events: list[bytes]) -> Iterator[bytes]:
        """Yield the events as frames."""
        for number, data in enumerate(events):
            if number % BREATHER == 0:
                yield wire.event("session.update", f"in-order-{next(self.numbers)}", settings={})
            yield wire.frame(data, wire.TEXT if number % 2 and is_text(data) else BINARY)

    def cancels(self) -> Iterator[bytes]:
        """Yield what cancels every request that may be open."""
        for event_id in GOOD_IDS:
            yield wire.event("response.cancel", f"cancel-{next(self.numbers)}", target=event_id)

    def hear_answers(self, owed: int) -> None:
        """Read until so many events have been answered."""
        while owed:
            told = self.hear()
            kind = told["type"]
            assert kind in ANSWERS | PROGRESS, told
            owed -= kind in ANSWERS
            self.tally.begun += kind == "response.created"
            if kind == "response.done":
                self.tally.done[told["request_id"]] += 1
            if kind in ANSWERS:
                self.tally.outcomes[told["error"]["code"] if kind == "error" else told.get("status", kind)] += 1


def is_text(data: bytes) -> bool:
    """Say whether bytes may be sent in a frame of text."""
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def in_pieces(frames: list[bytes]) -> Iterator[list[bytes]]:
    """Yield the frames in lists of at most `FEW_BYTES`, or of one."""
    piece: list[bytes] = []
    for frame in frames:
        if piece and sum(map(len, piece)) + len(frame) > FEW_BYTES:
            yield piece
            piece = []
        piece.append(frame)
    yield piece


def send_events(server: Server, path: str, events: list[bytes], chance: random.Random, tally: Tally) -> None:
    """Send events and their descendants to a session; as many requests must end as began. The tally is a new one."""
    with closing(Talk(server, path, tally)) as talk:
        born = relatives(events, chance, MANY[path])
        talk.exchange(born)
    tally.sent[path] += len(born)
    assert tally.begun == tally.done.total()


def send_streams(
    server: Server, key: str | None, frames: list[tuple[bytes, bool]], chance: random.Random, tally: Tally
) -> None:
    """Send frames in one go, and a close after them: where they are whole, the server must close too."""
    stream = b"".join(data for data, _ in frames)
    is_whole = all(whole for _, whole in frames)
    for number, data in enumerate([stream, *relatives([stream], chance, MANY["frames"])]):
        opened = wire.open_session(
            server, key, path=chance.choice(["/v1/chat", "/v1/translate"]), deflates=number % 2 > 0
        )
        with closing(opened):
            must_end = is_whole and number == 0
            opened.settimeout(wire.WAIT_S if must_end else QUIET_S)
            tally.outcomes[end_of(opened, data + wire.frame(b"\x03\xe8", wire.CLOSE), must_end=must_end)] += 1
            if number % 3 == 0:
                wire.reset(opened)
        tally.sent["frames"] += len(frames)


def end_of(opened: socket.socket, data: bytes, *, must_end: bool) -> str:
    """Send bytes and return how the connection ended; where it need not, `open`."""
    try:
        opened.sendall(data)
        _, code = wire.read_to_the_close(opened, may_deflate=True)
    except TimeoutError:
        assert not must_end, data
        return "open"
    except ConnectionError:
        return "reset"
    except EOFError:
        return "closed"
    assert code in ENDS, (code, data)
    return f"close {code}"


def send_heads(server: Server, heads: list[bytes], chance: random.Random, tally: Tally) -> None:
    """Shake hands wrongly, without a key; what is whole must be answered, or closed."""
    for data in relatives(heads, chance, MANY["heads"]):
        with closing(wire.connect(server)) as opened:
            opened.settimeout(QUIET_S)
            answer = first_bytes(opened, data + b"\r\n\r\n")
            status = re.match(rb"HTTP/1\.[01] (\d\d\d) |$|waits$", answer)
            assert status is not None, (answer, data)
            assert not status[1] or status[1] < b"500" or status[1] == b"505", (answer, data)
            tally.outcomes[f"head {(status[1] or answer or b'closed').decode()}"] += 1
        tally.sent["heads"] += 1


def first_bytes(opened: socket.socket, data: bytes) -> bytes:
    """Send bytes and return what comes first."""
    try:
        opened.sendall(data)
        return opened.recv(65_536)
    except TimeoutError:
        return b"waits"
    except ConnectionError:
        return b""


def send_posts(server: Server, posts: list[tuple[str, bytes]], chance: random.Random, tally: Tally) -> None:
    """Post bodies and their descendants; each must have an answer of the error table, or a result."""
    address = urlsplit(server.url)
    client = http.client.HTTPConnection(str(address.hostname), address.port, timeout=wire.WAIT_S)
    with closing(client):
        for path, parent in posts:
            for body in relatives([parent], chance, MANY["posts"]):
                client.request("POST", path, body, {**server.headers, "Content-Type": "application/json"})
                response = client.getresponse()
                told = response.read().decode()
                client.close()  # the impatient server may not wait for the next
                assert response.status in STATUSES, (response.status, path, body)
                tally.outcomes[f"post {response.status}"] += 1
                tally.done.update(re.findall(r'"type":"response.done","id":"[^"]*","request_id":"(\w+)"', told))
                tally.sent["posts"] += 1
