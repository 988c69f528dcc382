"""accounts.forms: signing in to the admin with a password."""

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from accounts import throttling
from accounts.throttling import PasswordAttempts

PASSWORD = "correct horse"
WRONG = "Please enter the correct username and password for a staff account."
THROTTLED = "Too many failed attempts from your address. Try again in "


@pytest.fixture
def admin(db: None, monkeypatch: pytest.MonkeyPatch) -> User:
    """Somebody with a password; two attempts a minute may fail."""
    monkeypatch.setattr(throttling, "passwords", PasswordAttempts(2))
    return User.objects.create_superuser("admin", password=PASSWORD)


def sign_in(client: Client, username: str = "admin", password: str = "wrong", **extra: Any) -> str:
    """Post the form; return where it leads, or the page."""
    response = client.post("/admin/login/", {"username": username, "password": password, "next": "/"}, **extra)
    return str(response.get("Location", response.content.decode()))


def test_a_password_signs_in_as_often_as_one_likes(client: Client, admin: User) -> None:
    for _ in range(4):
        assert sign_in(client, password=PASSWORD) == "/"


def test_after_some_wrong_ones_a_password_is_not_even_looked_at(
    client: Client, admin: User, django_assert_num_queries: Any
) -> None:
    assert WRONG in sign_in(client)
    assert WRONG in sign_in(client, username="nobody")
    with django_assert_num_queries(0):
        page = sign_in(client, password=PASSWORD)
    assert THROTTLED in page
    assert WRONG not in page
    assert PASSWORD not in page
    assert sign_in(client, password=PASSWORD, REMOTE_ADDR="198.51.100.7") == "/"


def test_a_right_password_of_who_may_not_use_the_admin_counts_as_wrong(client: Client, admin: User) -> None:
    User.objects.create_user("visitor", password=PASSWORD)
    for _ in range(2):
        assert WRONG in sign_in(client, username="visitor", password=PASSWORD)
    assert THROTTLED in sign_in(client, password=PASSWORD)


def test_a_form_that_is_not_filled_in_is_no_attempt(client: Client, admin: User) -> None:
    for _ in range(4):
        assert "This field is required." in sign_in(client, password="")
    assert sign_in(client, password=PASSWORD) == "/"
