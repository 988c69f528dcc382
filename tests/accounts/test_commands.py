"""`manage.py keys` and `manage.py signin`."""

import re
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.core.management.base import CommandError
from django.test import override_settings
from django.utils import timezone

from accounts import sign_in
from accounts.authentication import authenticate
from accounts.models import ApiKey
from aister_site.configuration import Configuration
from tests.accounts.conftest import MakeKey

pytestmark = pytest.mark.django_db


def run(*arguments: str) -> str:
    """Run a command and return what it printed."""
    out = StringIO()
    call_command(*arguments, stdout=out)
    return out.getvalue()


def fail(*arguments: str) -> tuple[str, int]:
    """Run a command that fails; return its message and exit status."""
    with pytest.raises(CommandError) as caught:
        run(*arguments)
    return str(caught.value), caught.value.returncode


def test_create_prints_the_key_and_how_to_take_it_back() -> None:
    lines = run("keys", "create", "Support page").splitlines()
    key = ApiKey.objects.get()
    assert authenticate(lines[0]).key_id == key.pk
    assert lines[1:] == [
        "",
        "This key is shown only now. Programs send it as 'Authorization: Bearer <key>'.",
        f"To take it back: python manage.py keys revoke {key.public_id}",
    ]


def test_create_quietly_prints_nothing_but_the_key() -> None:
    printed = run("keys", "create", "Support page", "--quiet")
    assert printed.count("\n") == 1
    assert authenticate(printed.strip()).name == "Support page"


def test_create_takes_scopes_limits_expiry_and_owner() -> None:
    alice = User.objects.create_user("alice")
    before = timezone.now()
    scopes = ["--tasks", "chat, translation", "--models", "aister-guide,Qwen/Qwen3-0.6B"]
    origins = ["--origins", "https://App.example.com:443,http://localhost:5173"]
    rest = ["--owner", "alice", "--expires", "90d", "--requests-per-minute", "60"]
    run("keys", "create", "Page", *scopes, *origins, *rest)
    key = ApiKey.objects.get()
    assert key.owner == alice
    assert key.tasks == ["chat", "translation"]
    assert key.models == ["aister-guide", "Qwen/Qwen3-0.6B"]
    assert key.origins == ["https://app.example.com", "http://localhost:5173"]
    assert (key.requests_per_minute, key.max_sessions) == (60, 100)
    assert key.expires_at is not None
    assert before + timedelta(days=90) <= key.expires_at <= timezone.now() + timedelta(days=90)


@pytest.mark.parametrize(
    ("text", "span"), [("12h", timedelta(hours=12)), ("1d", timedelta(days=1)), ("52w", timedelta(weeks=52))]
)
def test_expiry_is_in_hours_days_or_weeks(text: str, span: timedelta) -> None:
    before = timezone.now()
    run("keys", "create", "Page", "--expires", text)
    end = ApiKey.objects.get().expires_at
    assert end is not None
    assert before + span <= end <= timezone.now() + span


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--tasks", "chta"], "--tasks: 'chta' is not a task. Tasks are chat, translation."),
        (["--models", "a b"], "--models: 'a b' can't be the name of a model. Write it as GET /v1/models does."),
        (
            ["--origins", "a.example"],
            "--origins: 'a.example' is not an origin. Write one as https://app.example.com, without a path.",
        ),
        (["--expires", "soon"], "--expires: 'soon' is no time span. Write 12h, 90d or 52w."),
        (["--expires", "0d"], "--expires: '0d' is no time span. Write 12h, 90d or 52w."),
        (["--requests-per-minute", "0"], "requests_per_minute: Give 1 or more, or nothing for no limit."),
        (["--owner", "nobody"], "--owner: there is no user 'nobody'."),
    ],
)
def test_create_says_what_is_wrong_in_one_line(options: list[str], message: str) -> None:
    assert fail("keys", "create", "Page", *options) == (message, 2)
    assert not ApiKey.objects.exists()


