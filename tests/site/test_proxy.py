"""Aister behind nginx and TLS, as docs/operations.md says: pages, signing in, sessions, streams, and who is counted.

Clients of this machine have all of 127.0.0.0/8 to come from, so each test that is counted has an address of its own.
"""

import itertools
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address

import httpx
import pytest
from websockets.asyncio.client import connect

from accounts import keys
from tests.live import Server
from tests.nginx import Site
from tests.server.client import RAMBLE, RAMBLING, WAIT_S, Headers, async_http, error_code, http, refusal, session

ALLOWED = 10
ELSEWHERE = "https://b.example"
addresses = map(str, map(IPv4Address, itertools.count(int(IPv4Address("127.0.1.1")))))
SIGN_IN = re.compile(r"(https://\S+)/sign-in#(\S+)")


@contextmanager
def client_at(server: Server, address: str, headers: Headers | None = None) -> Iterator[httpx.Client]:
    """A client that comes from one address of this machine."""
    transport = httpx.HTTPTransport(verify=server.trust or True, local_address=address)
    with httpx.Client(base_url=server.url, headers=headers, timeout=WAIT_S, transport=transport) as client:
        yield client


def unknown() -> dict[str, str]:
    """Return the headers of who has a key that is well-formed and none."""
    return {"Authorization": f"Bearer {keys.generate(keys.Kind.KEY, keys.new_public_id())}"}


def signed_in(client: httpx.Client, site: Site) -> httpx.Response:
    """Sign in by a link from the command line, as the page of the link does; return the answer."""
    link = SIGN_IN.search(site.server.manage("signin", **site.nginx.settings))
    assert link is not None
    assert link[1] == site.server.url
    client.get("/sign-in")
    return post(client, "/sign-in", code=link[2])


def post(client: httpx.Client, path: str, origin: str = "", **fields: str) -> httpx.Response:
    """Post a form as a browser would from a page of `origin`, the site's own when left out."""
    form = {"csrfmiddlewaretoken": client.cookies["csrftoken"], **fields}
    own = str(client.base_url).rstrip("/")
    return client.post(path, data=form, headers={"Origin": origin or own, "Referer": f"{origin or own}/"})


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", "text/html; charset=utf-8"),
        ("/static/aister/client.js", 'text/javascript; charset="utf-8"'),
        ("/static/aister/playground.css", 'text/css; charset="utf-8"'),
        ("/static/aister/favicon.svg", "image/svg+xml"),
        ("/static/admin/css/base.css", 'text/css; charset="utf-8"'),
        ("/v1/models", "application/json"),
    ],
)
def test_what_it_serves_is_called_what_it_is(site: Site, path: str, kind: str) -> None:
    with http(site.server) as client:
        response = client.get(path)
    assert (response.status_code, response.headers["content-type"]) == (200, kind)


def test_another_host_is_refused(site: Site) -> None:
    with http(site.server) as client:
        assert client.get("/", headers={"Host": "b.example"}).status_code == 400


def test_a_sign_in_link_is_of_the_public_address_and_its_cookies_travel_by_tls_only(site: Site) -> None:
    with http(site.server, {}) as client:
        answer = signed_in(client, site)
        assert (answer.status_code, answer.headers["location"]) == (302, "/")
        cookies = {cookie.partition("=")[0]: cookie for cookie in answer.headers.get_list("set-cookie")}
        assert client.get("/admin/").status_code == 200
    assert "sessionid" in cookies
    for cookie in cookies.values():
        assert "; Secure" in cookie
    assert "; HttpOnly" in cookies["sessionid"]


def test_the_log_in_form_takes_what_its_own_pages_post_and_nothing_from_elsewhere(site: Site) -> None:
    password = keys.generate(keys.Kind.KEY, keys.new_public_id())
    with http(site.server, {}) as client:
        signed_in(client, site)
        changed = post(client, "/admin/auth/user/1/password/", password1=password, password2=password)
        assert changed.status_code == 302, changed.text
    with http(site.server, {}) as client:
        client.get("/admin/login/")
        for origin in (ELSEWHERE, "https://localhost", "null"):
            assert post(client, "/admin/login/", origin, username="admin", password=password).status_code == 403
        client.get("/admin/login/")
        entered = post(client, "/admin/login/?next=/admin/", username="admin", password=password)
    assert (entered.status_code, entered.headers["location"]) == (302, "/admin/")


