"""The playground behind nginx and TLS, in Chromium: signing in, chatting, and a server that is started again."""

import json
import re
from contextlib import ExitStack
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from tests.browser import PATIENCE_MS, Pages
from tests.live import Server
from tests.nginx import Site, run_nginx, start_behind
from tests.playground.conftest import enter, say, wait_for_answers
from tests.server.client import http


def test_a_sign_in_link_opens_a_playground_that_chats_over_wss(site: Site, pages: Pages) -> None:
    link = site.server.manage("signin", **site.nginx.settings).split()[0]
    with pages(site.server, ignore_https_errors=True) as page:
        sockets: list[str] = []
        page.on("websocket", lambda socket: sockets.append(socket.url))
        page.goto(link)
        expect(page.locator("#connection")).to_have_attribute("data-state", "ready")
        assert page.url.startswith(f"{site.server.url}/")
        say(page, "What is Aister?")
        wait_for_answers(page, 1)
        cookies = page.context.cookies()
    assert sockets[0].startswith(f"{site.server.ws_url}/v1/chat")
    assert {cookie["name"] for cookie in cookies} >= {"sessionid", "csrftoken"}
    assert all(cookie["secure"] for cookie in cookies)


def open_session(server: Server) -> ClientConnection:
    """Open a session as a program does."""
    url = f"{server.ws_url}/v1/chat"
    return connect(url, additional_headers=server.headers, ssl=server.trust, proxy=None)


def rest(session: ClientConnection) -> tuple[list[str], int | None]:
    """Read to the end; return the types of the events that were left and the close code."""
    types = []
    try:
        while True:
            types.append(json.loads(session.recv())["type"])
    except ConnectionClosed as closed:
        return types, closed.rcvd.code if closed.rcvd else None


def test_a_restart_closes_sessions_and_the_playground_connects_again(browser: Browser, tmp_path: Path) -> None:
    with run_nginx(tmp_path / "nginx") as nginx, browser.new_context(ignore_https_errors=True) as context:
        page = context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        with ExitStack() as running:
            server = running.enter_context(start_behind(nginx, tmp_path / "home"))
            enter(page, server)
            with open_session(server) as session:
                assert json.loads(session.recv())["type"] == "session.created"
                running.close()
                assert rest(session) == (["session.closing", "error"], 1012)
            shows_that_it_waits(page)
            with http(server) as client:
                assert client.get("/readyz").status_code == 502
            with pytest.raises(InvalidStatus, match="502"), open_session(server):
                pass
        with start_behind(nginx, tmp_path / "home") as server:
            expect(page.locator("#connection")).to_have_attribute("data-state", "ready")
            with open_session(server) as session:
                assert json.loads(session.recv())["type"] == "session.created"
            page.close()


def shows_that_it_waits(page: Page) -> None:
    """Wait until the page has noticed."""
    expect(page.locator("#connection")).to_have_attribute("data-state", re.compile("waiting|connecting"))
