"""accounts.authentication: from a text to a caller, or to the error that says why not."""

import hmac
import logging
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import OperationalError
from django.db.models import QuerySet
from django.db.models.signals import post_init
from django.utils import timezone

from accounts import authentication, keys, tokens
from accounts.authentication import authenticate, recognise_async
from accounts.errors import AccountError
from accounts.models import ApiKey
from tests.accounts.conftest import MakeKey

pytestmark = pytest.mark.django_db
MINUTE = timedelta(minutes=1)


def refusal(text: str | None) -> str:
    with pytest.raises(AccountError) as caught:
        authenticate(text)
    return caught.value.code


def token_of(key: ApiKey, **wishes: Any) -> str:
    return tokens.mint(authentication.Caller.from_rows(key, None), **wishes)[0]


def test_a_key_is_recognised(make_key: MakeKey) -> None:
    text, key = make_key(name="Page", tasks=["chat"], origins=["https://a.example"], requests_per_minute=3)
    caller = authenticate(text)
    assert (caller.key_id, caller.public_id, caller.name) == (key.pk, key.public_id, "Page")
    assert (caller.tasks, caller.models, caller.origins) == ({"chat"}, None, {"https://a.example"})
    assert (caller.requests_per_minute, caller.max_sessions) == (3, 100)
    assert (caller.token_id, caller.expires_at) == (None, None)


async def test_a_key_is_recognised_from_the_event_loop() -> None:
    with pytest.raises(AccountError) as caught:
        await recognise_async({"authorization": "Bearer rubbish"}, "198.51.100.7")
    assert caught.value.code == "malformed_key"


def test_no_text_is_a_missing_key() -> None:
    assert refusal(None) == "missing_key"


