"""Whether keys changed since a process last looked, and which of some keys are revoked: one cheap query each.

Any thread with a database connection. Every change of a key raises the counter in the same transaction, and the
counter's row stays locked until that commits: numbers become visible in their order, so who has seen a number has
missed no change below it.
"""

from collections.abc import Iterable

from accounts.models import ApiKey, Revision


def current() -> int:
    """Return the number of the last change, 0 when there was none."""
    return Revision.objects.values_list("number", flat=True).first() or 0


def revoked_among(key_ids: Iterable[int]) -> list[int]:
    """Return those of these primary keys whose keys are revoked."""
    return list(ApiKey.objects.revoked().filter(pk__in=key_ids).values_list("pk", flat=True))
