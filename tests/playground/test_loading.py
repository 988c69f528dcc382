"""What people see while a model is loaded for them: on a server that lets go of models after a second."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.browser import Pages
from tests.live import Server, start
from tests.playground.conftest import enter, say, wait_for_answers
from tests.server.admin import eventually

LOADING = re.compile(r"^Loading the model: (\d+%|\d+ s( of about \d+ s)?)$")
NOTE_STATES = """
window.states = new Set();
const shown = () => [...document.querySelectorAll(".status, #translate-status")].map((node) => node.textContent);
const note = () => shown().forEach((text) => states.add(text));
new MutationObserver(note).observe(document.body, { childList: true, subtree: true, characterData: true });
"""


@pytest.fixture(scope="module")
def forgetful(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose models go when nobody has used them for a second."""
    with start(tmp_path_factory.mktemp("forgetful") / "home", AISTER_KEEP_ALIVE="1") as server:
        yield server


@pytest.fixture
def page(pages: Pages, forgetful: Server) -> Iterator[Page]:
    """A page of nobody's, before it goes anywhere."""
    with pages(forgetful) as page:
        yield page


def enter_and_wait(page: Page, server: Server, model: str, query: str = "") -> Page:
    """Enter, and wait until the model is gone that the page's session has asked for: it goes a second later."""

    def count(what: str) -> int:
        return server.log.read_text().count(f"Model {model} is {what}")

    eventually(lambda: 0 < count("unloaded") == count("loaded"))  # nobody asks for it yet
    before = count("unloaded")
    enter(page, server, query)
    eventually(lambda: count("unloaded") > before)
    return page


def loading_states(page: Page) -> list[str]:
    """Return what the page has said of loading."""
    return [state for state in page.evaluate("[...states]") if LOADING.match(state)]


def test_a_message_whose_model_is_being_loaded_says_so(page: Page, forgetful: Server) -> None:
    chat = enter_and_wait(page, forgetful, "aister-guide")
    chat.evaluate(NOTE_STATES)
    say(chat, "What is Aister?")
    wait_for_answers(chat, 1)
    assert loading_states(chat)


def test_a_translation_whose_model_is_being_loaded_says_so(page: Page, forgetful: Server) -> None:
    enter_and_wait(page, forgetful, "aister-phrasebook", "?tab=translate&source=en&target=fr")
    page.evaluate(NOTE_STATES)
    page.get_by_label("Text to translate").fill("Good morning")
    expect(page.locator("#translate-status .figures")).to_be_visible()
    assert loading_states(page)
