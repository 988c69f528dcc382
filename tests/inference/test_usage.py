"""The usage ledger: what was promised is there, once, and nothing waits for ever."""

import asyncio
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import IntegrityError, InterfaceError, OperationalError, ProgrammingError
from django.db import connection as django_connection

from accounts.models import ApiKey
from inference import usage
from inference.errors import AisterError
from inference.models import UsageRecord
from inference.usage import Ledger, insert, try_out

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def key() -> ApiKey:
    key = ApiKey(name="ledger")
    key.make_secret()
    key.save()
    return key


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    ledger = Ledger(insert, patience_s=0.3)
    yield ledger
    ledger.close()


def record(key: ApiKey, request_id: str, **fields: Any) -> UsageRecord:
    return UsageRecord(
        **{
            "request_id": request_id,
            "key_id": key.pk,
            "task": "chat",
            "model": "m",
            "transport": "http",
            "status": "completed",
            "started_at": datetime.now(UTC),
            **fields,
        }
    )


async def post(ledger: Ledger, row: UsageRecord) -> None:
    ledger.reserve()
    async with asyncio.timeout(20):
        await ledger.post(row)


async def rows() -> list[str]:
    return sorted([row.request_id async for row in UsageRecord.objects.all()])


async def test_a_row_is_committed_when_its_future_ends(ledger: Ledger, key: ApiKey) -> None:
    await post(ledger, record(key, "req_1", input_tokens=12, first_token_ms=1.5))
    row = await UsageRecord.objects.aget()
    assert (row.request_id, row.input_tokens, row.first_token_ms) == ("req_1", 12, 1.5)
    assert ledger.reserved == 0


async def test_rows_that_come_together_are_written_together(key: ApiKey) -> None:
    batches: list[int] = []

    def write(records: list[UsageRecord]) -> None:
        batches.append(len(records))
        insert(records)

    ledger = Ledger(write)
    await asyncio.gather(*(post(ledger, record(key, f"req_{n}")) for n in range(50)))
    await asyncio.to_thread(ledger.close)
    assert len(await rows()) == 50
    assert len(batches) < 10


async def test_the_same_request_is_written_once(ledger: Ledger, key: ApiKey) -> None:
    await post(ledger, record(key, "req_1"))
    await post(ledger, record(key, "req_1"))
    assert await rows() == ["req_1"]


@pytest.fixture
def refusing(transactional_db: None) -> Iterator[None]:
    """A database that refuses the rows of one model, and not by its key."""
    with django_connection.cursor() as cursor:
        cursor.execute(
            "CREATE TRIGGER refuse BEFORE INSERT ON inference_usagerecord WHEN NEW.model = 'refused'"
            " BEGIN SELECT RAISE(ABORT, 'not this one'); END"
        )
        yield
        cursor.execute("DROP TRIGGER refuse")


@pytest.mark.parametrize("fields", [{"key_id": 1_000_000}, {"model": "refused"}, {"input_tokens": -1}, {"task": None}])
async def test_a_row_that_the_database_refuses_fails_alone(
    ledger: Ledger, key: ApiKey, refusing: None, fields: dict[str, Any]
) -> None:
    nobody = record(key, "req_bad", **fields)
    outcomes = await asyncio.gather(
        post(ledger, record(key, "req_1")),
        post(ledger, nobody),
        post(ledger, record(key, "req_2")),
        return_exceptions=True,
    )
    assert [getattr(outcome, "code", None) for outcome in outcomes] == [None, "usage_unavailable", None]
    assert await rows() == ["req_1", "req_2"]
    assert ledger.reserved == 0


async def test_a_database_that_comes_back_in_time_loses_nothing(key: ApiKey) -> None:
    faults = [OperationalError("gone"), OperationalError("still gone")]

    def write(records: list[UsageRecord]) -> None:
        if faults:
            raise faults.pop()
        insert(records)

    ledger = Ledger(write)
    await post(ledger, record(key, "req_1"))
    await asyncio.to_thread(ledger.close)
    assert await rows() == ["req_1"]


