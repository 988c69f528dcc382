"""A real browser on a real server: Chromium, and pages that fail their test when anything goes wrong in them."""

import json
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, WebSocketRoute, expect, sync_playwright

from tests.live import ROOT, Server, start

CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--no-first-run",
    "--disable-component-update",
    "--disable-sync",
)
REFUSED = re.compile(r"the server responded with a status of (401|403|429)")
PATIENCE_MS = 20_000

WATCH_VIOLATIONS = """
addEventListener("securitypolicyviolation", (event) => console.error("CSP", event.violatedDirective, event.blockedURI));
"""

Pages = Callable[..., AbstractContextManager[Page]]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium, one for each module: Playwright's event loop must not run while tests of other modules use theirs."""
    if not Path(CHROMIUM).exists():
        pytest.skip(f"no {CHROMIUM}: install Debian's chromium")
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        yield browser
        browser.close()


@pytest.fixture
def pages(browser: Browser) -> Pages:
    """What makes watched pages."""
    return lambda server, **options: watched_page(browser, server, **options)


@contextmanager
def watched_page(browser: Browser, server: Server, **options: object) -> Iterator[Page]:
    """A page in a context of its own.

    In the end it has logged no error, asked nobody but its server, and put no secret in a URL.
    """
    context = browser.new_context(**{"viewport": {"width": 1280, "height": 800}, **options})
    context.set_default_timeout(PATIENCE_MS)
    context.add_init_script(WATCH_VIOLATIONS)
    page = context.new_page()
    errors, urls = watch(page)
    try:
        yield page
    finally:
        context.close()
    assert not errors
    assert {urlsplit(url).netloc for url in urls} <= {urlsplit(server.url).netloc}
    assert not [url for url in urls if "aister_" in url or "token=" in url]


def watch(page: Page) -> tuple[list[str], list[str]]:
    """Return lists that fill with the page's errors and the URLs it asks for.

    A refused key is no error of the page's.
    """
    errors: list[str] = []
    urls: list[str] = []

    def note(message: object) -> None:
        if message.type in ("error", "warning") and not REFUSED.search(message.text):
            errors.append(message.text)

    page.on("console", note)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("request", lambda request: urls.append(request.url))
    page.on("websocket", lambda socket: urls.append(socket.url))
    page.on("framenavigated", lambda frame: urls.append(frame.url.split("#")[0]))
    return errors, urls


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
    """A server whose chat model never ends an answer by itself: the bundled one, told of no end token."""
    model = tmp_path_factory.mktemp("models") / "endless"
    shutil.copytree(ROOT / "inference" / "bundled" / "aister-guide", model)
    rewrite(model / "generation_config.json", eos_token_id=None)
    rewrite(model / "tokenizer_config.json", eos_token=None)
    with start(tmp_path_factory.mktemp("endless") / "home", AISTER_CHAT_MODEL=str(model)) as server:
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
