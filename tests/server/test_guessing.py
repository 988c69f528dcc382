"""Who guesses keys has to wait, and those behind the same address need not. A server of its own, whose allowance is
the default and whose one trusted proxy these tests play.
"""

import itertools
import re
from collections.abc import Iterator
from ipaddress import IPv4Address

import httpx
import pytest

from accounts import keys
from tests.live import Server, start
from tests.server.client import Headers, error_code, http, refusal, session

MESSAGE = "Too many failed attempts from your address. Wait, and check the key."
ALLOWED = 10
fresh = map(str, map(IPv4Address, itertools.count(int(IPv4Address("10.0.0.1")))))


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that believes one proxy."""
    home = tmp_path_factory.mktemp("guarded") / "home"
    with start(home, AISTER_ATTEMPTS="", AISTER_TRUSTED_PROXIES="1") as server:
        yield server


@pytest.fixture
def address() -> str:
    """An address that nothing was counted for yet."""
    return next(fresh)


def unknown() -> str:
    """Return a key that is well-formed and none."""
    return keys.generate(keys.Kind.KEY, keys.new_public_id())


def headers(address: str, key: str) -> dict[str, str]:
    """What comes through the proxy from a client that made up the first entry."""
    return {"Authorization": f"Bearer {key}", "X-Forwarded-For": f"{next(fresh)}, {address}"}


def post(server: Server, sent: Headers, path: str = "/v1/chat") -> httpx.Response:
    """Post nothing, once."""
    with http(server, sent) as client:
        return client.post(path)


def use_up(server: Server, address: str, attempts: int = ALLOWED) -> None:
    """Fail as often as is allowed."""
    for _ in range(attempts):
        assert post(server, headers(address, unknown())).json()["error"]["code"] == "wrong_key"


@pytest.mark.parametrize("path", ["/v1/chat", "/v1/translate", "/v1/tokens"])
@pytest.mark.parametrize("key", ["aister_short", unknown()], ids=["malformed", "wrong"])
def test_after_ten_failures_a_wrong_key_has_to_wait(guarded: Server, address: str, path: str, key: str) -> None:
    use_up(guarded, address)
    response = post(guarded, headers(address, key), path)
    body = response.json()
    wait_s = body["error"].pop("retry_after")
    assert response.status_code == 429
    assert body.pop("request_id").startswith("req_")
    error = {"code": "too_many_attempts", "message": MESSAGE, "param": None}
    assert body == {"type": "error", "id": None, "error": error}
    assert 1 <= wait_s <= 60
    assert response.headers["retry-after"] == str(wait_s)


@pytest.mark.parametrize("task", ["chat", "translate"])
async def test_a_session_is_told_to_wait_and_closed(guarded: Server, address: str, task: str) -> None:
    for _ in range(ALLOWED):
        event, close_code = await refusal(guarded, f"/v1/{task}", headers(address, unknown()))
        assert (error_code(event), close_code) == ("wrong_key", 4401)
    event, close_code = await refusal(guarded, f"/v1/{task}", headers(address, unknown()))
    assert (event["id"], error_code(event), close_code) == (None, "too_many_attempts", 4429)
    assert event["error"]["message"] == MESSAGE
    assert 1 <= event["error"]["retry_after"] <= 60


async def test_sessions_and_requests_count_together(guarded: Server, address: str) -> None:
    use_up(guarded, address, ALLOWED // 2)
    for _ in range(ALLOWED // 2):
        await refusal(guarded, "/v1/chat", headers(address, "aister_short"))
    assert post(guarded, headers(address, unknown())).status_code == 429


async def test_a_valid_key_is_let_in_beside_a_program_with_a_wrong_one(guarded: Server, address: str) -> None:
    for _ in range(ALLOWED * 2):
        post(guarded, headers(address, unknown()))
    good = headers(address, guarded.key)
    token = post(guarded, good, "/v1/tokens").json()["token"]
    for sent in (good, headers(address, token)):
        async with session(guarded, headers=sent):
            pass


def test_after_a_hundred_look_ups_nobody_of_the_address_is_let_in(guarded: Server, address: str) -> None:
    with http(guarded, {}) as client:
        for _ in range(ALLOWED * 10):
            client.post("/v1/chat", headers=headers(address, unknown()))
        assert client.post("/v1/tokens", headers=headers(address, guarded.key)).status_code == 429
        assert client.post("/v1/tokens", headers=headers(next(fresh), guarded.key)).status_code == 201


def test_other_addresses_and_no_key_at_all_do_not_count(guarded: Server, address: str) -> None:
    use_up(guarded, address)
    other = next(fresh)
    for _ in range(ALLOWED * 2):
        assert post(guarded, {"X-Forwarded-For": other}).json()["error"]["code"] == "missing_key"
    assert post(guarded, headers(other, unknown())).json()["error"]["code"] == "wrong_key"


def test_ipv6_addresses_of_one_network_count_together(guarded: Server) -> None:
    for number in range(ALLOWED):
        use_up(guarded, f"2001:db8::{number}:1", 1)
    assert post(guarded, headers("[2001:db8::beef]:443", unknown())).status_code == 429
    use_up(guarded, "2001:db8:0:1::1", 1)


@pytest.fixture(scope="module")
def direct(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that believes no proxy, and allows two failures. All of its tests come from the same address."""
    with start(tmp_path_factory.mktemp("direct") / "home", AISTER_ATTEMPTS="2") as server:
        yield server


def test_without_a_trusted_proxy_a_made_up_address_counts_for_nothing(direct: Server) -> None:
    answers = []
    for _ in range(3):
        made_up = next(fresh)
        answers.append(post(direct, {**headers(made_up, unknown()), "Forwarded": f"for={made_up}"}).status_code)
    assert answers == [401, 401, 429]
    assert "Too many failed attempts from 127.0.0.1; more are refused for" in direct.log.read_text()


def test_codes_and_passwords_have_to_wait_too(direct: Server) -> None:
    with http(direct, {}) as client:
        client.get("/sign-in")
        form = {"csrfmiddlewaretoken": client.cookies["csrftoken"], "username": "admin", "password": "wrong"}
        statuses = [client.post("/sign-in", data={**form, "code": "wrong"}).status_code for _ in range(3)]
        pages = [client.post("/admin/login/", data=form).text for _ in range(3)]
    assert statuses == [403, 403, 429]
    throttled = re.compile(r"Too many failed attempts from your address\. Try again in \d+ s\.")
    assert [bool(throttled.search(page)) for page in pages] == [False, False, True]
