"""Usage as CSV: exactly what is filtered, streamed, and safe to open in a spreadsheet."""

import csv
import inspect
import io
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.db import connections
from django.test import AsyncClient
from django.utils import timezone

from accounts.models import ApiKey
from inference.models import UsageRecord
from inference.usage_export import cell, request_parts

pytestmark = pytest.mark.django_db(transaction=True)
CSV = "/admin/inference/usagerecord/csv/"
KEYS_CSV = "/admin/inference/usagerecord/keys/csv/"
NOON = datetime(2026, 11, 22, 12, 0, 0, 123456, UTC)
HEADER = [
    "request_id", "started_at_utc", "key", "key_id", "task", "model", "transport", "status", "error_code",
    "input_tokens", "cached_tokens", "output_tokens", "queue_ms", "first_token_ms", "total_ms",
]  # fmt: skip


def make_key(name: str = "Support page") -> ApiKey:
    """Make a key."""
    key = ApiKey(name=name)
    key.make_secret()
    key.save()
    return key


def record(key: ApiKey, request_id: str, **fields: Any) -> UsageRecord:
    """Write one row of the ledger."""
    values = {
        "task": "chat", "model": "aister-guide", "transport": "http", "status": "completed", "started_at": NOON,
        "input_tokens": 12, "cached_tokens": 3, "output_tokens": 4, "queue_ms": 0.4, "total_ms": 21.7,
    }  # fmt: skip
    return UsageRecord.objects.create(key=key, request_id=request_id, **{**values, **fields})


@pytest.fixture
async def client() -> AsyncIterator[AsyncClient]:
    """An administrator's client. The thread that answered it keeps no connection."""
    client = AsyncClient()
    await client.aforce_login(await User.objects.acreate_superuser("admin"))
    yield client
    await sync_to_async(connections.close_all)()


async def rows(response: Any) -> list[list[str]]:
    """The rows of a streamed answer."""
    text = b"".join([part async for part in response.streaming_content]).decode()
    return list(csv.reader(io.StringIO(text)))


async def ids(client: AsyncClient, query: dict[str, str]) -> list[str]:
    """The requests of a download."""
    return [row[0] for row in (await rows(await client.get(CSV, query)))[1:]]


async def test_a_download_has_every_column_and_is_named_after_the_day(client: AsyncClient) -> None:
    key = await sync_to_async(make_key)('Page, "one"')
    await sync_to_async(record)(key, "req_a", first_token_ms=9.1)
    await sync_to_async(record)(key, "req_b", status="failed", error_code="engine_failed")
    response = await client.get(CSV)
    assert response.status_code == 200
    assert response["Content-Type"] == "text/csv; charset=utf-8; header=present"
    assert response["Content-Disposition"] == (f'attachment; filename="aister-usage-{timezone.now():%Y-%m-%d}-utc.csv"')
    assert "no-store" in response["Cache-Control"]
    same = ["2026-11-22T12:00:00.123Z", 'Page, "one"', key.public_id, "chat", "aister-guide", "http"]
    assert await rows(response) == [
        HEADER,
        ["req_b", *same, "failed", "engine_failed", "12", "3", "4", "0.4", "", "21.7"],
        ["req_a", *same, "completed", "", "12", "3", "4", "0.4", "9.1", "21.7"],
    ]


async def test_a_download_is_streamed_without_being_collected(client: AsyncClient) -> None:
    response: Any = await client.get(CSV)
    assert response.streaming
    assert response.is_async
    assert inspect.isasyncgen(response._iterator)
    await rows(response)


async def test_a_download_has_exactly_what_is_filtered(client: AsyncClient) -> None:
    first, second = await sync_to_async(make_key)("First"), await sync_to_async(make_key)("Second")
    await sync_to_async(record)(first, "req_a", status="failed")
    await sync_to_async(record)(second, "req_b", started_at=NOON - timedelta(days=1))
    await sync_to_async(record)(second, "req_c", task="translation", started_at=NOON + timedelta(days=1))
    assert await ids(client, {}) == ["req_c", "req_a", "req_b"]
    assert await ids(client, {"key": str(second.pk)}) == ["req_c", "req_b"]
    assert await ids(client, {"status": "failed"}) == ["req_a"]
    assert await ids(client, {"q": "req_b"}) == ["req_b"]
    assert await ids(client, {"task": "chat", "from": "2026-11-22", "to": ""}) == ["req_a"]
    assert await ids(client, {"model": "gone"}) == []


