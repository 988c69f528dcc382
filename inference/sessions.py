"""The open sessions of this process, and closing many of them at once. Event loop only, but for `close_key`."""

import asyncio
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from inference.errors import AisterError

POLL_S = 0.05


class Session(Protocol):
    """What the registry needs to know of a session."""

    key_id: int

    def end(self, error: AisterError) -> None:
        """Cancel what is open, tell the client why, and close with the error's close code."""

    def announce_closing(self, grace_s: float) -> None:
        """Tell the client that the server is stopping."""

    @property
    def open_responses(self) -> int:
        """How many requests are being answered."""


class SessionRegistry:
    """Which sessions are open. `on_open` is called for each new one."""

    def __init__(self, capacity: int, on_open: Callable[[], None] = lambda: None) -> None:
        self.capacity = capacity
        self.on_open = on_open
        self.sessions: set[Session] = set()
        self.by_key: Counter[int] = Counter()
        self.loop: asyncio.AbstractEventLoop | None = None
        self.is_closing = False

    def add(self, session: Session, max_sessions: int | None) -> None:
        """Take a session in; raise AisterError (restarting, server_full, too_many_sessions)."""
        if self.is_closing:
            raise AisterError("restarting")
        if len(self.sessions) >= self.capacity:
            raise AisterError("server_full", retry_after_s=5.0)
        if max_sessions is not None and self.by_key[session.key_id] >= max_sessions:
            raise AisterError("too_many_sessions", f"This key may have {max_sessions} open sessions. Close one.")
        self.loop = asyncio.get_running_loop()
        self.sessions.add(session)
        self.by_key[session.key_id] += 1
        self.on_open()

    def remove(self, session: Session) -> None:
        """Let a session go; nothing happens when it is not here."""
        if session in self.sessions:
            self.sessions.remove(session)
            self.by_key[session.key_id] -= 1
            if not self.by_key[session.key_id]:
                del self.by_key[session.key_id]

    def close_key(self, key_id: int) -> None:
        """End the sessions of a key that was revoked. Any thread."""
        if self.loop is not None and not self.loop.is_closed():
            self.loop.call_soon_threadsafe(self.end_key, key_id)

    def end_key(self, key_id: int) -> None:
        """End the sessions of a key."""
        for session in [session for session in self.sessions if session.key_id == key_id]:
            session.end(AisterError("revoked_key"))

    async def close(self, grace_s: float) -> None:
        """Take no more sessions, let open requests end for up to `grace_s` seconds, then end all sessions."""
        self.is_closing = True
        for session in list(self.sessions):
            session.announce_closing(grace_s)
        with suppress(TimeoutError):
            async with asyncio.timeout(grace_s):
                await self.no_open_responses()
        for session in list(self.sessions):
            session.end(AisterError("restarting"))

    async def no_open_responses(self) -> None:
        """Wait until no request is being answered."""
        while self.open_responses:  # noqa: ASYNC110  # once in the life of a process: not worth an event for each end
            await asyncio.sleep(POLL_S)

    @property
    def open_responses(self) -> int:
        """How many requests of all sessions are being answered."""
        return sum(session.open_responses for session in self.sessions)