async def test_an_answer_comes_piece_by_piece_over_wss(site: Site) -> None:
    async with session(site.server) as chat:
        await chat.ramble()
        cancelled = await chat.do("response.cancel", "stop", target="1")
        while cancelled["type"] == "response.delta":
            cancelled = await chat.receive()
        assert (cancelled["type"], cancelled["found"]) == ("response.cancelled", True)
        answer = (await chat.answers("1"))["1"]
    assert answer.status == "cancelled"


async def test_server_sent_events_are_not_held_back(site: Site) -> None:
    """While another answer is in its place, the first event is all there is to send."""
    body = {"messages": [{"role": "user", "text": "Hello!"}], "stream": True}
    async with session(site.server) as running, async_http(site.server) as client:
        await running.ramble("long")
        async with client.stream("POST", "/v1/chat", json=body) as response:
            lines = response.aiter_lines()
            assert await anext(lines) == "event: response.queued"
            await running.send("response.cancel", "stop", target="long")
            cancelled = (await running.until("response.cancelled"))[-1]
            rest = [line async for line in lines]
    assert cancelled["found"]
    assert "event: response.done" in rest


async def test_closing_a_stream_of_events_cancels_its_request(site: Site) -> None:
    body = {"messages": [{"role": "user", "text": RAMBLE}], "settings": RAMBLING, "stream": True}
    async with async_http(site.server) as client, session(site.server) as after:
        async with client.stream("POST", "/v1/chat", json=body) as response:
            async for line in response.aiter_lines():
                if line == "event: response.delta":
                    break
        answer = await after.ask("message.create", text="Hello!")  # there is one place, and it is free again
    assert answer.status == "completed"


async def test_a_refusal_and_its_close_code_come_through(site: Site) -> None:
    event, close_code = await refusal(site.server, "/v1/chat", {})
    assert (error_code(event), close_code) == ("missing_key", 4401)


def test_aister_says_itself_that_a_body_is_too_large(site: Site) -> None:
    with http(site.server) as client:
        for size_bytes in (600_000, 1_500_000):
            response = client.post("/v1/translate", content=b" " * size_bytes)
            assert (response.status_code, response.json()["error"]["code"]) == (413, "frame_too_large")
            assert response.headers["access-control-allow-origin"] == "*"


def test_failures_count_for_the_client_and_not_for_the_proxy_whatever_it_makes_up(site: Site) -> None:
    guesser, neighbour = next(addresses), next(addresses)
    with client_at(site.server, guesser) as client:
        statuses = [client.post("/v1/chat", headers=unknown()).status_code for _ in range(ALLOWED)]
        assert statuses == [401] * ALLOWED
        for forged in ({}, {"X-Forwarded-For": "198.51.100.7"}, {"Forwarded": "for=198.51.100.7"}):
            assert client.post("/v1/chat", headers={**unknown(), **forged}).status_code == 429
    with client_at(site.server, neighbour) as client:
        assert client.post("/v1/chat", headers=unknown()).status_code == 401
    assert f"Too many failed attempts from {guesser}; " in site.server.log.read_text()


async def test_a_session_counts_for_its_client_too(site: Site) -> None:
    guesser = next(addresses)
    with client_at(site.server, guesser) as client:
        for _ in range(ALLOWED):
            client.post("/v1/chat", headers=unknown())
    told = []
    for address in (guesser, next(addresses)):
        headers = {**unknown(), "X-Forwarded-For": "198.51.100.8"}
        async with connect(
            f"{site.server.ws_url}/v1/chat",
            additional_headers=headers,
            ssl=site.server.trust,
            local_addr=(address, 0),
            proxy=None,
        ) as socket:
            told.append(error_code(json.loads(await socket.recv())))
    assert told == ["too_many_attempts", "wrong_key"]


def test_sign_in_codes_count_for_the_client(site: Site) -> None:
    with client_at(site.server, next(addresses)) as client:
        client.get("/sign-in")
        statuses = [post(client, "/sign-in", code="wrong").status_code for _ in range(ALLOWED + 1)]
    assert statuses == [403] * ALLOWED + [429]
