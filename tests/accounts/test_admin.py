"""Keys and tokens in the admin."""

import logging
import re
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.apps import apps
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.utils import timezone

from accounts import keys, tokens
from accounts.authentication import authenticate
from accounts.models import ApiKey
from tests.accounts.conftest import MakeKey

pytestmark = pytest.mark.django_db
LIST = "/admin/accounts/apikey/"
ADD = f"{LIST}add/"
KEY_TEXT = re.compile(r"aister_[0-9A-Za-z]{10}_[0-9A-Za-z]{38}")


@pytest.fixture
def admin(db: None, client: Client) -> User:
    """An administrator, signed in to `client`."""
    user = User.objects.create_superuser("admin")
    client.force_login(user)
    return user


def new_key(**fields: Any) -> dict[str, Any]:
    """What the form for a new key posts."""
    return {"public_id": keys.new_public_id(), "name": "Support page", "lifetime": "", "max_sessions": "100", **fields}


def change(key: ApiKey, **fields: Any) -> dict[str, Any]:
    """What the form of a key posts."""
    return {"name": key.name, "max_sessions": "100", "expires_at_0": "", "expires_at_1": "", **fields}


def use(key: ApiKey, when: datetime, input_tokens: int, output_tokens: int) -> None:
    """Record one request of a key."""
    apps.get_model("inference", "UsageRecord").objects.create(
        request_id=keys.new_public_id(), key=key, task="chat", model="m", transport="http", status="completed",
        started_at=when, input_tokens=input_tokens, output_tokens=output_tokens,
    )  # fmt: skip


def problems(response: Any) -> dict[str, list[str]]:
    """The errors that a form shows."""
    return {field: list(texts) for field, texts in response.context["adminform"].form.errors.items()}


def test_a_new_key_is_shown_once(client: Client, admin: User) -> None:
    response = client.post(ADD, new_key())
    assert response.status_code == 200
    html = response.content.decode()
    texts = set(KEY_TEXT.findall(html))
    assert len(texts) == 1
    text = texts.pop()
    key = ApiKey.objects.get()
    assert authenticate(text).key_id == key.pk
    assert key.owner is None
    assert "You won&#x27;t see this again" in html or "You won't see this again" in html
    assert "no-store" in response["Cache-Control"]
    secret = text[-38:]
    assert not any(secret in morsel.OutputString() for morsel in response.cookies.values())
    assert secret not in str(dict(client.session.items()))
    for page in (LIST, f"{LIST}{key.pk}/change/", f"{LIST}{key.pk}/history/", f"{LIST}{key.pk}/revoke/", "/admin/"):
        later = client.get(page)
        assert later.status_code == 200
        assert secret[:-6] not in later.content.decode()
        assert key.digest not in later.content.decode()
    assert secret[:-6] not in str(list(LogEntry.objects.values()))


def test_a_new_key_is_not_logged(client: Client, admin: User, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    html = client.post(ADD, new_key()).content.decode()
    match = KEY_TEXT.search(html)
    assert match is not None
    assert match[0][-38:-6] not in caplog.text


def test_sending_the_form_again_makes_no_second_key(client: Client, admin: User) -> None:
    form = new_key()
    client.post(ADD, form)
    again = client.post(ADD, form)
    assert again.status_code == 409
    assert "no second key was made" in again.content.decode()
    assert not KEY_TEXT.search(again.content.decode())
    assert ApiKey.objects.count() == 1


def test_each_form_makes_another_key_and_suggests_its_maker_as_owner(client: Client, admin: User) -> None:
    forms = [client.get(ADD).context["adminform"].form for _ in range(2)]
    assert forms[0]["public_id"].value() != forms[1]["public_id"].value()
    assert forms[0]["owner"].value() == admin.pk


def test_the_form_takes_scopes_limits_and_a_lifetime(client: Client, admin: User) -> None:
    before = timezone.now()
    client.post(
        ADD,
        new_key(
            tasks=["translation"],
            models="aister-phrasebook, Qwen/Qwen3-0.6B",
            origins="https://App.example.com\nhttp://localhost:5173/",
            lifetime="30",
            requests_per_minute="60",
            max_sessions="",
            owner=str(admin.pk),
        ),
    )
    key = ApiKey.objects.get()
    assert (key.tasks, key.models) == (["translation"], ["aister-phrasebook", "Qwen/Qwen3-0.6B"])
    assert key.origins == ["https://app.example.com", "http://localhost:5173"]
    assert (key.requests_per_minute, key.max_sessions, key.owner) == (60, None, admin)
    assert key.expires_at is not None
    assert before + timedelta(days=30) <= key.expires_at <= timezone.now() + timedelta(days=30)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"name": ""}, {"name": ["This field is required."]}),
        ({"name": "bell\x07"}, {"name": ["Give a name of letters, digits and signs, without line breaks."]}),
        ({"tasks": ["chta"]}, {"tasks": ["Select a valid choice. chta is not one of the available choices."]}),
        ({"models": "a, b c!"}, {"models": ["'c!' can't be the name of a model. Write it as GET /v1/models does."]}),
        (
            {"origins": "*"},
            {"origins": ["'*' is not an origin. Write one as https://app.example.com, without a path."]},
        ),
        ({"requests_per_minute": "0"}, {"requests_per_minute": ["Give 1 or more, or nothing for no limit."]}),
        ({"lifetime": "7"}, {"lifetime": ["Select a valid choice. 7 is not one of the available choices."]}),
        ({"public_id": "../etc"}, {"public_id": ["Enter a valid value."]}),
        ({"public_id": ""}, {"public_id": ["This field is required."]}),
    ],
)
def test_the_form_says_what_is_wrong(
    fields: dict[str, Any], expected: dict[str, list[str]], client: Client, admin: User
) -> None:
    response = client.post(ADD, new_key(**fields))
    assert problems(response) == expected
    assert not ApiKey.objects.exists()


