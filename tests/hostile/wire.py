"""Clients that behave as no library lets them: raw sockets, frames made by hand; and the server's memory."""

import json
import os
import select
import socket
import struct
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.live import Server

WAIT_S = 60
GIVE_UP_S = 30  # less than the 50 s after which a ping that nobody answers ends a session
TEXT, PING, CONTINUATION, CLOSE = 1, 9, 0, 8


def connect(server: Server, buffer_bytes: int | None = None) -> socket.socket:
    """Return a connection; with `buffer_bytes` the system keeps no more than that for a client that does not read."""
    address = urlsplit(server.url)
    opened = socket.socket()
    opened.settimeout(WAIT_S)
    if buffer_bytes is not None:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
    opened.connect((address.hostname, address.port))
    return opened


def request(method: str, path: str, *lines: str) -> bytes:
    """Return the head of a request."""
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: localhost", *lines, "", ""]).encode()


def handshake(key: str | None = None, *, path: str = "/v1/chat", deflates: bool = False) -> bytes:
    """Return the client's part of a handshake."""
    lines = ["Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13"]
    lines.append("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")
    if deflates:
        lines.append("Sec-WebSocket-Extensions: permessage-deflate")
    return request("GET", path, *lines, *([f"Authorization: Bearer {key}"] if key else []))


def open_session(
    server: Server, key: str | None, buffer_bytes: int | None = None, *, path: str = "/v1/chat", deflates: bool = False
) -> socket.socket:
    """Return a session of which nothing was read yet but the handshake."""
    opened = connect(server, buffer_bytes)
    try:
        opened.sendall(handshake(key, path=path, deflates=deflates))
        head = read_head(opened)
        assert head.startswith(b"HTTP/1.1 101 "), head
    except BaseException:
        opened.close()
        raise
    return opened


def read_head(opened: socket.socket) -> bytes:
    """Return the head of a response, and leave what comes after it."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += read_exactly(opened, 1)
    return head


def frame(payload: bytes, opcode: int = TEXT, *, is_last: bool = True, announced: int | None = None) -> bytes:
    """Return a frame as clients send them, masked with zeros; `announced` says another length than there is."""
    length = len(payload) if announced is None else announced
    first = opcode | (0x80 if is_last else 0)
    if length < 126:
        head = struct.pack("!BB", first, 0x80 | length)
    elif length < 65_536:
        head = struct.pack("!BBH", first, 0x80 | 126, length)
    else:
        head = struct.pack("!BBQ", first, 0x80 | 127, length)
    return head + b"\0\0\0\0" + payload


def event(kind: str, event_id: str, **fields: Any) -> bytes:
    """Return an event as a frame."""
    return frame(json.dumps({"type": kind, "id": event_id, **fields}).encode())


def read_frame(opened: socket.socket) -> tuple[int, bytes]:
    """Return the opcode and payload of the next frame of a server's, which are neither masked nor split."""
    first, length = read_exactly(opened, 2)
    if length == 126:
        (length,) = struct.unpack("!H", read_exactly(opened, 2))
    elif length == 127:
        (length,) = struct.unpack("!Q", read_exactly(opened, 8))
    return first & 0x0F, read_exactly(opened, length)


def read_exactly(opened: socket.socket, length: int) -> bytes:
    """Return that many bytes; raise EOFError where there are fewer."""
    data = bytearray()
    while len(data) < length:
        piece = opened.recv(min(length - len(data), 1 << 20))
        if not piece:
            raise EOFError
        data += piece
    return bytes(data)


def read_until(opened: socket.socket, kind: str) -> dict[str, Any]:
    """Read events up to the first of a type, and return it."""
    while True:
        opcode, payload = read_frame(opened)
        assert opcode == TEXT, (opcode, payload[:100])
        told: dict[str, Any] = json.loads(payload)
        if told["type"] == kind:
            return told


def read_to_the_close(opened: socket.socket, *, may_deflate: bool = False) -> tuple[dict[str, Any] | None, int]:
    """Read to the close frame; return the last event before it, where events are not deflated, and its code."""
    last = None
    while True:
        opcode, payload = read_frame(opened)
        if opcode == CLOSE:
            return last, struct.unpack("!H", payload[:2])[0] if payload else 1000
        if opcode == TEXT and not may_deflate:
            last = json.loads(payload)


def is_cut_off(opened: socket.socket) -> bool:
    """Wait until the server has dropped a connection of which nothing is read."""
    poll = select.poll()
    poll.register(opened, 0)  # errors and hang-ups only
    return bool(poll.poll(GIVE_UP_S * 1_000))


def is_over(opened: socket.socket) -> bool:
    """Wait for the next thing that comes, and say whether it is the end."""
    try:
        return opened.recv(1) == b""
    except ConnectionError:
        return True


def reset(opened: socket.socket) -> None:
    """Let a connection end with a reset, not with a farewell."""
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def sockets(server: Server) -> int:
    """Return how many sockets the server's process has open."""
    found = 0
    for file in Path(f"/proc/{server.process.pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            found += os.readlink(file).startswith("socket:")
    return found


class Memory:
    """The memory of a server's process."""

    def __init__(self, server: Server) -> None:
        self.process = Path(f"/proc/{server.process.pid}")
        (self.process / "clear_refs").write_text("5")  # the peak is what it is now
        self.before_mb = self.read_mb("VmRSS")

    def read_mb(self, field: str) -> float:
        """Return a line of the process's status, in megabytes."""
        lines = (self.process / "status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:")) / 1024

    @property
    def grown_mb(self) -> float:
        """How much more than at first it was at most since then."""
        grown = self.read_mb("VmHWM") - self.before_mb
        if os.environ.get("SHOW_MEMORY"):
            print(f"{self.before_mb:.0f} MB at first, {grown:+.1f} MB at most")  # noqa: T201
        return grown
