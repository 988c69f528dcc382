"""The filters of the usage list. What they can't make sense of finds nothing: never silently everything."""
# ruff: noqa: ARG002  # Django gives every hook the request and the admin

from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from django.contrib.admin import ListFilter, SimpleListFilter
from django.contrib.admin.views.main import ERROR_FLAG, PAGE_VAR, ChangeList
from django.db.models import Exists, OuterRef, QuerySet
from django.http import HttpRequest
from django.utils import timezone

from accounts.models import ApiKey
from inference.catalog import TASKS
from inference.models import UsageRecord

DAY = timedelta(days=1)
PERIODS = {
    "today": "Today",
    "yesterday": "Yesterday",
    "7-days": "Last 7 days",
    "30-days": "Last 30 days",
    "this-month": "This month",
    "last-month": "Last month",
}
Days = tuple[date | None, date | None]


class OfferedFilter(SimpleListFilter):
    """Rows whose `field` is the chosen one of the values on offer."""

    field: str

    def queryset(self, request: HttpRequest, queryset: QuerySet[UsageRecord]) -> QuerySet[UsageRecord]:
        """Keep the rows of the chosen value; of one that is not on offer there are none."""
        value = self.value()
        if value is None:
            return queryset
        is_offered = any(value == offered for offered, _ in self.lookup_choices)
        return queryset.filter(**{self.field: value}) if is_offered else queryset.none()


class KeyFilter(OfferedFilter):
    """By key: those that have been used."""

    title = "key"
    parameter_name = "key"
    field = "key_id"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Offer keys by name; where two have one name, with their ids."""
        used = ApiKey.objects.filter(Exists(UsageRecord.objects.filter(key=OuterRef("pk"))))
        keys = list(used.order_by("name", "pk").only("name", "public_id"))
        names = [key.name for key in keys]
        return [(str(key.pk), key.name if names.count(key.name) == 1 else f"{key.name} ({key.masked})") for key in keys]


class TaskFilter(OfferedFilter):
    """By task."""

    title = "task"
    parameter_name = field = "task"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Offer every task."""
        return [(task, task.capitalize()) for task in TASKS]


class ModelFilter(OfferedFilter):
    """By model: those that have answered, also when they are gone by now."""

    title = "model"
    parameter_name = field = "model"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Offer the models of the ledger."""
        models = UsageRecord.objects.order_by("model").values_list("model", flat=True).distinct()
        return [(model, model) for model in models]


class StatusFilter(OfferedFilter):
    """By how it ended."""

    title = "status"
    parameter_name = field = "status"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Offer every status."""
        return [("completed", "Completed"), ("cancelled", "Cancelled"), ("failed", "Failed")]


class DateFilter(ListFilter):
    """By day, UTC: a period that moves along with today, or from one day to another, both included."""

    title = "date"
    template = "admin/inference/usagerecord/date_filter.html"

    def __init__(self, request: HttpRequest, params: dict[str, list[str]], model: Any, model_admin: Any) -> None:
        super().__init__(request, params, model, model_admin)
        given = {name: params.pop(name)[-1] for name in self.expected_parameters() if name in params}
        self.period, self.first, self.last = (given.get(name, "") for name in self.expected_parameters())
        ignored = {*self.expected_parameters(), PAGE_VAR, ERROR_FLAG}
        self.kept = [
            (name, value) for name, values in request.GET.lists() if name not in ignored for value in values
        ]  # what the form of dates passes on

    def expected_parameters(self) -> list[str]:  # type: ignore[override]  # lists are invariant
        """Name the parameters."""
        return ["period", "from", "to"]

    def has_output(self) -> bool:
        """There is always something to choose."""
        return True

    def choices(self, changelist: ChangeList) -> Iterator[Mapping[str, object]]:
        """Offer the periods."""
        names = self.expected_parameters()
        is_any = not (self.period or self.first or self.last)
        yield {"selected": is_any, "query_string": changelist.get_query_string(remove=names), "display": "Any date"}
        for period, title in PERIODS.items():
            query = changelist.get_query_string({"period": period, "from": None, "to": None})
            yield {"selected": self.period == period, "query_string": query, "display": title}

    def queryset(self, request: HttpRequest, queryset: QuerySet[UsageRecord]) -> QuerySet[UsageRecord]:
        """Keep the rows of the chosen days."""
        try:
            first, last = self.days(timezone.now().astimezone(UTC).date())
        except (KeyError, ValueError):
            return queryset.none()
        if first is not None:
            queryset = queryset.filter(started_at__gte=midnight(first))
        return queryset if last is None else queryset.filter(started_at__lte=datetime.combine(last, time.max, UTC))

    def days(self, today: date) -> Days:
        """Return the first and the last day chosen; raise KeyError or ValueError for what is neither."""
        if self.period:
            return period_days(self.period, today)
        return (
            date.fromisoformat(self.first) if self.first else None,
            date.fromisoformat(self.last) if self.last else None,
        )


def period_days(period: str, today: date) -> Days:
    """Return the first and the last day of a period, None for no end; raise KeyError when it is unknown."""
    month = today.replace(day=1)
    return {
        "today": (today, None),
        "yesterday": (today - DAY, today - DAY),
        "7-days": (today - 6 * DAY, None),
        "30-days": (today - 29 * DAY, None),
        "this-month": (month, None),
        "last-month": ((month - DAY).replace(day=1), month - DAY),
    }[period]


def midnight(day: date) -> datetime:
    """Return when a day begins, UTC."""
    return datetime.combine(day, time.min, UTC)
