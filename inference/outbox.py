"""What waits to be sent to one client. Event loop only.

Waiting deltas of one request (and list item) are merged, so a slow client costs few frames. When more than `MOST_BYTES`
wait already, the outbox overflows: it takes nothing more, and its owner is told once, to cancel and close. Bounded so,
an engine's thread never waits for a client; one event larger than that still goes through.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import TypeGuard

import msgspec

from inference.protocol import ResponseDelta, ServerEvent

MOST_BYTES = 256 * 1024
DELTA_BYTES = 64  # what a delta takes beside its text


class Outbox:
    """Server events in the order in which they are to be sent."""

    def __init__(self, overflow: Callable[[], None]) -> None:
        self.overflow = overflow
        self.events: deque[ServerEvent] = deque()
        self.size_bytes = 0
        self.has_overflowed = False
        self.is_closed = False
        self.ready = asyncio.Event()

    def put(self, event: ServerEvent) -> None:
        """Add an event; what comes after an overflow or after `close` is dropped."""
        if self.has_overflowed or self.is_closed:
            return
        if self.size_bytes > MOST_BYTES:
            self.has_overflowed = True
            self.overflow()
            return
        if isinstance(event, ResponseDelta) and self.events and is_same_text(last := self.events[-1], event):
            self.size_bytes -= cost(self.events.pop())
            event = msgspec.structs.replace(event, text=last.text + event.text)
        self.size_bytes += cost(event)
        self.events.append(event)
        self.ready.set()

    def close(self, *farewell: ServerEvent) -> None:
        """Take nothing more. After an overflow only the farewell is sent, for the client has lost the thread anyway."""
        if self.is_closed:
            return
        if self.has_overflowed:
            self.events.clear()
        self.events.extend(farewell)
        self.is_closed = True
        self.ready.set()

    def discard(self) -> None:
        """Drop what waits: nobody takes it."""
        self.events.clear()
        self.size_bytes = 0

    async def get(self) -> ServerEvent | None:
        """Return the next event, when there is one; None when the outbox is closed and empty."""
        while not self.events:
            if self.is_closed:
                return None
            self.ready.clear()
            await self.ready.wait()
        event = self.events.popleft()
        self.size_bytes -= cost(event)
        return event


def is_same_text(last: ServerEvent, delta: ResponseDelta) -> TypeGuard[ResponseDelta]:
    """Say whether a delta goes on with the text of the last event."""
    return isinstance(last, ResponseDelta) and (last.id, last.item) == (delta.id, delta.item)


def cost(event: ServerEvent) -> int:
    """Return about how many bytes an event takes as a frame."""
    if isinstance(event, ResponseDelta):
        return len(event.text.encode("utf-8", "replace")) + DELTA_BYTES
    return len(msgspec.json.encode(event))
