"""Watching for keys that other processes revoke."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from channels.db import database_sync_to_async
from django.db import OperationalError

from accounts import announcements
from accounts.models import ApiKey
from aister_site.settings import channel_layers
from inference import revocation
from inference.errors import AisterError
from inference.revocation import RevocationWatch
from inference.sessions import SessionRegistry
from tests.redis_server import Redis
from tests.server.admin import eventually

pytestmark = pytest.mark.django_db(transaction=True)


class OpenSession:
    """A session that notes why it was ended, and leaves the registry."""

    def __init__(self, registry: SessionRegistry, key_id: int) -> None:
        self.registry, self.key_id = registry, key_id
        self.open_responses = 0
        self.error: AisterError | None = None
        registry.add(self, None)

    def end(self, error: AisterError) -> None:
        self.error = error
        self.registry.remove(self)

    def announce_closing(self, grace_s: float) -> None: ...


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> SessionRegistry:
    monkeypatch.setattr(revocation, "INTERVAL_S", 0.001)
    registry = SessionRegistry(10)
    registry.on_open = RevocationWatch(registry).session_opened
    return registry


def make_key(name: str) -> ApiKey:
    key = ApiKey(name=name)
    key.make_secret()
    key.save()
    return key


async def ended(session: OpenSession) -> str:
    async with asyncio.timeout(10):
        while session.error is None:  # noqa: ASYNC110  # what is watched lies in the database
            await asyncio.sleep(0.001)
    return session.error.code


async def test_sessions_of_a_revoked_key_end_and_others_go_on(registry: SessionRegistry) -> None:
    key, other = [await database_sync_to_async(make_key)(name) for name in ("one", "other")]
    first, second, bystander = (
        OpenSession(registry, key.pk),
        OpenSession(registry, key.pk),
        OpenSession(registry, other.pk),
    )
    await database_sync_to_async(key.revoke)()
    assert [await ended(first), await ended(second)] == ["revoked_key", "revoked_key"]
    assert bystander.error is None
    registry.remove(bystander)


async def test_a_key_revoked_while_its_session_was_being_opened_ends_it_too(registry: SessionRegistry) -> None:
    watch = RevocationWatch(registry)
    registry.on_open = watch.session_opened
    key, other = [await database_sync_to_async(make_key)(name) for name in ("one", "other")]
    keeper = OpenSession(registry, other.pk)
    await database_sync_to_async(key.revoke)()
    while watch.seen != await revocation.current() or watch.is_stale:  # noqa: ASYNC110  # until it has seen that
        await asyncio.sleep(0.001)
    assert await ended(OpenSession(registry, key.pk)) == "revoked_key"
    registry.remove(keeper)


async def test_what_a_database_that_did_not_answer_hid_is_looked_for_again(
    registry: SessionRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    faults = [OperationalError("away"), RuntimeError("no thread left")]
    look = revocation.revoked_among

    async def revoked_among(key_ids: list[int]) -> list[int]:
        if faults:
            raise faults.pop()
        found: list[int] = await look(key_ids)
        return found

    monkeypatch.setattr(revocation, "revoked_among", revoked_among)
    key = await database_sync_to_async(make_key)("one")
    session = OpenSession(registry, key.pk)
    await database_sync_to_async(key.revoke)()
    assert await ended(session) == "revoked_key"


async def test_the_watch_ends_with_the_last_session_and_begins_again(registry: SessionRegistry) -> None:
    watch = RevocationWatch(registry)
    registry.on_open = watch.session_opened
    key = await database_sync_to_async(make_key)("one")
    registry.remove(OpenSession(registry, key.pk))
    assert watch.task is not None
    await asyncio.wait_for(watch.task, 10)
    again = OpenSession(registry, key.pk)
    await database_sync_to_async(key.revoke)()
    assert await ended(again) == "revoked_key"


# -- with Redis -------------------------------------------------------------------------------------------------------


@pytest.fixture
async def watch(registry: SessionRegistry) -> AsyncIterator[RevocationWatch]:
    """A watch that listens for as long as the test runs."""
    watch = RevocationWatch(registry)
    registry.on_open = watch.session_opened
    yield watch
    await watch.close()


async def test_what_is_announced_is_looked_for_at_once(
    registry: SessionRegistry, watch: RevocationWatch, redis: Redis, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    monkeypatch.setattr(revocation, "INTERVAL_S", 3600)
    settings.CHANNEL_LAYERS = channel_layers(redis.url())
    key = await database_sync_to_async(make_key)("one")
    session = OpenSession(registry, key.pk)
    await asyncio.to_thread(eventually, lambda: redis.listeners == 1)
    await database_sync_to_async(key.revoke)()
    assert await ended(session) == "revoked_key"


@pytest.mark.parametrize("trouble", ["never there", "stopped", "frozen", "started late"])
async def test_without_a_redis_that_answers_the_database_still_tells(
    trouble: str, registry: SessionRegistry, watch: RevocationWatch, absent_redis: Redis, settings: Any
) -> None:
    settings.CHANNEL_LAYERS = channel_layers(absent_redis.url())
    key = await database_sync_to_async(make_key)("one")
    if trouble in ("stopped", "frozen"):
        await asyncio.to_thread(absent_redis.start)
    session = OpenSession(registry, key.pk)
    if trouble in ("stopped", "frozen"):
        await asyncio.to_thread(eventually, lambda: absent_redis.listeners == 1)
        {"stopped": absent_redis.stop, "frozen": absent_redis.freeze}[trouble]()
    elif trouble == "started late":
        await asyncio.to_thread(absent_redis.start)
    await database_sync_to_async(key.revoke)()
    assert await ended(session) == "revoked_key"
    await asyncio.to_thread(announcements.announcer.wait)


async def test_without_a_redis_nothing_listens(registry: SessionRegistry, watch: RevocationWatch) -> None:
    session = OpenSession(registry, 1)
    assert watch.listening is None
    registry.remove(session)
