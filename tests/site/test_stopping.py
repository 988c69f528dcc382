"""SIGTERM, with sessions open and a request being answered."""

import json
import signal
import sqlite3
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from tests import live

WAIT_S = 60


def receive(session: ClientConnection) -> dict[str, Any]:
    """Return the next event."""
    event: dict[str, Any] = json.loads(session.recv(timeout=WAIT_S))
    return event


def receive_until(session: ClientConnection, kind: str) -> list[dict[str, Any]]:
    """Return the events up to the first of a type."""
    events = [receive(session)]
    while events[-1]["type"] != kind:
        events.append(receive(session))
    return events


def begin(session: ClientConnection) -> dict[str, Any]:
    """Ask for a long answer and return its `response.created` once its text has begun."""
    settings = {"temperature": 2, "top_k": 256, "top_p": 1, "seed": 1, "max_tokens": 300}
    session.send(json.dumps({"type": "session.update", "id": "s", "settings": settings}))
    session.send(json.dumps({"type": "message.create", "id": "1", "text": "a"}))
    created = receive_until(session, "response.created")[-1]
    receive_until(session, "response.delta")
    return created


def read_to_the_end(session: ClientConnection) -> tuple[str, int]:
    """Return the code of the error that ends a session, and its close code."""
    code = receive_until(session, "error")[-1]["error"]["code"]
    with pytest.raises(ConnectionClosed) as closed:
        session.recv(timeout=WAIT_S)
    assert closed.value.rcvd is not None
    return code, closed.value.rcvd.code


def test_what_is_open_may_end_and_everyone_is_told(tmp_path: Path) -> None:
    with live.start(tmp_path / "home") as server:
        open_session = partial(connect, f"{server.ws_url}/v1/chat", additional_headers=server.headers)
        with open_session() as busy, open_session() as idle:
            request_id = begin(busy)["request_id"]
            assert receive(idle)["type"] == "session.created"
            server.process.send_signal(signal.SIGTERM)
            assert receive(idle) == {"type": "session.closing", "grace_s": 20.0}
            assert receive_until(busy, "response.done")[-1]["status"] == "completed"
            assert [read_to_the_end(session) for session in (busy, idle)] == [("restarting", 1012)] * 2
        assert server.process.wait(live.STOP_S) == 0
    with closing(sqlite3.connect(server.home / "aister.sqlite3")) as database:
        rows = database.execute("SELECT status FROM inference_usagerecord WHERE request_id = ?", [request_id])
        assert rows.fetchall() == [("completed",)]