@pytest.mark.parametrize("query", [{"colour": "red"}, {"q": "req_\x00"}, {"key__name": "First"}])
async def test_filters_that_are_not_known_never_download_everything(query: dict[str, str], client: AsyncClient) -> None:
    await sync_to_async(record)(await sync_to_async(make_key)(), "req_a")
    for path in (CSV, KEYS_CSV):
        response = await client.get(path, query)
        assert response.status_code == 400
        assert b"req_a" not in response.content


async def test_parts_meet_without_a_gap_or_a_repeat() -> None:
    key = await sync_to_async(make_key)()
    for number in range(7):  # 0 to 4 at one moment: a part ends among them
        later = max(0, number - 4)
        await sync_to_async(record)(key, f"req_{number}", started_at=NOON + timedelta(seconds=later))
    for part_rows in (1, 2, 3, 7, 8):
        parts: list[bytes] = []
        async for part in request_parts(UsageRecord.objects.all(), part_rows):
            parts.append(part)
            assert len(parts) <= 8, "rows are repeated"
        assert len(parts) == 1 + -(-7 // part_rows)
        shown = [row[0] for row in csv.reader(io.StringIO(b"".join(parts[1:]).decode()))]
        assert shown == [f"req_{number}" for number in (6, 5, 4, 3, 2, 1, 0)]
    await sync_to_async(connections.close_all)()


async def test_what_comes_during_a_download_is_not_in_it() -> None:
    key = await sync_to_async(make_key)()
    for number in range(4):
        await sync_to_async(record)(key, f"req_{number}", started_at=NOON + timedelta(seconds=number))
    parts = request_parts(UsageRecord.objects.all(), 2)
    seen = await anext(parts) + await anext(parts)
    await sync_to_async(record)(key, "req_late", started_at=NOON)
    seen += b"".join([part async for part in parts])
    shown = [row[0] for row in csv.reader(io.StringIO(seen.decode()))]
    assert shown == ["request_id", "req_3", "req_2", "req_1", "req_0"]
    await sync_to_async(connections.close_all)()


async def test_what_keys_used_can_be_downloaded(client: AsyncClient) -> None:
    small, large = await sync_to_async(make_key)("=1+1"), await sync_to_async(make_key)("Large")
    await sync_to_async(record)(small, "req_a")
    await sync_to_async(record)(large, "req_b", input_tokens=1000, status="failed")
    response = await client.get(KEYS_CSV)
    assert response["Content-Disposition"] == (
        f'attachment; filename="aister-usage-by-key-{timezone.now():%Y-%m-%d}-utc.csv"'
    )
    assert list(csv.reader(io.StringIO(response.content.decode()))) == [
        ["key", "key_id", "requests", "errors", "input_tokens", "cached_tokens", "output_tokens"],
        ["Large", large.public_id, "1", "1", "1000", "3", "4"],
        ["'=1+1", small.public_id, "1", "0", "12", "3", "4"],
    ]
    filtered = await client.get(KEYS_CSV, {"status": "failed"})
    assert b"Large" in filtered.content
    assert b"=1+1" not in filtered.content


async def test_a_key_named_like_a_formula_is_text_in_a_download(client: AsyncClient) -> None:
    name = '=HYPERLINK("https://evil.example","Open")'
    await sync_to_async(record)(await sync_to_async(make_key)(name), "req_a")
    assert (await rows(await client.get(CSV)))[1][2] == f"'{name}"


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠"])  # noqa: RUF001  # full-width
def test_text_that_a_spreadsheet_would_run_is_quoted(start: str) -> None:
    assert cell(f"{start}1") == f"'{start}1"


@pytest.mark.parametrize(
    ("value", "text"), [(None, ""), (-1, "-1"), (0.5, "0.5"), ("Ωmega — 1", "Ωmega — 1"), ("a=b", "a=b"), ("", "")]
)
def test_other_values_stay_as_they_are(value: object, text: str) -> None:
    assert cell(value) == text
