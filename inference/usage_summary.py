"""What the usage ledger adds up to: over some of its rows, and for each key. Any thread with a database connection."""

from dataclasses import dataclass
from typing import cast

from django.db.models import Aggregate, Count, F, Q, QuerySet, Sum

from accounts.models import ApiKey
from inference.models import UsageRecord

Row = dict[str, int]
FIGURES: dict[str, Aggregate] = {
    "requests": Count("pk"),
    "errors": Count("pk", filter=Q(status="failed")),
    "input_tokens": Sum("input_tokens", default=0),
    "cached_tokens": Sum("cached_tokens", default=0),
    "output_tokens": Sum("output_tokens", default=0),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """Sums over requests. `errors` are those that failed; `cached_tokens` are part of `input_tokens`."""

    requests: int
    errors: int
    input_tokens: int
    cached_tokens: int
    output_tokens: int

    @property
    def tokens(self) -> int:
        """All tokens, in and out."""
        return self.input_tokens + self.output_tokens

    @property
    def figures(self) -> tuple[int, ...]:
        """The sums in the order that `FIGURES` names them."""
        return tuple(getattr(self, name) for name in FIGURES)

    @property
    def error_percent(self) -> float:
        """How many of a hundred requests failed."""
        return percent(self.errors, self.requests)

    @property
    def cached_percent(self) -> float:
        """How many of a hundred input tokens the model still knew."""
        return percent(self.cached_tokens, self.input_tokens)


@dataclass(frozen=True, slots=True)
class KeyTotals:
    """One key and its totals."""

    key: ApiKey
    totals: Totals


def total(records: QuerySet[UsageRecord]) -> Totals:
    """Add up rows, in one query."""
    return Totals(**records.aggregate(**FIGURES))


def total_by_key(records: QuerySet[UsageRecord]) -> list[KeyTotals]:
    """Add up rows for each key that has any, in two queries; the key with most tokens is first."""
    # Grouped by the column itself, SQLite walks the index of keys and looks every row up at random: on 200,000 rows
    # twice to four times as long as one pass over the table, which it makes for an expression.
    grouped = records.order_by().annotate(owner=F("key_id") + 0).values("owner").annotate(**FIGURES)
    sums = {row["owner"]: Totals(**{name: row[name] for name in FIGURES}) for row in cast(list[Row], grouped)}
    used = [KeyTotals(key, sums[key.pk]) for key in ApiKey.objects.filter(pk__in=sums)]
    return sorted(used, key=lambda each: (-each.totals.tokens, -each.totals.requests, each.key.pk))


def percent(part: int, whole: int) -> float:
    """Return a part of a hundred; of nothing, none."""
    return 100 * part / whole if whole else 0.0