def test_a_malformed_key_costs_no_query(django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(0):
        assert refusal("aister_abc") == "malformed_key"


@pytest.mark.parametrize("kind", list(keys.Kind))
def test_an_unknown_id_and_a_wrong_secret_are_the_same_error_at_the_same_cost(
    kind: keys.Kind, make_key: MakeKey, django_assert_num_queries: Any
) -> None:
    _, key = make_key()
    public_id = (
        key.public_id if kind is keys.Kind.KEY else tokens.mint(authentication.Caller.from_rows(key, None))[1].public_id
    )
    for guess in (public_id, keys.new_public_id()):
        with django_assert_num_queries(1):
            assert refusal(keys.generate(kind, guess)) == "wrong_key"


@pytest.mark.parametrize("kind", list(keys.Kind))
def test_as_much_is_made_and_compared_for_an_unknown_id_as_for_a_wrong_secret(
    kind: keys.Kind, make_key: MakeKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, key = make_key()
    row = key if kind is keys.Kind.KEY else tokens.mint(authentication.Caller.from_rows(key, None))[1]
    done: list[object] = []

    def compare(given: str, kept: str) -> bool:
        done.append((len(given), len(kept)))
        return hmac.compare_digest(given, kept)

    def note(sender: object, **_: object) -> None:
        done.append(sender)

    monkeypatch.setattr(authentication, "hmac", SimpleNamespace(compare_digest=compare))
    post_init.connect(note)
    try:
        assert refusal(keys.generate(kind, row.public_id)) == "wrong_key"
        for_a_wrong_secret = sorted(map(str, done))
        done.clear()
        assert refusal(keys.generate(kind, keys.new_public_id())) == "wrong_key"
    finally:
        post_init.disconnect(note)
    assert sorted(map(str, done)) == for_a_wrong_secret
    assert (64, 64) in done
    assert ApiKey in done


def test_a_revoked_key_says_so(make_key: MakeKey) -> None:
    text, key = make_key()
    key.revoke()
    assert refusal(text) == "revoked_key"


def test_an_expired_key_says_so(make_key: MakeKey) -> None:
    text, _ = make_key(expires_at=timezone.now())
    assert refusal(text) == "expired_key"


def test_a_key_both_expired_and_revoked_is_revoked(make_key: MakeKey) -> None:
    text, key = make_key(expires_at=timezone.now())
    key.revoke()
    assert refusal(text) == "revoked_key"


def test_who_guesses_does_not_learn_that_a_key_was_revoked(make_key: MakeKey) -> None:
    _, key = make_key()
    key.revoke()
    assert refusal(keys.generate(keys.Kind.KEY, key.public_id)) == "wrong_key"


def test_a_token_is_recognised_as_its_key(make_key: MakeKey) -> None:
    _, key = make_key(requests_per_minute=7, max_sessions=None)
    caller = authenticate(token_of(key, tasks=["chat"]))
    assert (caller.key_id, caller.tasks, caller.requests_per_minute, caller.max_sessions) == (key.pk, {"chat"}, 7, None)
    assert caller.token_id == key.tokens.get().pk
    assert caller.expires_at == key.tokens.get().expires_at


def test_a_token_of_a_revoked_key_is_revoked(make_key: MakeKey) -> None:
    _, key = make_key()
    text = token_of(key)
    key.revoke()
    assert refusal(text) == "revoked_key"


def test_an_expired_token_says_so(make_key: MakeKey) -> None:
    _, key = make_key()
    text = token_of(key)
    key.tokens.update(expires_at=timezone.now())
    assert refusal(text) == "expired_key"


def test_a_token_ends_with_its_key(make_key: MakeKey) -> None:
    _, key = make_key()
    text = token_of(key)
    ApiKey.objects.filter(pk=key.pk).update(expires_at=timezone.now())
    assert refusal(text) == "expired_key"


def test_a_key_made_narrower_narrows_its_tokens(make_key: MakeKey) -> None:
    _, key = make_key()
    text = token_of(key, tasks=["chat"])
    key.tasks = ["translation"]
    key.save()
    caller = authenticate(text)
    assert caller.tasks == frozenset()
    assert not caller.may_use_task("chat")


def test_a_task_out_of_scope_is_refused(make_key: MakeKey) -> None:
    caller = authenticate(make_key(tasks=["translation"])[0])
    caller.check_task("translation")
    with pytest.raises(AccountError) as caught:
        caller.check_task("chat")
    assert (caught.value.code, caught.value.message) == (
        "forbidden_task",
        "This API key may not use the task chat. It may use: translation.",
    )


def test_a_model_out_of_scope_is_refused(make_key: MakeKey) -> None:
    caller = authenticate(make_key(models=["b", "a"])[0])
    caller.check_model("a")
    with pytest.raises(AccountError) as caught:
        caller.check_model("c")
    assert (caught.value.code, caught.value.message, caught.value.param) == (
        "forbidden_model",
        "This API key may not use the model c. It may use: a, b.",
        "model",
    )


def test_a_key_without_scopes_may_use_everything(make_key: MakeKey) -> None:
    caller = authenticate(make_key()[0])
    caller.check_task("chat")
    caller.check_model("any")
    caller.check_origin("https://anywhere.example")


@pytest.mark.parametrize(
    "origin", ["https://b.example", "http://a.example", "https://a.example:8443", "null", "", "https://a.example.evil"]
)
def test_another_origin_is_refused(origin: str, make_key: MakeKey) -> None:
    caller = authenticate(make_key(origins=["https://a.example"])[0])
    with pytest.raises(AccountError) as caught:
        caller.check_origin(origin)
    assert caught.value.code == "forbidden_origin"


@pytest.mark.parametrize("origin", ["https://a.example", None])
def test_the_right_origin_and_none_at_all_pass(origin: str | None, make_key: MakeKey) -> None:
    authenticate(make_key(origins=["https://a.example"])[0]).check_origin(origin)


def test_use_is_noted_once_a_minute(make_key: MakeKey, django_assert_num_queries: Any) -> None:
    text, key = make_key()
    authenticate(text)
    key.refresh_from_db()
    first = key.last_used_at
    assert first is not None
    with django_assert_num_queries(1):
        authenticate(text)
    ApiKey.objects.update(last_used_at=first - MINUTE)
    with django_assert_num_queries(2):
        authenticate(text)
    key.refresh_from_db()
    assert key.last_used_at is not None
    assert key.last_used_at >= first


def test_a_busy_database_refuses_nobody(
    make_key: MakeKey, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    text, key = make_key()

    def busy(*_: object, **__: object) -> int:
        raise OperationalError("database is locked")

    monkeypatch.setattr(QuerySet, "update", busy)
    with caplog.at_level(logging.WARNING):
        assert authenticate(text).key_id == key.pk
        assert authenticate(text).key_id == key.pk  # tries to note it no more for a minute
    assert caplog.messages == [f"Could not note the use of key {key.public_id}: database is locked"]


def test_nothing_kept_or_logged_holds_the_secret(make_key: MakeKey, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    text, key = make_key()
    token = token_of(key)
    authenticate(text)
    authenticate(token)
    for secret in (text, token):
        kept = [*ApiKey.objects.values().get().values(), *key.tokens.values().get().values()]
        assert not any(secret[-38:-6] in str(value) for value in kept)
        assert secret[-38:-6] not in caplog.text
