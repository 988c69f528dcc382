"""A real browser on a real server: Chromium, and pages that fail their test when anything goes wrong in them.

Playwright's event loop must not run while other tests use theirs, so a module that uses `browser` has no async tests.
"""

import functools
import http.server
import re
import shutil
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.live import Server

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
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


@contextmanager
def web(directory: Path) -> Iterator[str]:
    """Serve the files of a directory, another origin than the server's, and yield the address."""
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=directory)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium, one for each module."""
    if CHROMIUM is None:
        pytest.skip("needs Chromium: apt install chromium")
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
def watched_page(browser: Browser, server: Server, hosts: Collection[str] = (), **options: object) -> Iterator[Page]:
    """A page in a context of its own.

    In the end it has logged no error, asked nobody but its server and `hosts`, and put no secret in a URL.
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
    assert {urlsplit(url).netloc for url in urls} <= {urlsplit(server.url).netloc, *hosts}
    assert not [url for url in urls if "aister_" in url or "aistertok_" in url or "token=" in url]


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
