"""`POST /v1/tokens`: what a page holds instead of a key."""

import re
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.live import Server
from tests.server.admin import Admin
from tests.server.client import http
from tests.server.test_http import QUESTION, error

TOKEN = re.compile(r"aistertok_[0-9A-Za-z]{10}_[0-9A-Za-z]{38}")


def test_a_key_mints_a_token_that_works_in_its_place(live: Server) -> None:
    with http(live) as client:
        minted = client.post("/v1/tokens")
    body = minted.json()
    left_s = (datetime.fromisoformat(body.pop("expires_at")) - datetime.now(UTC)).total_seconds()
    assert minted.status_code == 201
    assert minted.headers["cache-control"] == "no-store"
    assert TOKEN.fullmatch(body.pop("token"))
    assert body == {"tasks": None, "models": None}
    assert 500 < left_s <= 600
    with http(live, {"Authorization": f"Bearer {minted.json()['token']}"}) as client:
        assert client.post("/v1/chat", json={"messages": QUESTION}).status_code == 200


def test_a_token_is_as_narrow_as_was_asked(live: Server) -> None:
    wanted = {"tasks": ["chat"], "models": ["aister-guide"], "origin": "https://app.example.com", "expires_in_s": 60}
    with http(live) as client:
        body = client.post("/v1/tokens", json=wanted).json()
    assert (body["tasks"], body["models"]) == (["chat"], ["aister-guide"])
    with http(live, {"Authorization": f"Bearer {body['token']}"}) as client:
        translation = client.post("/v1/translate", json={"text": "Hi", "target": "fr"})
        elsewhere = client.post("/v1/chat", json={"messages": QUESTION}, headers={"Origin": "https://b.example"})
        here = client.post("/v1/chat", json={"messages": QUESTION}, headers={"Origin": wanted["origin"]})
    assert error(translation) == (403, "forbidden_task", None)
    assert error(elsewhere) == (403, "forbidden_origin", None)
    assert here.status_code == 200


def test_a_token_makes_no_tokens(live: Server) -> None:
    with http(live) as client:
        token = client.post("/v1/tokens").json()["token"]
    with http(live, {"Authorization": f"Bearer {token}"}) as client:
        assert error(client.post("/v1/tokens")) == (403, "key_required", None)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"tasks": ["translate"]}, (400, "invalid_field", "tasks")),
        ({"tasks": "chat"}, (400, "invalid_field", "tasks")),
        ({"models": ["no such model!"]}, (400, "invalid_field", "models")),
        ({"origin": "app.example.com"}, (400, "invalid_field", "origin")),
        ({"origin": "https://app.example.com/page"}, (400, "invalid_field", "origin")),
        ({"expires_in_s": 9}, (400, "invalid_field", "expires_in_s")),
        ({"expires_in_s": 86_401}, (400, "invalid_field", "expires_in_s")),
        ({"ttl": 60}, (400, "invalid_field", "ttl")),
        ([], (400, "invalid_json", None)),
    ],
)
def test_a_body_that_can_not_be_read_makes_no_token(live: Server, body: Any, expected: tuple[int, str, str]) -> None:
    with http(live) as client:
        assert error(client.post("/v1/tokens", json=body)) == expected


@pytest.mark.parametrize("size_bytes", [524_289, 2_000_000])
def test_a_body_that_is_too_large_makes_no_token(live: Server, size_bytes: int) -> None:
    with http(live) as client:
        assert error(client.post("/v1/tokens", content=b" " * size_bytes)) == (413, "frame_too_large", None)


def test_a_token_is_never_wider_than_its_key(live: Server, admin: Admin) -> None:
    key = admin.make_key(tasks=["chat"], models="aister-guide", origins="https://app.example.com")
    with http(live, key.headers) as client:
        assert error(client.post("/v1/tokens", json={"tasks": ["translation"]})) == (403, "forbidden_task", None)
        assert error(client.post("/v1/tokens", json={"models": ["other"]})) == (403, "forbidden_model", "model")
        assert error(client.post("/v1/tokens", json={"origin": "https://b.example"})) == (403, "forbidden_origin", None)
        token = client.post("/v1/tokens").json()["token"]
    with http(live, {"Authorization": f"Bearer {token}"}) as client:
        assert error(client.post("/v1/translate", json={"text": "Hi", "target": "fr"}))[1] == "forbidden_task"


def test_a_token_ends_with_its_key(live: Server, admin: Admin) -> None:
    key = admin.make_key()
    with http(live, key.headers) as client:
        token = client.post("/v1/tokens").json()["token"]
    admin.revoke(key)
    with http(live, {"Authorization": f"Bearer {token}"}) as client:
        assert error(client.post("/v1/chat", json={"messages": QUESTION})) == (401, "revoked_key", None)


def test_nobody_gets_no_token(live: Server) -> None:
    with http(live, headers={}) as client:
        response = client.post("/v1/tokens")
    assert error(response) == (401, "sign_in_required", None)


def test_the_page_of_who_is_signed_in_gets_a_token_with_its_csrf_token_only(live: Server, admin: Admin) -> None:
    assert error(admin.http.post("/v1/tokens")) == (403, "csrf_failed", None)
    assert error(admin.http.post("/v1/tokens", headers={"X-CSRFToken": "x" * 32})) == (403, "csrf_failed", None)
    minted = admin.http.post("/v1/tokens", headers={"X-CSRFToken": admin.csrf_token})
    assert minted.status_code == 201
    assert TOKEN.fullmatch(minted.json()["token"])


def test_a_page_of_another_origin_gets_no_token_by_a_cookie(live: Server, admin: Admin) -> None:
    headers = {"X-CSRFToken": admin.csrf_token, "Origin": "https://b.example"}
    assert error(admin.http.post("/v1/tokens", headers=headers)) == (403, "csrf_failed", None)


def test_a_cookie_is_no_key(live: Server, admin: Admin) -> None:
    headers = {"X-CSRFToken": admin.csrf_token}
    response = admin.http.post("/v1/chat", json={"messages": QUESTION}, headers=headers)
    assert error(response) == (401, "missing_key", None)
