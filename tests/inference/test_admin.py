"""The usage ledger in the admin: who may see it, what is filtered, what it adds up to."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from itertools import count
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.utils import timezone

from accounts.models import ApiKey
from inference.models import UsageRecord
from inference.usage_filters import PERIODS, period_days

pytestmark = pytest.mark.django_db
LIST = "/admin/inference/usagerecord/"
KEYS = f"{LIST}keys/"
CSV = f"{LIST}csv/"
KEYS_CSV = f"{KEYS}csv/"
PAGES = (LIST, KEYS, CSV, KEYS_CSV)

Record = Callable[..., UsageRecord]


@pytest.fixture
def record(db: None) -> Record:
    """Write one row of the ledger."""
    numbers = count(1)

    def write(key: ApiKey, **fields: Any) -> UsageRecord:
        values = {
            "request_id": f"req_{next(numbers)}", "task": "chat", "model": "aister-guide", "transport": "websocket",
            "status": "completed", "started_at": timezone.now(), "total_ms": 21.7,
        }  # fmt: skip
        return UsageRecord.objects.create(key=key, **{**values, **fields})

    return write


def make_key(name: str = "Support page") -> ApiKey:
    """Make a key."""
    key = ApiKey(name=name)
    key.make_secret()
    key.save()
    return key


@pytest.fixture
def admin(db: None, client: Client) -> User:
    """An administrator, signed in to `client`."""
    user = User.objects.create_superuser("admin")
    client.force_login(user)
    return user


def found(client: Client, **query: str) -> list[str]:
    """The ids of the requests that the list shows, in its order."""
    return [row.request_id for row in client.get(LIST, query).context["cl"].result_list]


def figures(client: Client, page: str = LIST, **query: str) -> dict[str, str]:
    """The totals that a page shows."""
    return {title: figure for title, figure, _ in client.get(page, query).context["cl"].figures}


def test_an_administrator_reads_and_changes_nothing(client: Client, admin: User, record: Record) -> None:
    row = record(make_key(), error_code="engine_failed", status="failed")
    assert client.get(LIST).status_code == 200
    page = client.get(f"{LIST}{row.pk}/change/")
    assert row.request_id in page.content.decode()
    assert "engine_failed" in page.content.decode()
    assert 'name="_save"' not in page.content.decode()
    assert client.get(f"{LIST}add/").status_code == 403
    assert client.post(f"{LIST}add/", {"model": "x"}).status_code == 403
    assert client.post(f"{LIST}{row.pk}/change/", {"model": "x"}).status_code == 403
    assert client.post(f"{LIST}{row.pk}/delete/", {"post": "yes"}).status_code == 403
    client.post(LIST, {"action": "delete_selected", "_selected_action": [str(row.pk)], "post": "yes"})
    assert UsageRecord.objects.values_list("model").get() == ("aister-guide",)


@pytest.mark.parametrize("page", PAGES)
def test_who_is_not_signed_in_is_sent_to_sign_in(page: str, client: Client) -> None:
    response = client.get(page)
    assert response.status_code == 302
    assert response["Location"].startswith("/admin/login/")


@pytest.mark.parametrize("page", PAGES)
def test_staff_see_usage_only_with_the_permission(page: str, client: Client) -> None:
    user = User.objects.create_user("viewer", is_staff=True)
    client.force_login(user)
    assert client.get(page).status_code == 403
    user.user_permissions.add(Permission.objects.get(codename="view_usagerecord"))
    assert client.get(page).status_code == 200


def test_an_empty_ledger_says_how_to_make_a_request(client: Client, admin: User) -> None:
    for page in (LIST, KEYS):
        html = client.get(page).content.decode()
        assert "No requests yet" in html
        assert "curl http://testserver/v1/chat" in html
        assert "Download CSV" not in html


def test_filters_that_find_nothing_are_no_empty_ledger(client: Client, admin: User, record: Record) -> None:
    record(make_key())
    for page in (LIST, KEYS):
        html = client.get(page, {"status": "failed"}).content.decode()
        assert "No requests match." in html
        assert "No requests yet" not in html


def test_the_list_shows_what_a_request_was_and_cost(client: Client, admin: User, record: Record) -> None:
    record(
        make_key("<b>Page</b>"), request_id="req_7f", status="failed", error_code="engine_failed", transport="http",
        input_tokens=1234, cached_tokens=31, output_tokens=5, first_token_ms=9.14, total_ms=1021.7,
        started_at=datetime(2026, 11, 22, 10, 55, 1, tzinfo=UTC),
    )  # fmt: skip
    html = client.get(LIST).content.decode()
    for shown in (
        "<time>2026-11-22 10:55:01</time>",
        '<td class="field-key nowrap">&lt;b&gt;Page&lt;/b&gt;</td>',
        "aister-guide<small>chat</small>",
        '<span class="usage-status usage-status-failed">Failed</span><code>engine_failed</code>',
        '<td class="field-tokens_in">1,234</td>',
        '<td class="field-tokens_cached">31</td>',
        '<td class="field-tokens_out">5</td>',
        '<td class="field-first_token">9.1</td>',
        '<td class="field-total">1,022</td>',
        "<code>req_7f</code><small>HTTP</small>",
    ):
        assert shown in html


def test_newest_requests_come_first(client: Client, admin: User, record: Record) -> None:
    key, now = make_key(), timezone.now()
    for request_id, minutes in (("req_a", 2), ("req_b", 1), ("req_c", 3)):
        record(key, request_id=request_id, started_at=now - timedelta(minutes=minutes))
    assert found(client) == ["req_b", "req_a", "req_c"]


def test_each_filter_keeps_what_was_chosen(client: Client, admin: User, record: Record) -> None:
    first, second = make_key("First"), make_key("Second")
    record(first, request_id="req_chat")
    record(second, request_id="req_fr", task="translation", model="aister-phrasebook", status="failed")
    for query in (
        {"key": str(second.pk)},
        {"task": "translation"},
        {"model": "aister-phrasebook"},
        {"status": "failed"},
        {"q": "req_fr"},
        {"key": str(second.pk), "status": "failed", "task": "", "from": "", "q": ""},
    ):
        assert found(client, **query) == ["req_fr"]
    assert found(client, key=str(first.pk), status="failed") == []


@pytest.mark.parametrize(
    "query",
    [
        {"key": "x"}, {"key": "99999999999999999999"}, {"task": "chta"}, {"model": "\x00"}, {"status": "done"},
        {"period": "never"}, {"from": "yesterday"}, {"to": "2026-02-30"},
    ],
)  # fmt: skip
def test_a_filter_that_makes_no_sense_finds_nothing(
    query: dict[str, str], client: Client, admin: User, record: Record
) -> None:
    record(make_key())
    assert found(client, **query) == []


def test_days_of_a_range_belong_to_it(client: Client, admin: User, record: Record) -> None:
    key = make_key()
    for request_id, when in (
        ("req_before", datetime(2026, 9, 30, 23, 59, 59, 999999, UTC)),
        ("req_first", datetime(2026, 10, 1, 0, 0, tzinfo=UTC)),
        ("req_last", datetime(2026, 10, 31, 23, 59, 59, 999999, UTC)),
        ("req_after", datetime(2026, 11, 1, 0, 0, tzinfo=UTC)),
    ):
        record(key, request_id=request_id, started_at=when)
    assert found(client, **{"from": "2026-10-01", "to": "2026-10-31"}) == ["req_last", "req_first"]
    assert found(client, to="2026-09-30") == ["req_before"]
    assert found(client, **{"from": "2026-11-01"}) == ["req_after"]


def test_a_period_moves_along_with_today(client: Client, admin: User, record: Record) -> None:
    key, now = make_key(), timezone.now()
    record(key, request_id="req_now", started_at=now)
    record(key, request_id="req_old", started_at=now - timedelta(days=70))
    assert {period: found(client, period=period) for period in PERIODS} == {
        "today": ["req_now"], "yesterday": [], "7-days": ["req_now"], "30-days": ["req_now"],
        "this-month": ["req_now"], "last-month": [],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("period", "first", "last"),
    [
        ("today", date(2026, 1, 1), date(2026, 1, 1)),
        ("yesterday", date(2025, 12, 31), date(2025, 12, 31)),
        ("7-days", date(2025, 12, 26), date(2026, 1, 1)),
        ("30-days", date(2025, 12, 3), date(2026, 1, 1)),
        ("this-month", date(2026, 1, 1), date(2026, 1, 1)),
        ("last-month", date(2025, 12, 1), date(2025, 12, 31)),
    ],
)
def test_a_period_is_from_day_to_day(period: str, first: date, last: date) -> None:
    assert period_days(period, date(2026, 1, 1)) == (first, last)


def test_keys_of_one_name_are_told_apart(client: Client, admin: User, record: Record) -> None:
    keys = [make_key("Page"), make_key("Page"), make_key("Other")]
    make_key("Never used")
    for key in keys:
        record(key)
    specs = {spec.parameter_name: spec for spec in client.get(LIST).context["cl"].filter_specs}
    offered = [(str(keys[2].pk), "Other"), *((str(key.pk), f"Page ({key.masked})") for key in keys[:2])]
    assert specs["key"].lookup_choices == offered


def test_totals_are_of_what_is_filtered(client: Client, admin: User, record: Record) -> None:
    key = make_key()
    record(key, input_tokens=1000, cached_tokens=400, output_tokens=30)
    record(key, input_tokens=20, cached_tokens=0, output_tokens=0, status="failed")
    record(key, input_tokens=5, cached_tokens=5, output_tokens=1, status="cancelled", task="translation")
    assert figures(client) == {
        "Requests": "3", "Errors": "1", "Input tokens": "1,025", "of them cached": "405", "Output tokens": "31",
    }  # fmt: skip
    for page in (LIST, KEYS):
        assert figures(client, page, task="chat", status="failed") == {
            "Requests": "1", "Errors": "1", "Input tokens": "20", "of them cached": "0", "Output tokens": "0",
        }  # fmt: skip
    assert "<dd>1,025</dd>" in client.get(LIST).content.decode()


def test_each_key_has_its_totals_under_the_same_filters(client: Client, admin: User, record: Record) -> None:
    small, large = make_key("Small"), make_key("Large")
    make_key("Unused")
    record(small, input_tokens=10, output_tokens=1, task="translation")
    record(large, input_tokens=1000, cached_tokens=400, output_tokens=30)
    record(large, input_tokens=1, status="failed", task="translation")
    shown = client.get(KEYS).context["cl"].top_keys
    assert [(key.name, figures) for key, _, figures in shown] == [
        ("Large", ["2", "1", "1,001", "400", "30"]),
        ("Small", ["1", "0", "10", "0", "1"]),
    ]
    response = client.get(KEYS, {"task": "translation", "o": "1", "p": "1"})
    assert [(key.name, figures) for key, _, figures in response.context["cl"].top_keys] == [
        ("Small", ["1", "0", "10", "0", "1"]),
        ("Large", ["1", "1", "1", "0", "0"]),
    ]
    html = response.content.decode()
    assert f'href="{LIST}?key={small.pk}&amp;' in html
    assert f'href="{LIST}?task=translation"' in html
    assert f'href="{KEYS_CSV}?task=translation"' in html


def test_pages_ask_as_often_for_many_rows_as_for_one(
    client: Client, admin: User, record: Record, django_assert_num_queries: Any, django_assert_max_num_queries: Any
) -> None:
    record(make_key())
    for page in (LIST, KEYS):
        client.get(page)
        with django_assert_max_num_queries(9) as first:
            client.get(page)
        for number in range(5):
            record(make_key(f"Key {number}"), model=f"model-{number}")
        with django_assert_num_queries(len(first)):
            client.get(page)


def test_pages_carry_no_inline_script_or_style(client: Client, admin: User, record: Record) -> None:
    row = record(make_key())
    for page in (LIST, KEYS, f"{LIST}{row.pk}/change/"):
        html = client.get(page).content.decode()
        assert "accounts/states.css" in html
        assert "inference/admin.css" in html
        assert "<style" not in html
        assert "style=" not in html
        assert "<script>" not in html
