"""What waits for the application: when reading from the socket stops, and when it goes on."""

from typing import Any

import pytest

from aister_site.socket_protocol import FEW_BYTES, FEW_FRAMES, MOST_BYTES, MOST_FRAMES, Inbox


def filled(*sizes: int) -> tuple[Inbox, list[bool]]:
    """Return an inbox with messages of these sizes, and a list of what became of `has_room` each time it changed."""
    changes: list[bool] = []
    inbox = Inbox(lambda: changes.append(inbox.has_room))
    for size in sizes:
        inbox.put_nowait(received(size))
    return inbox, changes


def received(size: int) -> dict[str, Any]:
    """Return a message with a frame of that many bytes."""
    return {"type": "websocket.receive", "bytes": b"x" * size}


async def test_reading_stops_at_many_frames_and_goes_on_at_few() -> None:
    inbox, changes = filled(*[1] * (MOST_FRAMES - 1))
    assert changes == []
    inbox.put_nowait(received(1))
    inbox.put_nowait(received(1))
    assert changes == [False]
    while inbox.qsize() > FEW_FRAMES + 1:
        await inbox.get()
    assert changes == [False]
    await inbox.get()
    assert changes == [False, True]


async def test_reading_stops_at_many_bytes_and_goes_on_at_few() -> None:
    inbox, changes = filled(MOST_BYTES - FEW_BYTES, FEW_BYTES - 1)
    assert changes == []
    inbox.put_nowait(received(1))
    assert changes == [False]
    await inbox.get()
    assert changes == [False, True]
    await inbox.get()
    await inbox.get()
    assert (inbox.waiting_bytes, changes) == (0, [False, True])


@pytest.mark.parametrize(
    "message", [{"type": "websocket.connect"}, {"type": "websocket.disconnect", "code": 1006}, received(0)]
)
async def test_messages_come_out_as_they_went_in(message: dict[str, Any]) -> None:
    inbox, _ = filled()
    inbox.put_nowait(message)
    assert await inbox.get() is message