async def test_a_database_that_stays_away_is_told_and_the_ledger_goes_on(key: ApiKey) -> None:
    is_away = True

    def write(records: list[UsageRecord]) -> None:
        if is_away:
            raise OperationalError("gone")
        insert(records)

    ledger = Ledger(write, patience_s=0.1)
    with pytest.raises(AisterError, match="usage_unavailable"):
        await post(ledger, record(key, "req_1"))
    is_away = False
    await post(ledger, record(key, "req_2"))
    await asyncio.to_thread(ledger.close)
    assert await rows() == ["req_2"]


async def test_what_a_row_waits_behind_another_counts_as_its_patience(key: ApiKey) -> None:
    tries: list[list[str]] = []
    writing, gate = threading.Event(), threading.Event()

    def write(records: list[UsageRecord]) -> None:
        tries.append([record.request_id for record in records])
        writing.set()
        assert gate.wait(10)
        raise OperationalError("gone")

    ledger = Ledger(write, patience_s=0.05)
    first = asyncio.create_task(post(ledger, record(key, "req_1")))
    assert await asyncio.to_thread(writing.wait, 10)
    second = asyncio.create_task(post(ledger, record(key, "req_2")))
    await asyncio.sleep(0.1)  # longer than its patience
    gate.set()
    outcomes = await asyncio.gather(first, second, return_exceptions=True)
    await asyncio.to_thread(ledger.close)
    assert [getattr(outcome, "code", None) for outcome in outcomes] == ["usage_unavailable"] * 2
    assert tries == [["req_1"], ["req_2"]]


