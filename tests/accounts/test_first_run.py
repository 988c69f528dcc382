"""accounts.first_run and accounts.sign_in: what a new database gets, and links that sign people in."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.test import override_settings
from django.utils import timezone

from accounts import first_run, keys, sign_in, tokens
from accounts.authentication import authenticate
from accounts.models import ApiKey, SignInCode
from accounts.sign_in import SignInError
from aister_site.configuration import Configuration

pytestmark = pytest.mark.django_db


@pytest.fixture
def alice(db: None) -> User:
    return User.objects.create_user("alice", is_staff=True)


def test_a_new_database_gets_an_administrator_without_password_and_a_key() -> None:
    text = first_run.prepare()
    admin = User.objects.get()
    assert (admin.username, admin.is_superuser, admin.is_staff, admin.has_usable_password()) == (
        "admin",
        True,
        True,
        False,
    )
    caller = authenticate(text)
    assert (caller.name, caller.tasks, caller.models, caller.origins) == ("First key", None, None, None)
    assert ApiKey.objects.get().owner == admin


def test_the_second_run_makes_nothing() -> None:
    first_run.prepare()
    assert first_run.prepare() is None
    assert (User.objects.count(), ApiKey.objects.count()) == (1, 1)


def test_users_that_are_there_get_no_administrator_beside_them(alice: User) -> None:
    assert first_run.prepare() is not None
    assert list(User.objects.all()) == [alice]
    assert ApiKey.objects.get().owner is None


def test_a_playground_key_is_not_the_first_key(alice: User) -> None:
    tokens.mint(alice)
    assert first_run.prepare() is not None


def test_a_revoked_key_is_not_replaced() -> None:
    first_run.prepare()
    ApiKey.objects.get().revoke()
    assert first_run.prepare() is None


def test_a_code_signs_in_once(alice: User) -> None:
    code = sign_in.issue(alice)
    assert sign_in.redeem(code) == alice
    with pytest.raises(SignInError, match="used"):
        sign_in.redeem(code)


def test_a_code_lasts_ten_minutes(alice: User) -> None:
    before = timezone.now()
    code = sign_in.issue(alice)
    row = SignInCode.objects.get()
    assert before + timedelta(minutes=10) <= row.expires_at <= timezone.now() + timedelta(minutes=10)
    SignInCode.objects.update(expires_at=timezone.now())
    with pytest.raises(SignInError, match="expired"):
        sign_in.redeem(code)


@pytest.mark.parametrize("code", ["", "a" * 43, "\x00", "é"])
def test_an_unknown_code_signs_nobody_in(code: str, alice: User) -> None:
    sign_in.issue(alice)
    with pytest.raises(SignInError, match="unknown"):
        sign_in.redeem(code)


def test_a_user_deactivated_since_is_not_signed_in(alice: User) -> None:
    code = sign_in.issue(alice)
    alice.is_active = False
    alice.save()
    with pytest.raises(SignInError, match="inactive"):
        sign_in.redeem(code)


def test_a_code_is_kept_as_a_digest_only(alice: User) -> None:
    code = sign_in.issue(alice)
    assert SignInCode.objects.get().digest == keys.digest(code)
    assert code not in str(SignInCode.objects.values().get())


def test_old_codes_are_dropped(alice: User) -> None:
    sign_in.issue(alice)
    SignInCode.objects.update(expires_at=timezone.now() - timedelta(minutes=11))
    sign_in.issue(alice)
    assert SignInCode.objects.count() == 1


def test_the_code_stands_in_the_fragment() -> None:
    assert sign_in.link("http://127.0.0.1:8000/", "abc") == "http://127.0.0.1:8000/sign-in#abc"


@pytest.mark.parametrize(
    ("environment", "url"),
    [
        ({}, "http://127.0.0.1:8000"),
        ({"HOST": "0.0.0.0", "PORT": "9"}, "http://127.0.0.1:9"),
        ({"HOST": "::"}, "http://[::1]:8000"),
        ({"HOST": "models.lan"}, "http://models.lan:8000"),
        ({"AISTER_URL": "https://models.example.com", "PORT": "0"}, "https://models.example.com"),
        ({"PORT": "0"}, ""),
    ],
)
def test_the_address_follows_the_settings(environment: dict[str, str], url: str) -> None:
    with override_settings(CONFIGURATION=Configuration(environment)):
        assert sign_in.site_url() == url
