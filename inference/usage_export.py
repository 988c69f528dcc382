"""Usage as CSV: UTF-8, a header, a row for each request, however many there are.

A request's rows are read and written out in its own thread, some at a time; the event loop only passes them on. No
cursor and no transaction stays open between two parts, so that a slow download holds nothing up.
"""

import csv
import io
from collections.abc import AsyncIterator, Iterable
from datetime import UTC, datetime

from asgiref.sync import sync_to_async
from django.db.models import Max, QuerySet
from django.http import HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase

from inference.models import UsageRecord
from inference.usage_summary import FIGURES, KeyTotals

PART_ROWS = 1000
CONTENT_TYPE = "text/csv; charset=utf-8; header=present"
# What makes a spreadsheet take a cell for a formula: https://owasp.org/www-community/attacks/CSV_Injection
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # noqa: RUF001  # full-width signs

COLUMNS = {
    "request_id": "request_id",
    "started_at_utc": "started_at",
    "key": "key__name",
    "key_id": "key__public_id",
    "task": "task",
    "model": "model",
    "transport": "transport",
    "status": "status",
    "error_code": "error_code",
    "input_tokens": "input_tokens",
    "cached_tokens": "cached_tokens",
    "output_tokens": "output_tokens",
    "queue_ms": "queue_ms",
    "first_token_ms": "first_token_ms",
    "total_ms": "total_ms",
}
KEY_COLUMNS = ("key", "key_id", *FIGURES)


def requests_response(records: QuerySet[UsageRecord], now: datetime) -> HttpResponseBase:
    """Return a download of these rows, newest first, streamed."""
    response = StreamingHttpResponse(request_parts(records), content_type=CONTENT_TYPE)
    return as_download(response, "usage", now)


def keys_response(used: Iterable[KeyTotals], now: datetime) -> HttpResponseBase:
    """Return a download of what each key used."""
    rows = [(each.key.name, each.key.public_id, *each.totals.figures) for each in used]
    return as_download(HttpResponse(lines([KEY_COLUMNS, *rows]), content_type=CONTENT_TYPE), "usage-by-key", now)


def as_download(response: HttpResponseBase, subject: str, now: datetime) -> HttpResponseBase:
    """Name the file after its subject and the day."""
    name = f"aister-{subject}-{now.astimezone(UTC):%Y-%m-%d}-utc.csv"
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


async def request_parts(records: QuerySet[UsageRecord], part_rows: int = PART_ROWS) -> AsyncIterator[bytes]:
    """Yield the header, then the rows, newest first: those that are in the ledger now, each once."""
    yield lines([COLUMNS])
    newest = (await UsageRecord.objects.aaggregate(newest=Max("pk")))["newest"] or 0
    left = records.filter(pk__lte=newest).order_by("-started_at", "-pk")
    last: tuple[datetime, int] | None = None
    while True:
        part, last = await sync_to_async(read_part)(left, last, part_rows)
        if part:
            yield part
        if last is None:
            return


def read_part(
    records: QuerySet[UsageRecord], after: tuple[datetime, int] | None, part_rows: int
) -> tuple[bytes, tuple[datetime, int] | None]:
    """Return the next rows as CSV, and the last one's place, None when there are no more. Waits for the database."""
    if after is not None:
        # Not "earlier, or equal and lower": SQLite would not walk the index of dates for an OR.
        records = records.filter(started_at__lte=after[0]).exclude(started_at=after[0], pk__gte=after[1])
    rows = list(records.values_list("pk", "started_at", *COLUMNS.values())[:part_rows])
    last = (rows[-1][1], rows[-1][0]) if len(rows) == part_rows else None
    return lines(row[2:] for row in rows), last


def lines(rows: Iterable[Iterable[object]]) -> bytes:
    """Return rows as lines of CSV (RFC 4180)."""
    text = io.StringIO()
    csv.writer(text).writerows([cell(value) for value in row] for row in rows)
    return text.getvalue().encode()


def cell(value: object) -> str:
    """Return a value as text: nothing for None, times in UTC, and no text that a spreadsheet would run."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
    text = str(value)
    return f"'{text}" if isinstance(value, str) and text.startswith(FORMULA_STARTS) else text
