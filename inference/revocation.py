"""Ends the sessions of keys that were revoked by another process: `manage.py keys revoke`, a second server.

One task on the event loop, which lives while sessions are open. Twice a second, and at once when it is announced that
keys changed, it reads the revision of the keys; only when that has moved, or sessions have been opened since, does it
look at the keys of the open sessions. A database that does not answer is asked again: sessions go on meanwhile.

Where there is a Redis, a second task listens for announcements from the first session on, until `close`.
"""

import asyncio
import logging
from contextlib import suppress

from channels.db import database_sync_to_async

from accounts import announcements, revision
from inference.errors import trace
from inference.outages import unavailable
from inference.sessions import SessionRegistry

log = logging.getLogger(__name__)

INTERVAL_S = 0.5


class RevocationWatch:
    """Watches the keys of one registry's sessions."""

    def __init__(self, registry: SessionRegistry) -> None:
        self.registry = registry
        self.task: asyncio.Task[None] | None = None
        self.seen: int | None = None
        self.is_stale = False
        self.announced = asyncio.Event()
        self.listener = announcements.Listener(self.look_now)
        self.listening: asyncio.Task[None] | None = None

    def session_opened(self) -> None:
        """Begin to watch, if need be, and look again: a key may have been revoked since its session was let in."""
        self.is_stale = True
        if self.task is None or self.task.done():
            self.task = asyncio.create_task(self.run())
        if announcements.is_on() and (self.listening is None or self.listening.done()):
            self.listening = asyncio.create_task(self.listener.run())

    def look_now(self) -> None:
        """Look without waiting for the next time."""
        self.announced.set()

    async def close(self) -> None:
        """Listen no more."""
        if self.listening is not None:
            await announcements.end(self.listening)

    async def run(self) -> None:
        """Look twice a second and when told to, until no session is open."""
        self.announced = asyncio.Event()  # of this event loop
        while self.registry.sessions:
            with suppress(TimeoutError):
                async with asyncio.timeout(INTERVAL_S):
                    await self.announced.wait()
            self.announced.clear()  # before looking: what is announced meanwhile is another look
            try:
                await self.look()
            except Exception as fault:  # whatever it was: while sessions are open, somebody has to look
                self.is_stale = True  # whatever it would have found is still to be found
                if unavailable(fault) is None:  # the log has a line of an outage, and not two a second
                    log.warning("Could not look for revoked keys.\n%s", trace(fault))

    async def look(self) -> None:
        """End the sessions whose key is revoked, if anything has changed."""
        was_stale, self.is_stale = self.is_stale, False  # before the first await: more may be opened meanwhile
        before, self.seen = self.seen, await current()
        if was_stale or self.seen != before:
            for key_id in await revoked_among(list(self.registry.by_key)):
                self.registry.end_key(key_id)


current = database_sync_to_async(revision.current, thread_sensitive=False)
revoked_among = database_sync_to_async(revision.revoked_among, thread_sensitive=False)
