"""Pages of other origins, in Chromium: the site of docs/your-page.md as it stands there, and pages that may not."""

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser import PATIENCE_MS, Pages, web
from tests.live import ROOT, START_S, STOP_S, Server
from tests.nginx import free_port
from tests.server.client import http as client_of

DOCUMENTED = (ROOT / "docs" / "your-page.md").read_text()
CLIENT = "const { connect, fetchToken } = await import(`${url}/static/aister/client.js`);"
OUTCOME = "await (%s).then(() => 'done', (error) => error.code ?? error.name)"


def documented(language: str, server: Server, port: int) -> str:
    """Return a file of the page's, for this server and a port of its own."""
    (text,) = re.findall(rf"^```{language}\n(.*?)^```$", DOCUMENTED, re.M | re.S)
    text = str(text).replace("http://127.0.0.1:8000", server.url)
    return text.replace("127.0.0.1:9000", f"127.0.0.1:{port}").replace('("127.0.0.1", 9000)', f'("127.0.0.1", {port})')


@dataclass(frozen=True)
class Site:
    """The documented site: its address and the key that its backend keeps."""

    url: str
    key: str

    @property
    def host(self) -> str:
        """Name and port."""
        return urlsplit(self.url).netloc


@contextmanager
def running_site(directory: Path, server: Server, port: int, key: str) -> Iterator[Site]:
    """Run the documented backend, with a key, until the block ends."""
    directory.mkdir()
    for name, language in (("backend.py", "python"), ("index.html", "html")):
        (directory / name).write_text(documented(language, server, port))
    surroundings = {"PATH": os.environ["PATH"], "AISTER_KEY": key}
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "backend.py"], cwd=directory, env=surroundings, stdout=log, stderr=subprocess.STDOUT
        )
    try:
        wait_until_it_listens(process, port, directory / "log")
        yield Site(f"http://127.0.0.1:{port}", key)
    finally:
        process.terminate()
        process.wait(STOP_S)


