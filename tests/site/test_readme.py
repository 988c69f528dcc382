"""Every snippet of the README, run as it stands against a real server."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.browser import Pages, web
from tests.live import ROOT, Server

README = (ROOT / "README.md").read_text()


def snippet(language: str, server: Server) -> str:
    """Return the README's snippet in a language, for this server and its key."""
    (code,) = re.findall(rf"^```{language}\n(.*?)^```$", README, re.M | re.S)
    host = server.url.removeprefix("http://")
    return str(code).replace("127.0.0.1:8000", host).replace("YOUR_KEY", server.key)


def run(*command: str, text: str = "") -> str:
    """Run a command and return what it printed."""
    return subprocess.run(command, input=text, capture_output=True, text=True, timeout=60, check=True).stdout


def test_curl_translates(live: Server) -> None:
    assert "Bonjour" in run("sh", text=snippet("sh", live))


def test_python_chats(live: Server) -> None:
    assert run(sys.executable, "-", text=snippet("python", live)).strip()


@pytest.fixture
def page(live: Server, tmp_path: Path) -> Iterator[str]:
    """Serve the README's page from another origin, as a developer would, and return its address."""
    (tmp_path / "index.html").write_text(snippet("html", live))
    (tmp_path / "favicon.ico").touch()
    with web(tmp_path) as address:
        yield address


def test_six_lines_of_html_chat(page: str, pages: Pages, live: Server) -> None:
    assert len(snippet("html", live).splitlines()) == 6
    with pages(live, hosts=[urlsplit(page).netloc]) as tab:
        tab.goto(page)
        tab.wait_for_function("document.forms[0].onsubmit !== null")  # it connects first
        tab.fill("input", "Hello!")
        tab.press("input", "Enter")
        tab.wait_for_function("document.querySelector('pre').textContent.trim().length > 3")


def test_the_way_without_make_names_what_is_there() -> None:
    (script,) = re.findall(r"^py -3.*?(?=^```)", README, re.M | re.S)
    for name in ("requirements.txt", "manage.py"):
        assert name in script
        assert (ROOT / name).exists()
