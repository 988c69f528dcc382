"""The playground in a real browser: getting in, talking, and a wire that can be cut."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, WebSocketRoute, expect

from tests.browser import Pages
from tests.live import ROOT, Server, start


@pytest.fixture
def page(pages: Pages, live: Server) -> Iterator[Page]:
    """A page of nobody's, before it goes anywhere."""
    with pages(live) as page:
        yield page


@pytest.fixture
def chat(page: Page, live: Server) -> Page:
    """The playground, entered with the first key, ready to chat."""
    return enter(page, live)


def enter(page: Page, server: Server, query: str = "") -> Page:
    """Open the playground, give it the server's first key, and wait until its session is ready."""
    page.goto(f"{server.url}/{query}")
    page.get_by_label("API key", exact=True).fill(server.key)
    page.get_by_role("button", name="Use this key").click()
    expect(page.locator("#connection")).to_have_attribute("data-state", "ready")
    return page


def say(page: Page, text: str) -> None:
    """Send a message as people do."""
    page.get_by_label("Message", exact=True).fill(text)
    page.keyboard.press("Enter")


def wait_for_answers(page: Page, count: int) -> None:
    """Wait until that many answers have ended, each with its figures."""
    expect(page.locator(".turn .figures")).to_have_count(count)
    expect(page.get_by_role("button", name="Send", exact=True)).to_be_visible()


@pytest.fixture(scope="session")
def endless(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose chat model never ends an answer by itself: the bundled one, told of no end token, and slow."""
    model = tmp_path_factory.mktemp("models") / "endless"
    shutil.copytree(ROOT / "inference" / "bundled" / "aister-guide", model)
    rewrite(model / "generation_config.json", eos_token_id=None)
    rewrite(model / "tokenizer_config.json", eos_token=None)
    home = tmp_path_factory.mktemp("endless") / "home"
    with start(home, "tests/deliberate.py", AISTER_CHAT_MODEL=str(model)) as server:
        yield server


def rewrite(path: Path, **changes: object) -> None:
    """Change fields of a JSON file; None takes a field away."""
    fields = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({name: value for name, value in fields.items() if value is not None}))


class Wire:
    """The wire between page and server, which a test may cut. Use it before the page connects."""

    def __init__(self, page: Page) -> None:
        self.sockets: list[WebSocketRoute] = []
        self.is_cut = False
        page.route_web_socket(re.compile("/v1/"), self.connect)

    def connect(self, socket: WebSocketRoute) -> None:
        """Let a socket through, or turn it away as a server does that is restarting."""
        if self.is_cut:
            socket.close(code=1012)
            return
        self.sockets.append(socket)
        socket.connect_to_server()

    def cut(self, code: int = 1012) -> None:
        """Close every socket, and refuse new ones until `mend`."""
        self.is_cut = True
        for socket in self.sockets:
            socket.close(code=code)

    def mend(self) -> None:
        """Let new sockets through."""
        self.is_cut = False