def wait_until_it_listens(process: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    """Return when something takes connections; fail when the process ends before."""
    deadline_s = time.monotonic() + START_S
    while time.monotonic() < deadline_s and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            time.sleep(0.02)
        else:
            return
    pytest.fail(f"The documented backend does not listen: {log.read_text()}")


@pytest.fixture(scope="module")
def own_site(live: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The documented site, its key made as the page says."""
    port = free_port()
    (options,) = re.findall(r"^python manage\.py keys create \"Our page\" (.*)$", DOCUMENTED, re.M)
    wanted = str(options).replace("127.0.0.1:9000", f"127.0.0.1:{port}").split()
    key = live.manage("keys", "create", "Our page", "--quiet", *wanted).strip()
    with running_site(tmp_path_factory.mktemp("site") / "files", live, port, key) as site:
        yield site


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an empty page of yet another origin."""
    directory = tmp_path_factory.mktemp("elsewhere")
    (directory / "index.html").write_text("<!doctype html><link rel=icon href=data:,><title>Elsewhere</title>")
    with web(directory) as address:
        yield address


def token(site: Site) -> str:
    """Return a token as the site's own page gets it."""
    response = httpx.post(f"{site.url}/my-token", trust_env=False, timeout=START_S)
    assert response.status_code == 200
    return response.text


def test_a_page_of_another_origin_chats_and_translates(live: Server, own_site: Site, pages: Pages) -> None:
    with pages(live, hosts=[own_site.host]) as page:
        deltas: list[str] = []
        page.on("websocket", lambda socket: socket.on("framereceived", lambda frame: deltas.append(str(frame))))
        page.goto(own_site.url)
        page.get_by_label("Your question").fill("What is Aister?")
        page.get_by_role("button", name="Ask").click()
        page.get_by_label("Your text").fill("Good morning")
        page.get_by_role("button", name="In French").click()
        expect(page.locator("#translation")).to_have_text(re.compile("Bonjour"))
        expect(page.locator("#answer")).to_have_text(re.compile(r"Aister .+\."))
        assert own_site.key not in page.content()
    assert len([frame for frame in deltas if "response.delta" in frame]) > 2
    assert not [frame for frame in deltas if own_site.key in frame]


def test_a_page_connects_again_with_a_new_token(live: Server, own_site: Site, pages: Pages) -> None:
    with pages(live, hosts=[own_site.host]) as page:
        sockets: list[Any] = []
        page.route_web_socket(re.compile("/v1/"), lambda socket: sockets.append((socket, socket.connect_to_server())))
        page.goto(own_site.url)
        for count in (1, 2):
            page.get_by_label("Your text").fill("Good morning")
            page.get_by_role("button", name="In French").click()
            expect(page.locator("#translation")).to_have_text(re.compile("Bonjour"))
            assert len(sockets) == count
            sockets[-1][0].close(code=1012)
            page.wait_for_timeout(50)


def test_a_page_is_told_when_its_site_gets_no_token(live: Server, browser: Browser, tmp_path: Path) -> None:
    port = free_port()
    with running_site(tmp_path / "files", live, port, "aister_none") as site, browser.new_context() as context:
        page = context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.goto(site.url)
        page.get_by_label("Your question").fill("What is Aister?")
        page.get_by_role("button", name="Ask").click()
        expect(page.locator("#answer")).to_have_text("There is nobody to answer just now.")
        page.close()


@contextmanager
def page_at(browser: Browser, url: str) -> Iterator[Page]:
    """A page that may log errors: what it does is refused."""
    with browser.new_context() as context:
        page = context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.goto(url)
        yield page


def outcomes(page: Page, server: Server, secret: str, *programs: str) -> list[str]:
    """Run programs that have `url`, `secret`, `connect` and `fetchToken`; return how each ended."""
    list_of = ", ".join(OUTCOME % program for program in programs)
    return list(page.evaluate(f"async ([url, secret]) => {{ {CLIENT} return [{list_of}]; }}", [server.url, secret]))


TRANSLATES = """fetch(`${url}/v1/translate`, {
    method: "POST",
    headers: { Authorization: `Bearer ${secret}`, "Content-Type": "application/json" },
    body: '{"text": "Good morning", "target": "fr"}',
}).then(async (response) => {
    if (!response.ok) throw { code: `${response.status} ${(await response.json()).error.code}` };
})"""
CONNECTS = "connect({ url, token: secret })"
EXCHANGES = "fetchToken({ url, key: secret })"


def test_a_page_that_may_use_a_token_may_use_it_over_http_too(browser: Browser, live: Server, own_site: Site) -> None:
    with page_at(browser, own_site.url) as page:
        assert outcomes(page, live, token(own_site), CONNECTS, TRANSLATES) == ["done", "done"]
        assert outcomes(page, live, own_site.key, EXCHANGES) == ["done"]


def test_a_page_that_may_not_is_told_so(
    browser: Browser, live: Server, own_site: Site, elsewhere: str, tmp_path: Path
) -> None:
    """One of another origin, and a file, whose origin is null."""
    (tmp_path / "page.html").write_text("<!doctype html>")
    for url, origin in ((elsewhere, elsewhere.rstrip("/")), ((tmp_path / "page.html").as_uri(), "null")):
        with page_at(browser, url) as page:
            assert page.evaluate("origin") == origin
            refused = ["forbidden_origin", "403 forbidden_origin"]
            assert outcomes(page, live, token(own_site), CONNECTS, TRANSLATES) == refused
            assert outcomes(page, live, own_site.key, EXCHANGES) == ["forbidden_origin"]
            assert outcomes(page, live, live.key, EXCHANGES, TRANSLATES) == ["done", "done"]


def test_a_refused_session_closes_with_4403(browser: Browser, live: Server, own_site: Site, elsewhere: str) -> None:
    with page_at(browser, elsewhere) as page:
        code = page.evaluate(
            """([url, token]) => new Promise((resolve) => {
                const socket = new WebSocket(`${url}/v1/chat`, ["aister.v1", `aister.token.${token}`]);
                socket.onmessage = ({ data }) => data.includes("session.created") && resolve("let in");
                socket.onclose = (event) => resolve(event.code);
            })""",
            [live.ws_url, token(own_site)],
        )
    assert code == 4403


BORROWED = {
    "a page with cookies": "fetch(`${url}/admin/`, { credentials: 'include' })",
    "a page without": "fetch(`${url}/admin/`)",
    "the sign-in page": "fetch(`${url}/sign-in`, { credentials: 'include' })",
    "the API with cookies": "fetch(`${url}/v1/models`, { credentials: 'include' })",
    "a form's header": "fetch(`${url}/v1/tokens`, { method: 'POST', headers: { 'X-CSRFToken': secret } })",
    "its answer": "fetch(`${url}/v1/tokens`, { method: 'POST', credentials: 'include' })",
}


def test_nobody_s_sign_in_is_of_use_to_a_page_of_another_origin(browser: Browser, live: Server, elsewhere: str) -> None:
    """On another port of the same host, even cookies that are for this site only go along."""
    link = live.manage("signin", "--url", live.url).split()[0]
    with page_at(browser, link) as page:
        page.wait_for_url(f"{live.url}/*")
        (csrf_token,) = [cookie["value"] for cookie in page.context.cookies() if cookie["name"] == "csrftoken"]
        page.goto(elsewhere)
        assert outcomes(page, live, csrf_token, *BORROWED.values()) == ["TypeError"] * len(BORROWED)
        assert outcomes(page, live, "", "connect({ url })") == ["missing_key"]
        with page.expect_response(f"{live.url}/v1/tokens") as unseen:
            page.evaluate(
                "(url) => fetch(`${url}/v1/tokens`, { method: 'POST', mode: 'no-cors', credentials: 'include' })",
                live.url,
            )
        assert unseen.value.status == 403  # of who is signed in; anybody else would be told 401
        page.goto(f"{live.url}/admin/")
        assert page.title().startswith("Keys, usage and people")


API = ["/v1/chat", "/v1/translate", "/v1/tokens", "/v1/models", "/v1/languages", "/v1/nothing"]
PAGES = ["/", "/sign-in", "/admin/", "/admin/login/", "/admin/accounts/apikey/", "/healthz", "/readyz", "/nothing"]
ASKING = {
    "Origin": "https://app.example.com",
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization,content-type",
}


@pytest.mark.parametrize("path", API)
def test_the_api_lets_any_page_ask(live: Server, path: str) -> None:
    with client_of(live, {}) as client:
        response = client.options(path, headers=ASKING)
    cors = {name: value for name, value in response.headers.items() if name.startswith("access-control-")}
    assert (response.status_code, response.content) == (204, b"")
    assert cors == {
        "access-control-allow-origin": "*",
        "access-control-allow-methods": "GET, POST, OPTIONS",
        "access-control-allow-headers": "Authorization, Content-Type",
        "access-control-expose-headers": "Retry-After",
        "access-control-max-age": "86400",
    }


@pytest.mark.parametrize("method", ["OPTIONS", "GET", "POST"])
def test_no_page_outside_the_api_lets_others_ask_and_nothing_does_with_cookies(live: Server, method: str) -> None:
    with client_of(live, {}) as client:
        for path in API + PAGES:
            response = client.request(method, path, headers=ASKING)
            assert "access-control-allow-credentials" not in response.headers, path
            assert response.headers.get("access-control-allow-origin") == ("*" if path in API else None), path
