"""What changed about keys since a process last looked: one cheap query says whether, another says what.

Any thread with a database connection. Every change of a key raises the counter in the same transaction, and the
counter's row stays locked until that commits: numbers become visible in their order, so who has seen a number has
missed no change below it.
"""

from typing import NamedTuple

from accounts.models import ApiKey, Revision


class Change(NamedTuple):
    """A key that was made, changed or revoked; `key_id` is its primary key."""

    key_id: int
    is_revoked: bool


def current() -> int:
    """Return the number of the last change, 0 when there was none."""
    return Revision.objects.values_list("number", flat=True).first() or 0


def changed_since(number: int) -> list[Change]:
    """Return the keys that changed after `number`, oldest change first; each once, as it is now."""
    rows = ApiKey.objects.filter(revision__gt=number).order_by("revision").values_list("pk", "revoked_at")
    return [Change(key_id, revoked_at is not None) for key_id, revoked_at in rows]


def revoked_since(number: int) -> list[int]:
    """Return the primary keys of the keys revoked (or changed when already revoked) after `number`."""
    return [change.key_id for change in changed_since(number) if change.is_revoked]