async def test_a_connection_too_broken_to_be_closed_stops_nothing(key: ApiKey, monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        def close(self) -> None:
            raise InterfaceError("broken")

    faults = [OperationalError("gone")]

    def write(records: list[UsageRecord]) -> None:
        if faults:
            raise faults.pop()
        insert(records)
        django_connection.close()

    monkeypatch.setattr(usage, "connection", Broken())
    ledger = Ledger(write)
    await post(ledger, record(key, "req_1"))
    await asyncio.to_thread(ledger.close)
    assert await rows() == ["req_1"]


async def test_a_fault_that_is_no_outage_is_not_tried_again(key: ApiKey) -> None:
    tries: list[int] = []

    def write(records: list[UsageRecord]) -> None:
        tries.append(len(records))
        raise IntegrityError("refused")

    ledger = Ledger(write)
    with pytest.raises(AisterError, match="usage_unavailable"):
        await post(ledger, record(key, "req_1"))
    await asyncio.to_thread(ledger.close)
    assert tries == [1]


def test_a_full_ledger_refuses_until_a_place_is_given_back() -> None:
    ledger = Ledger(insert, capacity=2)
    ledger.reserve()
    ledger.reserve()
    with pytest.raises(AisterError, match="overloaded"):
        ledger.reserve()
    ledger.release()
    ledger.reserve()


async def test_a_thread_that_can_not_start_is_started_for_the_next_row(
    ledger: Ledger, key: ApiKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start)
        ledger.reserve()
        with pytest.raises(RuntimeError):
            ledger.post(record(key, "req_1"))
    assert ledger.reserved == 0
    await post(ledger, record(key, "req_2"))
    assert await rows() == ["req_2"]


async def test_closing_writes_what_is_there_and_posting_later_works_too(ledger: Ledger, key: ApiKey) -> None:
    ledger.reserve()
    waiting = ledger.post(record(key, "req_1"))
    await asyncio.to_thread(ledger.close)
    await waiting
    await post(ledger, record(key, "req_2"))
    assert await rows() == ["req_1", "req_2"]


async def test_a_row_that_comes_while_the_ledger_closes_is_written_and_closing_ends(key: ApiKey) -> None:
    writing, gate = threading.Event(), threading.Event()

    def write(records: list[UsageRecord]) -> None:
        writing.set()
        assert gate.wait(10)
        insert(records)

    ledger = Ledger(write)
    first = asyncio.create_task(post(ledger, record(key, "req_1")))
    assert await asyncio.to_thread(writing.wait, 10)
    thread = ledger.thread
    closing = asyncio.create_task(asyncio.to_thread(ledger.close))
    while ledger.entries.empty():  # noqa: ASYNC110  # until it waits for the thread
        await asyncio.sleep(0.001)
    second = asyncio.create_task(post(ledger, record(key, "req_2")))
    while ledger.reserved < 2:  # noqa: ASYNC110  # until it is posted
        await asyncio.sleep(0)
    assert ledger.thread is thread
    gate.set()
    async with asyncio.timeout(10):
        await asyncio.gather(first, second, closing)
    assert await rows() == ["req_1", "req_2"]
    await asyncio.to_thread(ledger.close)


async def test_a_client_that_has_gone_does_not_lose_its_row(ledger: Ledger, key: ApiKey) -> None:
    ledger.reserve()
    ledger.post(record(key, "req_1")).cancel()
    await post(ledger, record(key, "req_2"))
    assert await rows() == ["req_1", "req_2"]


# -- what the log says ------------------------------------------------------------------------------------------------


class Away:
    """A database that is away until told otherwise, for rows and for rehearsals."""

    def __init__(self) -> None:
        self.fault: Exception | None = OperationalError("disk full")
        self.rehearsed = threading.Event()

    def write(self, records: list[UsageRecord]) -> None:
        if self.fault:
            raise self.fault
        insert(records)

    def rehearse(self, sample: UsageRecord) -> None:
        self.rehearsed.set()
        if self.fault:
            raise self.fault
        try_out(sample)


async def lost(ledger: Ledger, key: ApiKey, *request_ids: str) -> None:
    """Post rows that come to nothing."""
    outcomes = await asyncio.gather(*(post(ledger, record(key, i)) for i in request_ids), return_exceptions=True)
    assert [getattr(outcome, "code", None) for outcome in outcomes] == ["usage_unavailable"] * len(request_ids)


async def test_the_log_has_a_line_of_an_outage_and_one_of_its_end(
    key: ApiKey, caplog: pytest.LogCaptureFixture
) -> None:
    away = Away()
    ledger = Ledger(away.write, away.rehearse, patience_s=0.01)
    await lost(ledger, key, "req_1", "req_2")
    await lost(ledger, key, "req_3")
    assert ledger.is_failing
    away.fault = None
    await post(ledger, record(key, "req_4"))
    assert not ledger.is_failing
    await asyncio.to_thread(ledger.close)
    text = "Usage can't be written: disk full. Until it can, requests fail with usage_unavailable. 'manage.py doctor' "
    assert caplog.messages == [
        f"{text}says what to do.",
        "Usage is written again. 3 requests failed for want of it.",
    ]


async def test_the_ledger_finds_out_by_itself_that_rows_would_be_written_again(
    key: ApiKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(usage, "REHEARSE_S", 0.01)
    away = Away()
    ledger = Ledger(away.write, away.rehearse, patience_s=0.01)
    await lost(ledger, key, "req_1")
    assert await asyncio.to_thread(away.rehearsed.wait, 10)
    assert ledger.is_failing
    away.fault = None
    async with asyncio.timeout(10):
        while ledger.is_failing:  # noqa: ASYNC110  # the ledger's thread ends that
            await asyncio.sleep(0.001)
    await asyncio.to_thread(ledger.close)
    assert await rows() == []


async def test_a_row_that_is_refused_alone_says_nothing_of_the_next(
    ledger: Ledger, key: ApiKey, caplog: pytest.LogCaptureFixture
) -> None:
    for request_id in ("req_bad", "req_worse"):
        nobody = record(key, request_id, key_id=key.pk + 1000)
        with pytest.raises(AisterError, match="usage_unavailable"):
            await post(ledger, nobody)
    assert not ledger.is_failing
    assert [message.splitlines()[0] for message in caplog.messages] == [
        "The database refused the usage of a request, which fails for it."
    ]


async def test_a_permission_that_is_gone_fails_every_row_at_once(key: ApiKey) -> None:
    away = Away()
    away.fault = ProgrammingError("permission denied")
    ledger = Ledger(away.write, away.rehearse, patience_s=60)
    await lost(ledger, key, "req_1", "req_2")
    assert ledger.is_failing
    await asyncio.to_thread(ledger.close)
