"""The page that a sign-in link opens."""

import logging
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from accounts import sign_in, throttling
from accounts.models import SignInCode
from accounts.throttling import FailedAttempts

pytestmark = pytest.mark.django_db


@pytest.fixture
def admin(db: None) -> User:
    return User.objects.create_superuser("admin")


def test_the_page_opens_and_runs_no_inline_script(client: Client) -> None:
    response = client.get("/sign-in")
    assert response.status_code == 200
    html = response.content.decode()
    assert "python manage.py signin" in html
    assert html.count("<script") == html.count("<script src=") == 1
    assert "style=" not in html
    assert "<style" not in html
    policy = response["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "no-store" in response["Cache-Control"]


def test_a_code_signs_in_and_leads_to_the_playground(client: Client, admin: User) -> None:
    response = client.post("/sign-in", {"code": f" {sign_in.issue(admin)} "})
    assert (response.status_code, response["Location"]) == (302, "/")
    assert client.session["_auth_user_id"] == str(admin.pk)


def test_the_admin_then_suggests_a_password(client: Client, admin: User) -> None:
    client.post("/sign-in", {"code": sign_in.issue(admin)})
    html = client.get("/admin/").content.decode()
    assert f'<a href="/admin/auth/user/{admin.pk}/password/">Set a password</a>' in html
    assert client.get(f"/admin/auth/user/{admin.pk}/password/").status_code == 200


def test_who_has_a_password_gets_no_suggestion(client: Client, admin: User) -> None:
    admin.set_password("correct horse")
    admin.save()
    client.post("/sign-in", {"code": sign_in.issue(admin)})
    assert "Set a password" not in client.get("/admin/").content.decode()


def test_a_code_works_once(client: Client, admin: User) -> None:
    code = sign_in.issue(admin)
    client.post("/sign-in", {"code": code})
    other = Client()
    response = other.post("/sign-in", {"code": code})
    assert response.status_code == 403
    assert "This sign-in link has been used already. Each works once." in response.content.decode()
    assert "python manage.py signin" in response.content.decode()
    assert "_auth_user_id" not in other.session


def test_an_expired_code_says_so(client: Client, admin: User) -> None:
    code = sign_in.issue(admin)
    SignInCode.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    response = client.post("/sign-in", {"code": code})
    assert response.status_code == 403
    assert "This sign-in link is older than 10 minutes." in response.content.decode()


@pytest.mark.parametrize("data", [{}, {"code": ""}, {"code": "wrong"}])
def test_an_unknown_code_says_so(data: dict[str, str], client: Client) -> None:
    response = client.post("/sign-in", data)
    assert response.status_code == 403
    assert "This sign-in code is not known." in response.content.decode()


def test_who_guesses_codes_waits_and_who_has_one_does_not(
    client: Client, admin: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(throttling, "codes", FailedAttempts(1))
    code = sign_in.issue(admin)
    assert [client.post("/sign-in", {"code": "wrong"}).status_code for _ in range(2)] == [403, 429]
    throttled = client.post("/sign-in", {"code": "wrong"})
    assert "Too many failed attempts from your address. Try again in " in throttled.content.decode()
    assert 1 <= int(throttled["Retry-After"]) <= 60
    assert client.post("/sign-in", {"code": code}).status_code == 302
    assert [client.post("/sign-in", {"code": code}).status_code for _ in range(20)] == [403] * 20


def test_codes_are_not_looked_up_for_ever(
    client: Client, admin: User, monkeypatch: pytest.MonkeyPatch, django_assert_num_queries: Any
) -> None:
    monkeypatch.setattr(throttling, "codes", FailedAttempts(1))
    code = sign_in.issue(admin)
    for _ in range(10):
        client.post("/sign-in", {"code": "wrong"})
    with django_assert_num_queries(0):
        assert client.post("/sign-in", {"code": code}).status_code == 429
    assert client.post("/sign-in", {"code": code}, REMOTE_ADDR="198.51.100.7").status_code == 302


def test_signing_in_demands_csrf(admin: User) -> None:
    code = sign_in.issue(admin)
    assert Client(enforce_csrf_checks=True).post("/sign-in", {"code": code}).status_code == 403
    assert sign_in.redeem(code) == admin


def test_other_methods_are_refused(client: Client) -> None:
    assert client.put("/sign-in").status_code == 405


def test_a_code_is_never_shown_or_logged(client: Client, admin: User, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    code = sign_in.issue(admin)
    client.post("/sign-in", {"code": code})
    again = client.post("/sign-in", {"code": code})
    assert code not in again.content.decode()
    assert code not in caplog.text
