"""Handshakes that no library makes: each gets a status, or a session or the reason why not, and nothing is left of it.

What the head of a request says is sent as it stands, byte for byte. The server is impatient, see impatient.py, and
prints what Twisted would swallow.
"""

import base64
import re
from contextlib import closing

import pytest

from tests.hostile import wire
from tests.hostile.bystander import MOST_MB
from tests.hostile.wire import Memory
from tests.live import Server
from tests.server.admin import eventually

HOST, UPGRADE, CONNECTION = "Host: localhost", "Upgrade: websocket", "Connection: Upgrade"
VERSION, NONCE = "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {base64.b64encode(b'the sample nonce').decode()}"
LINE = "GET /v1/chat HTTP/1.1"
SESSION = "session.created"


def usual(without: str = "\n", key: str = "KEY") -> list[str]:
    """Return the lines of a handshake that is in order, but for one; KEY stands for the server's first key."""
    lines = [HOST, UPGRADE, CONNECTION, VERSION, NONCE, f"Authorization: Bearer {key}"]
    return [line for line in lines if not line.startswith(without)]


def instead(line: str) -> list[str]:
    """Return a handshake in order, with one line in the place of that of the same name."""
    return [*usual(without=line.partition(":")[0] + ":"), line]


def shake(server: Server, *lines: str, after: bytes = b"") -> tuple[str, str]:
    """Send the head of a request; return the status, and the type of the first event or the code of its error."""
    head = "\r\n".join([*lines, "", ""]).replace("KEY", server.key).encode("latin-1")
    with closing(wire.connect(server)) as opened:
        opened.sendall(head + after)
        answer = b""
        while b'","' not in answer and (data := opened.recv(65_536)):
            answer += data
            if answer.startswith(b"HTTP/1.1 ") and not answer.startswith(b"HTTP/1.1 10") and b"\r\n\r\n" in answer:
                break
    status = re.match(rb"HTTP/1.1 (\d+) ", answer)
    told = re.search(rb'"code":"(\w+)"|"type":"(session.created)"', answer)
    return status[1].decode() if status else "", (told[1] or told[2]).decode() if told else ""


