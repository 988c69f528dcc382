"""Tells every server process, through Redis, that a key was revoked, and lets them hear of it.

Where REDIS_URL is empty there is no channel layer, and nothing here is used. An announcement says no more than "look
now": what was revoked stands in the database, whose revision every process reads anyway (see accounts/revision.py). One
that is lost costs half a second, one that is doubled or forged a look.

Whoever revokes never waits for Redis: a thread of its own announces, and gives up after a second. Whoever listens does
so on the event loop. Redis may go away, hang, come back or never have been there: the log says so once.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from threading import Lock
from typing import Any, TypeVar

from channels import DEFAULT_CHANNEL_LAYER
from channels.layers import channel_layers, get_channel_layer

log = logging.getLogger(__name__)

T = TypeVar("T")

GROUP = "keys"
CHANGED = {"type": "keys.changed"}
ECHO = {"type": "keys.echo"}
PATIENCE_S = 1.0  # for one exchange with Redis; settings.py lets its sockets wait as long
WAIT_S = 5.0  # PATIENCE_S, and time to import what talks to Redis
ECHO_EVERY_S = 5.0
ECHO_WITHIN_S = 5.0  # longer than anything keeps the event loop busy
FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 30.0
CANCEL_EVERY_S = 0.1


def is_on() -> bool:
    """Say whether there is a Redis to announce through."""
    return DEFAULT_CHANNEL_LAYER in channel_layers


class Announcer:
    """Announces on a thread that starts at first use. Any thread."""

    def __init__(self) -> None:
        self.worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="aister-announce")
        self.lock = Lock()
        self.latest: Future[None] | None = None
        self.is_failing = False

    def announce(self) -> None:
        """Have it announced soon that keys changed. One that still waits its turn will do for this one too."""
        with self.lock:
            if self.latest is None or self.latest.running() or self.latest.done():
                self.latest = self.worker.submit(self.send)

    def send(self) -> None:
        """Announce; the first failure of several in a row is logged."""
        was_failing, self.is_failing = self.is_failing, False
        try:
            asyncio.run(publish())
        except Exception as fault:
            self.is_failing = True
            if not was_failing:
                log.warning(
                    "Redis takes no announcement (%s). Other processes see in the database, within a second, what was "
                    "revoked.",
                    reason(fault),
                )

    def wait(self, timeout_s: float = WAIT_S) -> None:
        """Wait until everything is announced or has failed: for a command, whose end would cut it short."""
        if self.latest is not None:
            with suppress(TimeoutError):
                self.latest.result(timeout_s)


announcer = Announcer()


def on_key_revoked(**_: object) -> None:
    """Announce it, where there is a Redis. The receiver of `key_revoked`."""
    if is_on():
        announcer.announce()


async def publish() -> None:
    """Announce that keys changed; raise whatever Redis raises, or TimeoutError."""
    await bounded(get_channel_layer().group_send(GROUP, CHANGED), PATIENCE_S)


async def check() -> None:
    """Subscribe, and hear one message of our own; raise whatever Redis raises, or TimeoutError."""
    layer = get_channel_layer()
    try:
        channel = await bounded(layer.new_channel(), PATIENCE_S)
        await bounded(layer.send(channel, ECHO), PATIENCE_S)
        await bounded(layer.receive(channel), PATIENCE_S)
    finally:
        await bounded(layer.flush(), PATIENCE_S)


async def bounded(awaitable: Awaitable[T], timeout_s: float) -> T:
    """Return what it returns; raise what it raises, or TimeoutError.

    Whatever asks Redis is awaited so, in a task of its own: see `end`.
    """
    task = asyncio.ensure_future(awaitable)
    try:
        await asyncio.wait([task], timeout=timeout_s)
        if not task.done():
            raise TimeoutError
    finally:
        await end(task)
    return task.result()


async def end(task: "asyncio.Future[Any]") -> None:
    """Cancel a task until it is at its end; what it raised is dropped.

    What it awaits may swallow a cancellation: channels_redis 4.3.0 while it closes connections, and redis 8.1.0 through
    `asyncio.wait_for`, which did so until Python 3.12.
    """
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=CANCEL_EVERY_S)
    if not task.cancelled():
        task.exception()  # or asyncio logs that nobody asked


def reason(fault: Exception) -> str:
    """Return the kind of a fault. Its text is left out: a reply of Redis may quote a command, password and all."""
    return type(fault).__name__


class Listener:
    """Listens for one process; `heard` is called for each announcement. Event loop."""

    def __init__(self, heard: Callable[[], None]) -> None:
        self.heard = heard
        self.is_away = False
        self.pause_s = FIRST_PAUSE_S

    async def run(self) -> None:
        """Listen until cancelled; after each failure wait longer before the next try, up to LONGEST_PAUSE_S."""
        while True:
            try:
                await self.listen()
            except Exception as fault:  # whatever it was: the next try may do better
                self.lost(fault)
            await asyncio.sleep(self.pause_s)
            self.pause_s = min(2 * self.pause_s, LONGEST_PAUSE_S)

    async def listen(self) -> None:
        """Subscribe and listen; raise what Redis raises, or TimeoutError once it no longer answers.

        The channel layer itself never says that its connection is gone or that Redis hangs: so we send ourselves a
        message now and then, through the channel on which we listen.
        """
        layer = await asyncio.to_thread(get_channel_layer)  # the first time, it imports for 0.4 s
        receiving: asyncio.Task[None] | None = None
        try:
            channel = await bounded(layer.new_channel(), PATIENCE_S)
            await bounded(layer.group_add(GROUP, channel), PATIENCE_S)
            echo = asyncio.Event()
            receiving = asyncio.create_task(self.receive(layer, channel, echo))
            while True:
                await bounded(hear_echo(layer, channel, echo), ECHO_WITHIN_S)
                self.found()
                await asyncio.sleep(ECHO_EVERY_S)
        finally:
            try:
                await bounded(layer.flush(), PATIENCE_S)  # before the receiving ends, which would ask Redis for more
            finally:
                if receiving is not None:
                    await end(receiving)

    async def receive(self, layer: Any, channel: str, echo: asyncio.Event) -> None:
        """Take what comes."""
        while True:
            if await layer.receive(channel) == ECHO:
                echo.set()
            else:
                self.heard()

    def lost(self, fault: Exception) -> None:
        """Say, once, that Redis is away."""
        if not self.is_away:
            self.is_away = True
            log.warning(
                "Redis does not answer (%s). Sessions go on; keys revoked elsewhere are seen in the database, "
                "within a second.",
                reason(fault),
            )

    def found(self) -> None:
        """Say, if it was away, that it is back."""
        self.pause_s = FIRST_PAUSE_S
        if self.is_away:
            self.is_away = False
            log.warning("Redis answers again.")


async def hear_echo(layer: Any, channel: str, echo: asyncio.Event) -> None:
    """Send ourselves a message and hear it; raise whatever Redis raises."""
    echo.clear()
    await layer.send(channel, ECHO)
    await echo.wait()