@pytest.mark.parametrize(
    ("fields", "task", "body"),
    [
        ({}, "chat", '{"messages": [{"role": "user", "text": "Hello!"}]}'),
        ({"tasks": ["translation"]}, "translate", '{"text": "Good morning", "source": "auto", "target": "fr"}'),
        ({"models": "b, a"}, "chat", '{"model": "b", "messages": [{"role": "user", "text": "Hello!"}]}'),
    ],
)
def test_the_curl_line_fits_the_key(fields: dict[str, Any], task: str, body: str, client: Client, admin: User) -> None:
    response = client.post(ADD, new_key(**fields))
    text = response.context["text"]
    assert response.context["curl"] == (
        f"curl http://testserver/v1/{task} \\\n  -H 'Authorization: Bearer {text}' \\\n"
        f"  -H 'Content-Type: application/json' \\\n  -d '{body}'"
    )


def test_an_empty_list_invites_to_make_a_key(client: Client, admin: User) -> None:
    html = client.get(LIST).content.decode()
    assert "Make your first key" in html
    assert f'href="{ADD}"' in html


def test_a_filter_that_finds_nothing_is_no_empty_list(client: Client, admin: User, make_key: MakeKey) -> None:
    make_key()
    assert "Make your first key" not in client.get(LIST, {"state": "revoked"}).content.decode()


def test_the_list_shows_masked_ids_and_states(client: Client, admin: User, make_key: MakeKey) -> None:
    make_key(name="Works")
    make_key(name="Over", expires_at=timezone.now())
    _, gone = make_key(name="Gone", revoked_at=timezone.now())
    html = client.get(LIST).content.decode()
    assert f"<code>{gone.masked}</code>" in html
    for state in ("active", "expired", "revoked"):
        assert f'<span class="key-state key-state-{state}">{state.capitalize()}</span>' in html


@pytest.mark.parametrize(("state", "name"), [("active", "Works"), ("expired", "Over"), ("revoked", "Gone")])
def test_the_list_can_be_filtered_by_state(
    state: str, name: str, client: Client, admin: User, make_key: MakeKey
) -> None:
    make_key(name="Works")
    make_key(name="Over", expires_at=timezone.now())
    make_key(name="Gone", revoked_at=timezone.now())
    rows = client.get(LIST, {"state": state}).context["cl"].result_list
    assert [key.name for key in rows] == [name]


def test_the_list_finds_a_key_by_its_id(client: Client, admin: User, make_key: MakeKey) -> None:
    make_key()
    _, key = make_key()
    assert list(client.get(LIST, {"q": key.public_id}).context["cl"].result_list) == [key]


def test_the_list_asks_as_often_for_many_keys_as_for_one(
    client: Client, admin: User, make_key: MakeKey, django_assert_num_queries: Any, django_assert_max_num_queries: Any
) -> None:
    make_key(owner=admin)
    client.get(LIST)
    with django_assert_max_num_queries(10) as first:
        client.get(LIST)
    for number in range(5):
        make_key(owner=User.objects.create_user(f"user{number}"))
    with django_assert_num_queries(len(first)):
        client.get(LIST)


def test_a_key_can_be_changed_and_its_revision_follows(client: Client, admin: User, make_key: MakeKey) -> None:
    text, key = make_key(tasks=["chat"], origins=["https://a.example"])
    response = client.post(f"{LIST}{key.pk}/change/", change(key, name="New name", tasks=["translation"], origins=""))
    assert response.status_code == 302
    changed = ApiKey.objects.get()
    assert (changed.name, changed.tasks, changed.origins) == ("New name", ["translation"], [])
    assert changed.revision > key.revision
    assert authenticate(text).tasks == {"translation"}


def test_a_revoked_key_can_only_be_read(client: Client, admin: User, make_key: MakeKey) -> None:
    _, key = make_key(models=["a", "b"])
    key.revoke()
    html = client.get(f"{LIST}{key.pk}/change/").content.decode()
    assert 'name="_save"' not in html
    assert f"/admin/accounts/apikey/{key.pk}/revoke/" not in html
    assert "a, b" in html
    assert client.post(f"{LIST}{key.pk}/change/", change(key, name="New name")).status_code == 403


def test_a_playground_key_keeps_its_owner(client: Client, admin: User) -> None:
    key = tokens.playground_key(admin)
    client.post(f"{LIST}{key.pk}/change/", change(key, owner=""))
    key.refresh_from_db()
    assert key.owner == admin


