"""accounts.tokens: short-lived credentials for web pages."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.db import connection
from django.utils import timezone

from accounts.authentication import Caller, authenticate
from accounts.errors import AccountError
from accounts.models import ApiKey, Token
from accounts.tokens import mint, playground_key
from tests.accounts.conftest import MakeKey

pytestmark = pytest.mark.django_db
TEN_MINUTES = timedelta(minutes=10)


@pytest.fixture
def alice(db: None) -> User:
    return User.objects.create_user("alice", is_staff=True)


def caller_of(key: ApiKey) -> Caller:
    return Caller.from_rows(key, None)


def refusal(parent: Caller | User | AnonymousUser, **wishes: Any) -> tuple[str, str | None]:
    with pytest.raises(AccountError) as caught:
        mint(parent, **wishes)
    assert not Token.objects.exists()
    return caught.value.code, caught.value.param


def test_a_token_lasts_ten_minutes_unless_told_otherwise(make_key: MakeKey) -> None:
    _, key = make_key()
    before = timezone.now()
    _, token = mint(caller_of(key))
    assert before + TEN_MINUTES <= token.expires_at <= timezone.now() + TEN_MINUTES
    assert mint(caller_of(key), ttl_s=86400)[1].expires_at > before + timedelta(hours=23)


@pytest.mark.parametrize("ttl_s", [0, -1, 86401])
def test_no_token_lasts_longer_than_a_day(ttl_s: int, make_key: MakeKey) -> None:
    assert refusal(caller_of(make_key()[1]), ttl_s=ttl_s) == ("invalid_field", "ttl_s")


def test_a_token_ends_no_later_than_its_key(make_key: MakeKey) -> None:
    end = timezone.now() + timedelta(seconds=60)
    _, key = make_key(expires_at=end)
    assert mint(caller_of(key))[1].expires_at == end


def test_a_token_may_be_narrower_than_its_key(make_key: MakeKey) -> None:
    _, key = make_key(
        tasks=["chat", "translation"], models=["a", "b"], origins=["https://a.example", "https://b.example"]
    )
    text, _ = mint(caller_of(key), tasks=["chat"], models=["b"], origin="https://A.example:443")
    caller = authenticate(text)
    assert (caller.tasks, caller.models, caller.origins) == ({"chat"}, {"b"}, {"https://a.example"})


def test_a_token_asked_for_nothing_narrower_is_as_wide_as_its_key(make_key: MakeKey) -> None:
    _, key = make_key(tasks=["chat"], models=["a"], origins=["https://a.example"])
    caller = authenticate(mint(caller_of(key))[0])
    assert (caller.tasks, caller.models, caller.origins) == ({"chat"}, {"a"}, {"https://a.example"})


@pytest.mark.parametrize(
    ("wish", "code"),
    [
        ({"tasks": ["translation"]}, "forbidden_task"),
        ({"models": ["a", "b"]}, "forbidden_model"),
        ({"origin": "https://b.example"}, "forbidden_origin"),
    ],
)
def test_no_token_is_wider_than_its_key(wish: dict[str, Any], code: str, make_key: MakeKey) -> None:
    _, key = make_key(tasks=["chat"], models=["a"], origins=["https://a.example"])
    assert refusal(caller_of(key), **wish)[0] == code


@pytest.mark.parametrize(("param", "value"), [("tasks", ["chta"]), ("models", ["a b"]), ("origin", "a.example")])
def test_what_can_not_be_read_is_named(param: str, value: Any, make_key: MakeKey) -> None:
    assert refusal(caller_of(make_key()[1]), **{param: value}) == ("invalid_field", param)


def test_a_token_makes_no_tokens(make_key: MakeKey) -> None:
    text, token = mint(caller_of(make_key()[1]))
    with pytest.raises(AccountError) as caught:
        mint(authenticate(text))
    assert caught.value.code == "key_required"
    assert list(Token.objects.all()) == [token]


def test_tokens_long_expired_are_dropped(make_key: MakeKey) -> None:
    _, key = make_key()
    _, old = mint(caller_of(key))
    _, recent = mint(caller_of(key))
    Token.objects.filter(pk=old.pk).update(expires_at=timezone.now() - timedelta(hours=25))
    Token.objects.filter(pk=recent.pk).update(expires_at=timezone.now() - timedelta(hours=23))
    _, new = mint(caller_of(key))
    assert set(Token.objects.all()) == {recent, new}


def test_a_users_page_gets_tokens_of_one_key_of_its_own(alice: User) -> None:
    text, _ = mint(alice)
    mint(alice)
    key = ApiKey.objects.get()
    assert (key.name, key.owner, key.is_playground) == ("Playground of alice", alice, True)
    assert authenticate(text).key_id == key.pk


def test_a_revoked_playground_key_stays_revoked_and_the_next_visit_makes_another(alice: User) -> None:
    text, token = mint(alice)
    token.key.revoke()
    with pytest.raises(AccountError) as caught:
        authenticate(text)
    assert caught.value.code == "revoked_key"
    assert mint(alice)[1].key_id != token.key_id


@pytest.mark.parametrize("fields", [{"is_staff": False}, {"is_staff": True, "is_active": False}])
def test_only_active_staff_get_tokens_without_a_key(fields: dict[str, bool]) -> None:
    user = User.objects.create_user("bob", **fields)
    assert refusal(user) == ("sign_in_required", None)
    assert not ApiKey.objects.exists()


def test_nobody_signed_in_gets_no_token() -> None:
    assert refusal(AnonymousUser()) == ("sign_in_required", None)


def test_a_long_user_name_still_makes_a_key() -> None:
    mint(User.objects.create_user("a" * 150, is_staff=True))
    assert len(ApiKey.objects.get().name) == 80


@pytest.mark.django_db(transaction=True)
def test_two_tabs_at_the_same_moment_share_one_playground_key(monkeypatch: pytest.MonkeyPatch) -> None:
    alice = User.objects.create_user("alice", is_staff=True)
    both_looked = threading.Barrier(2, timeout=30)
    make_secret = ApiKey.make_secret

    def make_after_both_looked(key: ApiKey) -> str:
        both_looked.wait()
        return make_secret(key)

    def visit() -> int:
        try:
            return playground_key(alice).pk
        finally:
            connection.close()

    monkeypatch.setattr(ApiKey, "make_secret", make_after_both_looked)
    with ThreadPoolExecutor(2) as tabs:
        found = [visit.result() for visit in [tabs.submit(visit), tabs.submit(visit)]]
    assert found == [ApiKey.objects.get().pk] * 2