ODD = [
    # -- what must be there, and once
    ("missing_host", [LINE, *usual(without="Host")], ("400", "")),
    ("two_hosts", [LINE, *usual(), HOST], ("101", SESSION)),
    ("a_host_with_no_port", [LINE, *instead("Host: localhost:x")], ("400", "")),
    ("a_host_of_strange_letters", [LINE, *instead("Host: \xe9[]]:@")], ("400", "")),
    ("another_host", [LINE, *instead("Host: evil.example")], ("101", SESSION)),
    ("no_upgrade", [LINE, *usual(without="Upgrade")], ("426", "upgrade_required")),
    ("upgrade_to_something_else", [LINE, *instead("Upgrade: h2c")], ("426", "upgrade_required")),
    ("upgrade_in_capitals", [LINE, *instead("UPGRADE: WEBSOCKET")], ("101", SESSION)),
    ("names_in_small_letters", [LINE, *[line.lower() for line in usual()[:3]], *usual()[3:]], ("101", SESSION)),
    ("no_connection", [LINE, *usual(without="Connection")], ("400", "")),
    ("connection_close", [LINE, *instead("Connection: close")], ("400", "")),
    ("no_version", [LINE, *usual(without="Sec-WebSocket-Version")], ("400", "")),
    ("two_versions", [LINE, *usual(), VERSION], ("400", "")),
    ("no_nonce", [LINE, *usual(without="Sec-WebSocket-Key")], ("400", "")),
    ("two_nonces", [LINE, *usual(), NONCE], ("400", "")),
    *[(f"version_{v[:9]}", [LINE, *instead(f"Sec-WebSocket-Version: {v}")], ("400", "")) for v in ("0", "12", "-1", "x", "13.0", "\xb2", "1" * 5_000)],
    *[(f"nonce_{n[:9]}", [LINE, *instead(f"Sec-WebSocket-Key: {n}")], ("400", "")) for n in ("", "x", "!" * 22 + "==", "\xe9" * 22 + "==", "x" * 9_000)],
    # -- origins
    *[(f"origin_{o[:30]}", [LINE, *usual(), f"Origin: {o}"], ("101", SESSION)) for o in ("null", "file://", "http://xn--bcher-kva.example", "http://b\xfccher.example", "http://a, http://b", "http://user:pw@host/", "http://\x80\xff")],
    *[(f"no_origin_{o[:30]}", [LINE, *usual(), f"Origin: {o}"], ("400", "")) for o in ("", "http://", "http://[::1", "http://a:b", "http://a:999999", "javascript:alert(1)", "x" * 9_000)],
    ("two_origins", [LINE, *usual(), "Origin: http://a", "Origin: http://b"], ("101", SESSION)),
    # -- subprotocols
    ("protocols_in_two_lines", [LINE, *usual(), "Sec-WebSocket-Protocol: aister.v1", "Sec-WebSocket-Protocol: x"], ("101", SESSION)),
    ("one_protocol_twice", [LINE, *usual(), "Sec-WebSocket-Protocol: aister.v1, aister.v1"], ("400", "")),
    ("a_token_that_is_none", [LINE, *usual(without="Auth"), "Sec-WebSocket-Protocol: aister.v1, aister.token.x"], ("101", "malformed_key")),
    ("two_tokens", [LINE, *usual(without="Auth"), "Sec-WebSocket-Protocol: aister.token.a,aister.token.b"], ("101", "malformed_key")),
    ("an_empty_token", [LINE, *usual(without="Auth"), "Sec-WebSocket-Protocol: aister.token.,aister.v1"], ("101", "malformed_key")),
    ("a_long_token", [LINE, *usual(without="Auth"), f"Sec-WebSocket-Protocol: aister.token.{'x' * 9_000}"], ("101", "malformed_key")),
    ("a_strange_token", [LINE, *usual(without="Auth"), "Sec-WebSocket-Protocol: aister.token.\xff, \xfe"], ("101", "malformed_key")),
    ("a_thousand_protocols", [LINE, *usual(), f"Sec-WebSocket-Protocol: {', '.join(map(str, range(1_000)))}"], ("101", SESSION)),
    # -- extensions
    ("no_extension_that_we_know", [LINE, *usual(), 'Sec-WebSocket-Extensions: ;;;,=,"x'], ("101", SESSION)),
    ("a_window_of_99_bits", [LINE, *usual(), "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits=99"], ("400", "")),
    ("an_unknown_parameter", [LINE, *usual(), "Sec-WebSocket-Extensions: permessage-deflate; x=y"], ("400", "")),
    # -- where keys are not looked for, and what is none
    ("a_key_in_the_address", ["GET /v1/chat?key=KEY HTTP/1.1", *usual(without="Auth")], ("101", "missing_key")),
    ("a_key_as_a_cookie", [LINE, *usual(without="Auth"), "Cookie: sessionid=KEY"], ("101", "missing_key")),
    ("a_key_as_a_token", [LINE, *usual(without="Auth"), "Sec-WebSocket-Protocol: aister.token.KEY"], ("101", "malformed_key")),
    ("a_key_as_a_password", [LINE, *instead("Authorization: Basic KEY")], ("101", "malformed_key")),
    ("two_keys", [LINE, *usual(), "Authorization: Bearer KEY"], ("101", "malformed_key")),
    ("no_key_but_its_word", [LINE, *instead("Authorization: Bearer")], ("101", "malformed_key")),
    ("a_key_in_a_folded_line", [LINE, *instead("Authorization: Bearer\r\n KEY")], ("101", SESSION)),
    *[(f"a_header_hidden_behind_{ord(c):02x}", [LINE, *usual(without="Auth"), f"X: a{c}Authorization: Bearer KEY"], ("400", "")) for c in "\x00\n\r\x0b\x0c\x1c\x1d\x1e\x85"],
    *[(f"a_header_not_hidden_behind_{ord(c):02x}", [LINE, *usual(without="Auth"), f"X: a{c}Authorization: Bearer KEY"], ("101", "missing_key")) for c in "\x01\x7f\xa0"],
    # -- request lines
    *[(f"line_{line[:30]}", [line, *usual()], ("400", "")) for line in ("GET /v1/chat HTTP/0.9", "GET /v1/chat HTTP/2.0", "GET /v1/chat http/1.1", "GET /v1/chat", "GET  /v1/chat HTTP/1.1", "PRI * HTTP/2.0", "GET /v1/\xff HTTP/1.1", "GET /v1/chat?\xff HTTP/1.1", "GET /v1/ch\x00t HTTP/1.1", "GET //[/v1/chat HTTP/1.1", "GET /v1/chat#x HTTP/1.1", "\x00", "\x16\x03\x01")],
    *[(f"line_{line[:30]}", [line, *usual()], ("405", "")) for line in ("get /v1/chat HTTP/1.1", "POST /v1/chat HTTP/1.1", "CONNECT localhost:1 HTTP/1.1")],
    *[(f"path_{path[:30]}", [f"GET {path} HTTP/1.1", *usual()], ("101", "unknown_endpoint")) for path in ("/", "*", "/admin/", "//v1/chat", "/v1/chat/", "/v1/chat%00", "/v1/chat%2f", "/v1/chat%0d%0aX:y", "/v1/%ff%fe", "/../v1/chat", "/" + "x" * 15_000, "/" + "%2e" * 5_000)],
    *[(f"path_{path[:30]}", [f"GET {path} HTTP/1.1", *usual()], ("101", SESSION)) for path in ("/v1/%63hat", "http://evil.example/v1/chat", "/v1/chat?" + "a=b&" * 3_000)],
    *[(f"model_{name[:30]}", [f"GET /v1/chat?model={name} HTTP/1.1", *usual()], ("101", "unknown_model")) for name in ("%00", "%ff", "x" * 10_000, "a&model=b")],
    ("old_http", ["GET /v1/chat HTTP/1.0", *usual()], ("101", SESSION)),
    # -- too much of it, and what is no header
    ("a_hundred_headers", [LINE, *usual(), *[f"X-{number}: x" for number in range(100)]], ("101", SESSION)),
    ("a_thousand_headers", [LINE, *usual(), *[f"X-{number}: x" for number in range(1_000)]], ("400", "")),
    ("a_line_of_15_kb", [LINE, *usual(), f"X: {'x' * 15_000}"], ("101", SESSION)),
    ("a_line_of_64_kb", [LINE, *usual(), f"X: {'x' * 65_536}"], ("431", "")),
    ("a_line_of_64_kb_in_pieces", [LINE, *usual(), *[f"X: {'x' * 8_000}"] * 8], ("431", "")),
    ("a_request_line_of_64_kb", [f"GET /{'x' * 65_536} HTTP/1.1", *usual()], ("431", "")),
    ("no_colon", [LINE, *usual(), "nothing"], ("400", "")),
    ("no_name", [LINE, *usual(), ": x"], ("400", "")),
    ("a_space_in_a_name", [LINE, *usual(), "a b: x"], ("400", "")),
    # -- what Daphne and its libraries believe, or stumble over
    ("a_mount_point", [LINE, *usual(), "Daphne-Root-Path: /elsewhere"], ("101", SESSION)),
    ("a_strange_mount_point", [LINE, *usual(), "daphne-root-path: \xff"], ("101", SESSION)),
    ("a_mount_point_over_http", ["GET /v1/chat HTTP/1.1", HOST, "Daphne-Root-Path: /v1"], ("426", "upgrade_required")),
    ("a_length_of_6000_digits", [LINE, *usual(), f"Content-Length: {'9' * 6_000}"], ("400", "")),
    ("two_lengths", [LINE, *usual(), "Content-Length: 0", "Content-Length: 0"], ("400", "")),
    ("a_negative_length", [LINE, *usual(), "Content-Length: -1"], ("400", "")),
    ("a_length_that_is_no_digit", [LINE, *usual(), "Content-Length: \xb2"], ("400", "")),
    ("an_unknown_encoding", [LINE, *usual(), "Transfer-Encoding: gzip"], ("400", "")),
    ("forwarded_by_nobody", [LINE, *usual(), "X-Forwarded-For: \xff, , ::1%x"], ("101", SESSION)),
]  # fmt: skip


@pytest.mark.parametrize(("lines", "expected"), [row[1:] for row in ODD], ids=[row[0] for row in ODD])
def test_an_odd_handshake_gets_a_clear_answer(server: Server, lines: list[str], expected: tuple[str, str]) -> None:
    assert shake(server, *lines) == expected


def test_frames_sent_with_the_handshake_are_heard(server: Server) -> None:
    with closing(wire.connect(server)) as opened:
        head = "\r\n".join([LINE, *usual(), "", ""]).replace("KEY", server.key).encode()
        opened.sendall(head + wire.event("conversation.get", "early"))
        assert wire.read_head(opened).startswith(b"HTTP/1.1 101 ")
        assert wire.read_until(opened, "conversation")["id"] == "early"


def test_nothing_of_odd_handshakes_is_left(server: Server) -> None:
    with closing(wire.connect(server)):
        few = wire.sockets(server)
    memory, log_bytes = Memory(server), server.log.stat().st_size
    for _, lines, _ in ODD * 3:
        shake(server, *lines)
    eventually(lambda: wire.sockets(server) <= few)
    assert memory.grown_mb < MOST_MB
    assert server.log.stat().st_size == log_bytes
