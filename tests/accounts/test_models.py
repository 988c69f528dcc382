"""accounts.models and accounts.revision: states, revoking, what changed."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import ProtectedError
from django.utils import timezone

from accounts import revision
from accounts.models import ApiKey
from accounts.signals import key_revoked
from tests.accounts.conftest import MakeKey

pytestmark = pytest.mark.django_db
DAY = timedelta(days=1)


@pytest.fixture
def revocations() -> Any:
    """The primary keys that the signal told of."""
    told: list[int] = []

    def listen(key_id: int, **_: Any) -> None:
        told.append(key_id)

    key_revoked.connect(listen)
    yield told
    key_revoked.disconnect(listen)


def test_states_and_their_filters(make_key: MakeKey) -> None:
    now = timezone.now()
    rows = {
        "active": [make_key()[1], make_key(expires_at=now + DAY)[1]],
        "expired": [make_key(expires_at=now - DAY)[1]],
        "revoked": [make_key(revoked_at=now)[1], make_key(expires_at=now - DAY, revoked_at=now)[1]],
    }
    for state, keys_of_it in rows.items():
        assert [key.state for key in keys_of_it] == [state] * len(keys_of_it)
        assert set(getattr(ApiKey.objects.all(), state)()) == set(keys_of_it)


@pytest.mark.parametrize("delete", [lambda key: key.delete(), lambda key: ApiKey.objects.filter(pk=key.pk).delete()])
def test_a_key_can_not_be_deleted(delete: Any, make_key: MakeKey) -> None:
    _, key = make_key()
    with pytest.raises(ProtectedError, match="revoked, never deleted"):
        delete(key)
    assert ApiKey.objects.count() == 1


def test_a_key_outlives_its_owner(make_key: MakeKey) -> None:
    owner = User.objects.create_user("alice")
    _, key = make_key(owner=owner)
    owner.delete()
    key.refresh_from_db()
    assert key.owner is None


def test_revoking_happens_once(make_key: MakeKey) -> None:
    _, key = make_key()
    assert key.revoke()
    first = key.revoked_at
    assert first is not None
    assert not key.revoke()
    assert key.revoked_at == first


@pytest.mark.django_db(transaction=True)
def test_revoking_tells_this_process_once_and_only_when_committed(make_key: MakeKey, revocations: list[int]) -> None:
    _, key = make_key()
    with transaction.atomic():
        key.revoke()
        assert revocations == []
    assert revocations == [key.pk]
    key.revoke()
    assert revocations == [key.pk]


@pytest.mark.django_db(transaction=True)
def test_a_listener_that_raises_does_not_undo_a_revocation(make_key: MakeKey, caplog: pytest.LogCaptureFixture) -> None:
    def listen(**_: Any) -> None:
        raise RuntimeError("listener")

    _, key = make_key()
    key_revoked.connect(listen)
    try:
        key.revoke()
    finally:
        key_revoked.disconnect(listen)
    assert ApiKey.objects.get().state == "revoked"


def test_saving_a_row_read_before_does_not_take_a_revocation_back(make_key: MakeKey) -> None:
    _, key = make_key()
    stale = ApiKey.objects.get(pk=key.pk)
    key.revoke()
    ApiKey.objects.update(last_used_at=timezone.now())
    stale.name = "Renamed"
    stale.save()
    key.refresh_from_db()
    assert (key.name, key.state) == ("Renamed", "revoked")
    assert key.last_used_at is not None


def test_every_change_raises_the_revision(make_key: MakeKey) -> None:
    assert revision.current() == 0
    _, key = make_key()
    assert revision.current() == 1
    key.save()
    assert revision.current() == 2
    key.revoke()
    assert revision.current() == 3


def test_a_change_that_fails_does_not_raise_the_revision(make_key: MakeKey) -> None:
    _, key = make_key()
    with pytest.raises(IntegrityError):
        ApiKey(name="Same id", public_id=key.public_id).save()
    assert revision.current() == 1


def test_the_revoked_among_some_keys(make_key: MakeKey) -> None:
    (_, first), (_, second), (_, third) = make_key(), make_key(), make_key()
    second.revoke()
    third.revoke()
    assert revision.revoked_among([first.pk, second.pk]) == [second.pk]
    assert revision.revoked_among([]) == []


def test_looking_costs_one_query(make_key: MakeKey, django_assert_num_queries: Any) -> None:
    _, key = make_key()
    with django_assert_num_queries(1):
        revision.current()
    with django_assert_num_queries(1):
        revision.revoked_among([key.pk])


@pytest.mark.parametrize("name", ["", "  ", "two\nlines", "bell\x07", "nul\x00", "a" * 81])
def test_a_name_must_be_fit_to_show(name: str) -> None:
    with pytest.raises(ValidationError) as caught:
        ApiKey(name=name, digest="x").full_clean()
    assert list(caught.value.message_dict) == ["name"]


@pytest.mark.parametrize("field", ["requests_per_minute", "max_sessions"])
def test_limits_start_at_one(field: str) -> None:
    with pytest.raises(ValidationError) as caught:
        ApiKey(name="Test", digest="x", **{field: 0}).full_clean()
    assert caught.value.message_dict == {field: ["Give 1 or more, or nothing for no limit."]}
