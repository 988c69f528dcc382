"""Clients that mean harm, or don't know better: the server's memory stays as it was, and others are served meanwhile.

The server's patience is short here, see impatient.py. `SHOW_MEMORY=1 pytest -s` prints what was measured, and `STOCK=1`
does the same to Daphne as it comes, to see what the tests are worth: then memory is shown, not held.
"""

import asyncio
import json
import os
import signal
import time
from contextlib import closing, suppress
from pathlib import Path

import pytest

from tests import live
from tests.hostile import wire
from tests.hostile.bystander import LARGE, others_are_served
from tests.hostile.conftest import PROGRAM
from tests.live import Server
from tests.server.admin import eventually, usage
from tests.server.client import RAMBLE, RAMBLING

ATTACK_S = 3


def never_read(server: Server) -> None:
    """Ask for what would take 200 MB, of two sessions: one reads once it is too late, the other never."""
    late, never = (wire.open_session(server, server.key, buffer_bytes=4_096) for _ in range(2))
    with closing(late), closing(never):
        for opened in (late, never):
            opened.sendall(wire.event("conversation.load", "load", messages=LARGE))
            wire.read_until(opened, "conversation")
            opened.sendall(wire.event("session.update", "ramble", settings=RAMBLING))
        for opened in (late, never):  # at last, for their answers have an end too, hundreds of tokens later
            opened.sendall(wire.event("message.create", "open", text=RAMBLE))
            wire.read_until(opened, "response.delta")
        cancelled = len(usage(server, status="cancelled"))
        for opened in (late, never):
            opened.sendall(wire.event("conversation.get", "get") * 250)
        if os.environ.get("STOCK"):
            time.sleep(ATTACK_S)
            return
        eventually(lambda: len(usage(server, status="cancelled")) >= cancelled + 2)
        told, code = wire.read_to_the_close(late)
        assert told is not None
        assert (told["type"], told["error"]["code"], code) == ("error", "client_too_slow", 4408)
        assert wire.is_cut_off(never)


async def test_who_never_reads_is_told_and_cut_off(server: Server) -> None:
    async with others_are_served(server):
        await asyncio.to_thread(never_read, server)


def flood(opened: wire.socket.socket, frames: bytes) -> None:
    """Send for a while, as much as is taken."""
    opened.settimeout(0.5)
    sent_bytes, end_s = 0, time.monotonic() + ATTACK_S
    while time.monotonic() < end_s:
        with suppress(TimeoutError):
            sent_bytes += opened.send(frames[sent_bytes % len(frames) :])


async def test_who_floods_waits(server: Server) -> None:
    async with others_are_served(server):
        with closing(wire.open_session(server, server.key)) as opened:
            update = json.dumps({"type": "session.update", "id": "flood", "settings": {}}).ljust(1_000)
            reading = asyncio.create_task(asyncio.to_thread(read_all, opened))
            await asyncio.to_thread(flood, opened, wire.frame(update.encode()) * 500)
            opened.shutdown(wire.socket.SHUT_RDWR)
            await reading


def read_all(opened: wire.socket.socket) -> None:
    """Read until nothing comes any more."""
    with suppress(OSError):
        while opened.recv(1 << 20):
            pass


def is_heard_no_more(opened: wire.socket.socket, frames: bytes) -> bool:
    """Send until nothing more is taken."""
    opened.settimeout(1)
    sent_bytes, end_s = 0, time.monotonic() + wire.GIVE_UP_S
    with suppress(TimeoutError):
        while time.monotonic() < end_s:
            sent_bytes += opened.send(frames[sent_bytes % len(frames) :])
        return False
    return True


async def test_who_pings_and_never_reads_is_heard_no_more(server: Server) -> None:
    async with others_are_served(server):
        with closing(wire.open_session(server, server.key, buffer_bytes=4_096)) as opened:
            pings = wire.frame(b"x" * 125, wire.PING) * 1_000
            assert await asyncio.to_thread(is_heard_no_more, opened, pings)


async def test_half_frames_end_in_time(server: Server) -> None:
    async with others_are_served(server):
        opened = [wire.open_session(server, server.key) for _ in range(8)]
        for number, halved in enumerate(opened):
            halved.sendall(wire.frame(b"x" * 100_000 * number, announced=1_000_000))
        for halved in opened:
            with closing(halved):
                assert (await asyncio.to_thread(wire.read_to_the_close, halved))[1] == 1002


async def test_half_requests_end_in_time(server: Server) -> None:
    async with others_are_served(server):
        begun = [
            b"",
            b"GET / HT",
            b"GET / HTTP/1.1\r\nHost: localhost\r\n",
            wire.request("POST", "/v1/chat", "Content-Length: 1000000") + b"x" * 900_000,
            wire.request("POST", "/v1/chat", "Transfer-Encoding: chunked") + b"100000\r\n" + b"x" * 900_000,
        ]
        opened = [wire.connect(server) for _ in begun]
        for half, data in zip(opened, begun, strict=True):
            half.sendall(data)
        for half in opened:
            with closing(half):
                assert await asyncio.to_thread(half.recv, 1) == b""


