"""Announcing through a real Redis that keys changed, and listening: whatever Redis does meanwhile."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from accounts import announcements
from accounts.announcements import Announcer, Listener
from aister_site.settings import channel_layers
from tests.redis_server import Redis

AWAY = "Redis does not answer (%s). Sessions go on; keys revoked elsewhere are seen in the database, within a second."
BACK = "Redis answers again."
REFUSED = "Redis takes no announcement (%s). Other processes see in the database, within a second, what was revoked."


@pytest.fixture(autouse=True)
def layer(absent_redis: Redis, settings: Any, caplog: pytest.LogCaptureFixture) -> None:
    """A channel layer with the settings of Aister's own."""
    settings.CHANNEL_LAYERS = channel_layers(absent_redis.url())
    caplog.set_level(logging.WARNING)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Listeners that look and try again often."""
    monkeypatch.setattr(announcements, "ECHO_EVERY_S", 0.02)
    monkeypatch.setattr(announcements, "FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr(announcements, "LONGEST_PAUSE_S", 0.04)


class Listening:
    """A listener at work, and how often it heard."""

    def __init__(self) -> None:
        self.heard = asyncio.Event()
        self.listener = Listener(self.heard.set)

    async def until(self, is_so: Callable[[], bool]) -> None:
        """Wait for something that the listener will come to."""
        async with asyncio.timeout(20):
            while not is_so():  # noqa: ASYNC110  # what is watched lies in Redis, and in the log
                await asyncio.sleep(0.01)

    async def hears(self) -> None:
        """Announce until it hears."""
        announcer = Announcer()
        async with asyncio.timeout(20):
            while not self.heard.is_set():
                announcer.announce()
                await asyncio.to_thread(announcer.wait, 10)
                await asyncio.sleep(0.01)


@asynccontextmanager
async def listening() -> AsyncIterator[Listening]:
    """Listen until the block ends."""
    listening = Listening()
    task = asyncio.create_task(listening.listener.run())
    try:
        yield listening
    finally:
        async with asyncio.timeout(20):
            await announcements.end(task)
        assert task.cancelled()


async def subscribed(redis: Redis, count: int) -> None:
    """Wait until so many listen."""
    async with asyncio.timeout(20):
        while await asyncio.to_thread(lambda: redis.listeners) != count:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_a_listener_hears_an_announcement(redis: Redis, caplog: pytest.LogCaptureFixture) -> None:
    async with listening() as ours:
        await subscribed(redis, 1)
        announcements.on_key_revoked(key_id=1)
        await asyncio.wait_for(ours.heard.wait(), 10)
    await subscribed(redis, 0)
    assert caplog.messages == []


async def test_a_redis_that_was_never_there_is_a_line_once_and_is_listened_to_when_it_comes(
    absent_redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    async with listening() as ours:
        await ours.until(lambda: ours.listener.pause_s == announcements.LONGEST_PAUSE_S)
        await asyncio.to_thread(absent_redis.start)
        await ours.until(lambda: not ours.listener.is_away)
        await ours.hears()
        assert ours.listener.pause_s == announcements.FIRST_PAUSE_S
    assert caplog.messages == [AWAY % "ConnectionError", BACK]


async def test_a_redis_that_stops_is_a_line_once_and_is_listened_to_when_it_is_back(
    redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    async with listening() as ours:
        await subscribed(redis, 1)
        await asyncio.to_thread(redis.stop)
        await ours.until(lambda: ours.listener.pause_s == announcements.LONGEST_PAUSE_S)
        await asyncio.to_thread(redis.start)
        await ours.until(lambda: not ours.listener.is_away)
        await ours.hears()
    assert caplog.messages == [AWAY % "ConnectionError", BACK]


async def test_a_redis_that_hangs_is_a_line_once_and_is_listened_to_when_it_goes_on(
    redis: Redis, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with listening() as ours:
        await subscribed(redis, 1)
        redis.freeze()
        with monkeypatch.context() as hurried:
            hurried.setattr(announcements, "ECHO_WITHIN_S", 0.2)
            await ours.until(lambda: ours.listener.is_away)
        redis.thaw()
        await ours.until(lambda: not ours.listener.is_away)
        await ours.hears()
    assert caplog.messages == [AWAY % "TimeoutError", BACK]


@pytest.mark.parametrize("is_there", [True, False])
async def test_a_listener_can_be_ended_whatever_it_is_at(is_there: bool, absent_redis: Redis) -> None:
    if is_there:
        await asyncio.to_thread(absent_redis.start)
    for moment_ms in range(0, 60, 2):
        async with listening():
            await asyncio.sleep(moment_ms / 1000)


async def test_a_wrong_password_is_a_line_that_does_not_repeat_it(
    redis: Redis, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    settings.CHANNEL_LAYERS = channel_layers(redis.url("swordfish"))
    async with listening() as ours:
        await ours.until(lambda: ours.listener.pause_s == announcements.LONGEST_PAUSE_S)
    assert caplog.messages == [AWAY % "AuthenticationError"]


async def test_rubbish_from_others_is_got_over(
    redis: Redis, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(announcements, "ECHO_WITHIN_S", 0.5)
    async with listening() as ours:
        await subscribed(redis, 1)
        await asyncio.to_thread(redis.ask, "PUBLISH", "aister__group__keys", "rubbish")
        await ours.hears()
    assert set(caplog.messages) <= {AWAY % "TimeoutError", BACK}


@pytest.mark.parametrize(("is_frozen", "fault"), [(True, "TimeoutError"), (False, "ConnectionError")])
def test_many_revocations_wait_for_no_redis_and_are_announced_together(
    is_frozen: bool, fault: str, absent_redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    if is_frozen:
        absent_redis.start()
        absent_redis.freeze()
    announcer = Announcer()
    for _ in range(50):
        announcer.announce()
    announcer.wait(20)
    assert announcer.latest is not None
    assert announcer.latest.done()
    assert caplog.messages == [REFUSED % fault]


def test_without_a_redis_nothing_is_announced(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.CHANNEL_LAYERS = {}
    monkeypatch.setattr(announcements, "announcer", None)
    announcements.on_key_revoked(key_id=1)
