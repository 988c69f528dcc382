"""What keys have used, in one query with the keys themselves, through the reverse relation `usage` where some app makes
one.

Its rows have `input_tokens`, `output_tokens` and `started_at`. Any thread with a database connection.
"""

from datetime import datetime
from typing import Any

from django.db.models import Count, F, Model, OuterRef, QuerySet, Subquery, Sum, Value
from django.db.models.functions import Coalesce
from django.utils import timezone

from accounts.models import ApiKey


def annotate(api_keys: QuerySet[ApiKey]) -> QuerySet[ApiKey]:
    """Add `requests_total`, `requests_today` (since midnight, UTC) and `tokens_total` to each key, 0 for none."""
    model = usage_model()
    if model is None:
        return api_keys.annotate(requests_total=Value(0), requests_today=Value(0), tokens_total=Value(0))
    rows = model._default_manager.filter(key=OuterRef("pk")).order_by().values("key")
    today = rows.filter(started_at__gte=midnight())
    tokens = Sum(F("input_tokens") + F("output_tokens"))
    return api_keys.annotate(
        requests_total=total(rows, Count("pk")),
        requests_today=total(today, Count("pk")),
        tokens_total=total(rows, tokens),
    )


def total(rows: QuerySet[Any, Any], aggregate: Any) -> Coalesce:
    """Return one figure over the usage of one key."""
    return Coalesce(Subquery(rows.annotate(figure=aggregate).values("figure")), 0)


def usage_model() -> type[Model] | None:
    """Return the model whose rows refer to keys as `usage`, None when no app has one."""
    relations = {field.name: field.related_model for field in ApiKey._meta.get_fields()}
    related = relations.get("usage")
    return related if isinstance(related, type) else None


def midnight() -> datetime:
    """Return when today began, in UTC."""
    return timezone.now().replace(hour=0, minute=0, second=0, microsecond=0)
