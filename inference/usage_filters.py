"""The filters of the usage list. What they can't make sense of finds nothing: never silently everything."""
# ruff: noqa: ARG002  # Django gives every hook the request and the admin

from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from django.contrib.admin import SimpleListFilter
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


class UsageFilter(SimpleListFilter):
    """One of the controls above the list. Its value is there, and counts, whether or not it is on offer."""

    is_day = False  # asks for a day, rather than for one of several values

    def has_output(self) -> bool:
        """Say yes: a filter without output would let everything through, whatever its value."""
        return True


class OfferedFilter(UsageFilter):
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


class PeriodFilter(UsageFilter):
    """By days that move along with today, UTC."""

    title = "period"
    parameter_name = "period"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Offer the periods."""
        return list(PERIODS.items())

    def queryset(self, request: HttpRequest, queryset: QuerySet[UsageRecord]) -> QuerySet[UsageRecord]:
        """Keep the rows of the period; of an unknown one there are none."""
        period = self.value()
        if period is None:
            return queryset
        if period not in PERIODS:
            return queryset.none()
        first, last = period_days(period, timezone.now().astimezone(UTC).date())
        return queryset.filter(started_at__gte=start_of(first), started_at__lte=end_of(last))


class DayFilter(UsageFilter):
    """By one end of a range of days, which belongs to it, UTC."""

    is_day = True

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Offer nothing: any day can be given."""
        return []

    def queryset(self, request: HttpRequest, queryset: QuerySet[UsageRecord]) -> QuerySet[UsageRecord]:
        """Keep the rows on this side of the day; of what is no day there are none."""
        value = self.value()
        if value is None:
            return queryset
        try:
            return self.on_this_side(queryset, date.fromisoformat(value))
        except ValueError:
            return queryset.none()

    def on_this_side(self, queryset: QuerySet[UsageRecord], day: date) -> QuerySet[UsageRecord]:
        """Return the rows on this side of a day."""
        raise NotImplementedError


class FromFilter(DayFilter):
    """By the first day."""

    title = "from"
    parameter_name = "from"

    def on_this_side(self, queryset: QuerySet[UsageRecord], day: date) -> QuerySet[UsageRecord]:
        """Keep that day and those after it."""
        return queryset.filter(started_at__gte=start_of(day))


class ToFilter(DayFilter):
    """By the last day."""

    title = "to"
    parameter_name = "to"

    def on_this_side(self, queryset: QuerySet[UsageRecord], day: date) -> QuerySet[UsageRecord]:
        """Keep that day and those before it."""
        return queryset.filter(started_at__lte=end_of(day))


def period_days(period: str, today: date) -> tuple[date, date]:
    """Return the first and the last day of a period; raise KeyError when it is unknown."""
    month = today.replace(day=1)
    return {
        "today": (today, today),
        "yesterday": (today - DAY, today - DAY),
        "7-days": (today - 6 * DAY, today),
        "30-days": (today - 29 * DAY, today),
        "this-month": (month, today),
        "last-month": ((month - DAY).replace(day=1), month - DAY),
    }[period]


def start_of(day: date) -> datetime:
    """Return when a day begins, UTC."""
    return datetime.combine(day, time.min, UTC)


def end_of(day: date) -> datetime:
    """Return the last moment of a day, UTC."""
    return datetime.combine(day, time.max, UTC)