def drip(server: Server) -> None:
    """Send a request byte by byte, until the server has had enough of it."""
    with closing(wire.connect(server)) as opened, suppress(OSError):
        for byte in wire.request("GET", "/healthz", "Padding: " + "x" * 10_000):
            opened.sendall(bytes([byte]))
            if wire.select.select([opened], [], [], 0.02)[0]:
                assert opened.recv(1) == b""
                return
        pytest.fail("a request may drip in for ever")


async def test_a_request_in_drips_ends_in_time(server: Server) -> None:
    async with others_are_served(server):
        await asyncio.to_thread(drip, server)


def post(server: Server, path: str, framing: str, piece: bytes, count: int) -> tuple[bytes, bytes]:
    """Post a piece again and again, without a key; return the head and body of what comes back."""
    with closing(wire.connect(server)) as opened:
        opened.sendall(wire.request("POST", path, framing))
        for _ in range(count):
            if wire.select.select([opened], [], [], 0)[0]:
                break
            opened.sendall(piece)
        answer = b""
        while data := opened.recv(65_536):
            answer += data
    head, _, body = answer.partition(b"\r\n\r\n")
    return head, body


@pytest.mark.parametrize("is_chunked", [False, True])
async def test_a_large_body_without_a_key_is_refused_as_it_arrives(server: Server, *, is_chunked: bool) -> None:
    framing = "Transfer-Encoding: chunked" if is_chunked else "Content-Length: 300000000"
    piece = b"x" * 1_000_000
    piece = b"%x\r\n%b\r\n" % (len(piece), piece) if is_chunked else piece
    async with others_are_served(server):
        head, body = await asyncio.to_thread(post, server, "/v1/translate", framing, piece, 300)
    if os.environ.get("STOCK"):
        return
    lines = head.decode().split("\r\n")
    assert lines[0] == "HTTP/1.1 413 Content Too Large"
    assert {"Access-Control-Allow-Origin: *", "Connection: close", f"Content-Length: {len(body)}"} <= set(lines)
    told = json.loads(body)
    assert told == {
        "type": "error",
        "id": None,
        "request_id": told["request_id"],
        "error": {
            "code": "frame_too_large",
            "message": "At most 524,288 bytes in one go. Split the text.",
            "param": None,
            "retry_after": None,
        },
    }


def test_a_body_that_waits_to_be_asked_for_is_refused_at_once(server: Server) -> None:
    with closing(wire.connect(server)) as opened:
        opened.sendall(wire.request("POST", "/admin/login/", "Content-Length: 300000000", "Expect: 100-continue"))
        answer = b""
        while data := opened.recv(65_536):
            answer += data
    assert answer.startswith(b"HTTP/1.1 413 Content Too Large\r\n")
    assert answer.endswith(b"\r\n\r\nThe body is too large.\n")


async def test_a_response_that_nobody_reads_is_cut_off(server: Server) -> None:
    async with others_are_served(server):
        with closing(wire.connect(server, buffer_bytes=4_096)) as opened:
            opened.sendall(wire.request("GET", "/endless"))
            if os.environ.get("STOCK"):
                await asyncio.sleep(ATTACK_S)
            else:
                assert await asyncio.to_thread(wire.is_cut_off, opened)


def test_a_response_that_is_read_has_no_end(server: Server) -> None:
    with closing(wire.connect(server)) as opened:
        opened.sendall(wire.request("GET", "/endless"))
        assert len(wire.read_exactly(opened, 30_000_000)) == 30_000_000


async def test_a_stop_waits_for_nobody_who_is_stuck(tmp_path: Path) -> None:
    with live.start(tmp_path / "home", PROGRAM) as server:
        server.wait_for(live.LOADED)
        half, silent, asking = wire.connect(server), *(wire.open_session(server, server.key, 4_096) for _ in range(2))
        with closing(half), closing(silent), closing(asking):
            half.sendall(wire.request("POST", "/v1/chat", "Content-Length: 1000") + b"x")
            silent.sendall(wire.frame(b"x", announced=1_000))
            asking.sendall(wire.event("conversation.load", "load", messages=LARGE))
            asking.sendall(wire.event("session.update", "ramble", settings=RAMBLING))
            asking.sendall(wire.event("message.create", "open", text=RAMBLE))
            asking.sendall(wire.event("conversation.get", "get") * 250)
            eventually(lambda: usage(server, status="cancelled"))
            server.process.send_signal(signal.SIGTERM)
            assert await asyncio.to_thread(server.process.wait, live.STOP_S) == 0


def test_a_message_of_countless_fragments_is_too_large(server: Server) -> None:
    with closing(wire.open_session(server, server.key)) as opened:
        wire.read_until(opened, "session.created")
        fragments = wire.frame(b"", wire.CONTINUATION, is_last=False) * 2_000
        opened.sendall(wire.frame(b"", is_last=False) + fragments)
        assert wire.read_to_the_close(opened) == (None, 1009)