def test_revoking_asks_first(client: Client, admin: User, make_key: MakeKey) -> None:
    _, key = make_key(name="Support page")
    html = client.get(f"{LIST}{key.pk}/revoke/").content.decode()
    assert "Revoke this API key?" in html
    assert "Support page" in html
    key.refresh_from_db()
    assert key.state == "active"


def test_revoking_is_done_told_and_kept_in_the_history(client: Client, admin: User, make_key: MakeKey) -> None:
    _, key = make_key(name="Support page")
    response = client.post(f"{LIST}{key.pk}/revoke/", {"confirmed": "yes"}, follow=True)
    key.refresh_from_db()
    assert key.state == "revoked"
    assert "Revoked “Support page”. Sessions close within a second." in response.content.decode()
    assert LogEntry.objects.get().get_change_message() == "Revoked."


def test_revoking_again_changes_nothing(client: Client, admin: User, make_key: MakeKey) -> None:
    _, key = make_key()
    key.revoke()
    response = client.post(f"{LIST}{key.pk}/revoke/", {"confirmed": "yes"}, follow=True)
    assert "Nothing to revoke: that was done before." in response.content.decode()
    assert not LogEntry.objects.exists()


def test_ticked_keys_are_revoked_after_asking(client: Client, admin: User, make_key: MakeKey) -> None:
    chosen = [make_key()[1], make_key()[1]]
    _, other = make_key()
    action = {"action": "revoke_selected", "_selected_action": [str(key.pk) for key in chosen]}
    asked = client.post(LIST, action)
    assert "Revoke these API keys?" in asked.content.decode()
    assert not ApiKey.objects.revoked().exists()
    client.post(LIST, {**action, "confirmed": "yes"})
    assert set(ApiKey.objects.revoked()) == set(chosen)
    assert other not in ApiKey.objects.revoked()


def test_nothing_deletes_a_key(client: Client, admin: User, make_key: MakeKey) -> None:
    _, key = make_key()
    assert client.post(f"{LIST}{key.pk}/delete/", {"post": "yes"}).status_code == 403
    client.post(LIST, {"action": "delete_selected", "_selected_action": [str(key.pk)], "post": "yes"})
    assert ApiKey.objects.count() == 1


@pytest.mark.parametrize("path", [ADD, f"{LIST}{{}}/revoke/", f"{LIST}{{}}/change/"])
def test_who_may_only_look_makes_and_revokes_nothing(path: str, client: Client, make_key: MakeKey) -> None:
    _, key = make_key()
    viewer = User.objects.create_user("viewer", is_staff=True)
    viewer.user_permissions.add(Permission.objects.get(codename="view_apikey"))
    client.force_login(viewer)
    assert client.get(LIST).status_code == 200
    assert client.post(path.format(key.pk), new_key()).status_code == 403
    assert [row.state for row in ApiKey.objects.all()] == ["active"]


def test_who_is_not_signed_in_is_sent_to_sign_in(client: Client, make_key: MakeKey) -> None:
    _, key = make_key()
    response = client.post(f"{LIST}{key.pk}/revoke/", {"confirmed": "yes"})
    assert response["Location"].startswith("/admin/login/")
    key.refresh_from_db()
    assert key.state == "active"


def test_revoking_a_key_that_is_not_there_is_404(client: Client, admin: User) -> None:
    assert client.get(f"{LIST}99/revoke/").status_code == 404


def test_tokens_can_only_be_looked_at(client: Client, admin: User) -> None:
    text, token = tokens.mint(admin, tasks=["chat"], origin="https://a.example")
    pages = ["/admin/accounts/token/", f"/admin/accounts/token/{token.pk}/change/"]
    for page in pages:
        html = client.get(page).content.decode()
        assert str(token) in html
        assert "https://a.example" in html
        assert token.digest not in html
        assert text[-38:-6] not in html
    assert client.post(pages[1], {"origin": ""}).status_code == 403
    assert client.get("/admin/accounts/token/add/").status_code == 403


def test_pages_run_no_inline_script_of_ours(client: Client, admin: User, make_key: MakeKey) -> None:
    _, key = make_key()
    for response in (client.post(ADD, new_key()), client.get(f"{LIST}{key.pk}/revoke/")):
        html = response.content.decode()
        assert "accounts/admin.js" in html
        content = html[html.index('<div class="key-page">') :]
        assert "<script" not in content
        assert "style=" not in content


def test_the_list_adds_up_usage(client: Client, admin: User, make_key: MakeKey) -> None:
    _, used = make_key(name="Used")
    make_key(name="Unused")
    use(used, timezone.now(), 1000, 234)
    use(used, timezone.now() - timedelta(days=2), 10, 5)
    rows = {key.name: key for key in client.get(LIST).context["cl"].result_list}
    totals = {name: (key.requests_total, key.requests_today, key.tokens_total) for name, key in rows.items()}
    assert totals == {"Used": (2, 1, 1249), "Unused": (0, 0, 0)}
    assert '<td class="field-tokens">1,249</td>' in client.get(LIST).content.decode()