@pytest.mark.parametrize("name", ["", "two\nlines"])
def test_create_refuses_a_name_that_can_not_be_shown(name: str) -> None:
    message, status = fail("keys", "create", name)
    assert message.startswith("name: ")
    assert ("\n" in message, status) == (False, 2)


def test_list_shows_states_and_no_secrets(make_key: MakeKey) -> None:
    alice = User.objects.create_user("alice")
    text, active = make_key(name="Active", owner=alice, last_used_at=timezone.now().replace(2026, 1, 2, 3, 4))
    _, revoked = make_key(name="Revoked", revoked_at=timezone.now())
    printed = run("keys", "list")
    rows = [re.split(r"\s{2,}", line) for line in printed.splitlines()]
    assert rows == [
        ["KEY", "NAME", "STATE", "LAST USED (UTC)", "OWNER"],
        [revoked.masked, "Revoked", "revoked", "never", "-"],
        [active.masked, "Active", "active", "2026-01-02 03:04", "alice"],
    ]
    assert text not in printed


def test_list_asks_the_database_once(make_key: MakeKey, django_assert_num_queries: Any) -> None:
    for number in range(5):
        make_key(owner=User.objects.create_user(f"user{number}"))
    with django_assert_num_queries(1):
        run("keys", "list")


def test_list_without_keys_says_how_to_make_one() -> None:
    assert run("keys", "list") == "No keys yet. Make one: python manage.py keys create NAME\n"


@pytest.mark.parametrize("form", ["{0}", "aister_{0}", "aister_{0}_…", "aister_{0}_whole-key-pasted"])
def test_revoke_takes_an_id_however_it_is_written(form: str, make_key: MakeKey) -> None:
    _, key = make_key(name="Page")
    printed = run("keys", "revoke", form.format(key.public_id))
    assert printed == f"Revoked {key.masked} (Page). Its sessions close within a second.\n"
    key.refresh_from_db()
    assert key.state == "revoked"


def test_revoke_twice_says_when_it_was(make_key: MakeKey) -> None:
    _, key = make_key(name="Page")
    key.revoke()
    assert (
        run("keys", "revoke", key.public_id)
        == f"{key.masked} (Page) was revoked before, at {key.revoked_at:%Y-%m-%d %H:%M} UTC.\n"
    )


@pytest.mark.parametrize("text", ["abcDEF0123", "nonsense", "aister_abcDEF0123_secret"])
def test_revoking_no_key_fails_and_repeats_nothing(text: str) -> None:
    assert fail("keys", "revoke", text) == ("There is no such key. 'python manage.py keys list' shows the ids.", 2)


def test_signin_prints_a_link_for_the_first_administrator() -> None:
    User.objects.create_user("alice", is_staff=True)
    admin = User.objects.create_superuser("root")
    link, note = run("signin").splitlines()
    url, code = link.split("#")
    assert url == f"{sign_in.site_url()}/sign-in"
    assert note == "Signs in root, once, within 10 minutes."
    assert sign_in.redeem(code) == admin


def test_signin_takes_a_user_and_an_address() -> None:
    alice = User.objects.create_user("alice", is_staff=True)
    link = run("signin", "alice", "--url", "http://127.0.0.1:9/").splitlines()[0]
    url, code = link.split("#")
    assert (url, sign_in.redeem(code)) == ("http://127.0.0.1:9/sign-in", alice)


def test_signin_needs_a_user_who_may() -> None:
    assert fail("signin") == (
        "There is no administrator yet. Start the server once, or run 'python manage.py createsuperuser'.",
        1,
    )
    assert fail("signin", "bob") == ("There is no user 'bob'.", 2)
    User.objects.create_user("bob", is_active=False)
    assert fail("signin", "bob") == ("The user 'bob' is not active.", 2)


def test_signin_needs_an_address_when_the_port_is_free() -> None:
    User.objects.create_superuser("root")
    with override_settings(CONFIGURATION=Configuration({"PORT": "0"})):
        assert fail("signin") == (
            "PORT is 0, so the server's address is not known. Give it: --url http://127.0.0.1:<port>",
            2,
        )
