"""The code beside the work: it follows what the page does, holds no key, and runs."""

import subprocess
import sys
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.live import Server
from tests.playground.conftest import enter, say, wait_for_answers

COPY = """
async (button) => {
  const until = performance.now() + 20000;
  button.click();
  while (!button.textContent.includes("Copied") && performance.now() < until) await new Promise(requestAnimationFrame);
  return button.textContent;
}
"""  # it says so for two seconds

RUN_S = 60
LANGUAGES = ("curl", "JavaScript", "Python", "wscat")
SETTINGS = ('"temperature"', "0.5", '"top_p"', "0.9", '"max_tokens"', "12", '"seed"', "7", '"###"', '"End"', "brief")


def snippet(page: Page, language: str) -> str:
    page.get_by_role("tab", name=language, exact=True).click()
    return page.locator("#snippet").inner_text()


def settle_everything(page: Page) -> None:
    page.get_by_role("button", name="Settings", exact=True).click()
    page.get_by_label("System prompt").fill("You're “brief”.\nVery.")
    page.get_by_label("Temperature").fill("0.5")
    page.get_by_label("Top p").fill("0.9")
    page.get_by_label("Max tokens").fill("12")
    page.get_by_label("Seed").fill("7")
    page.get_by_label("Stop at").fill("###\nEnd")


def test_snippets_follow_server_model_message_and_settings(chat: Page, live: Server) -> None:
    say(chat, "What's Aister?")
    wait_for_answers(chat, 1)
    settle_everything(chat)
    for language in LANGUAGES:
        code = snippet(chat, language)
        assert (live.ws_url if language in ("Python", "wscat") else live.url) in code
        assert [part for part in ("aister-guide", "Aister?", *SETTINGS) if part not in code] == []
    chat.get_by_role("button", name="Reset to defaults").click()
    expect(chat.locator("#snippet")).not_to_contain_text("temperature")


def test_no_snippet_holds_the_key(chat: Page, live: Server) -> None:
    for language in LANGUAGES:
        assert "YOUR_KEY" in snippet(chat, language)
        assert live.key not in chat.content()


def test_copy_turns_to_copied(chat: Page) -> None:
    chat.context.grant_permissions(["clipboard-read", "clipboard-write"])
    code = snippet(chat, "Python")
    assert "Copied" in chat.locator("#snippet-tools .copy").evaluate(COPY)
    assert chat.evaluate("navigator.clipboard.readText()") == code


def run_curl(code: str) -> str:
    return subprocess.run(["bash", "-c", code], capture_output=True, text=True, check=True, timeout=RUN_S).stdout


def run_python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=RUN_S)
    return done.stdout


RUNNERS: dict[str, Callable[[str], str]] = {"curl": run_curl, "Python": run_python}


@pytest.mark.parametrize("language", RUNNERS)
@pytest.mark.parametrize("query", ["", "?tab=translate&source=en&target=fr"])
def test_a_snippet_runs_as_it_stands_with_a_key_in_it(page: Page, live: Server, query: str, language: str) -> None:
    enter(page, live, query)
    if not query:
        settle_everything(page)
    output = RUNNERS[language](snippet(page, language).replace("YOUR_KEY", live.key))
    assert output.strip()
    assert '"type":"error"' not in output


@pytest.mark.parametrize("query", ["", "?tab=translate&source=en&target=fr"])
def test_the_javascript_runs_in_a_page_of_another_origin(page: Page, live: Server, query: str) -> None:
    enter(page, live, query)
    if not query:
        settle_everything(page)
    code = snippet(page, "JavaScript").replace("YOUR_KEY", live.key)
    other = page.context.new_page()
    said: list[str] = []
    other.on("console", lambda message: said.append(message.text))
    other.goto(f"{live.url.replace('127.0.0.1', 'localhost')}/v1/models")
    other.evaluate("(code) => import(URL.createObjectURL(new Blob([code], { type: 'text/javascript' })))", code)
    assert "".join(said).strip()


def test_events_show_frames_and_can_be_paused(chat: Page) -> None:
    chat.get_by_role("tab", name="Events").click()
    say(chat, "What is Aister?")
    wait_for_answers(chat, 1)
    for type_ in ("session.created", "message.create", "response.created", "response.done"):
        expect(chat.locator(".events .type", has_text=type_)).to_have_count(1)
    chat.get_by_role("button", name="Pause").click()
    say(chat, "What is Aister?")
    wait_for_answers(chat, 2)
    expect(chat.locator(".events .type", has_text="response.done")).to_have_count(1)


def test_the_panel_folds_away_and_comes_back(chat: Page) -> None:
    toggle = chat.locator("#code-toggle")
    expect(toggle).to_have_attribute("aria-expanded", "true")
    toggle.click()
    expect(chat.locator("#code")).to_be_hidden()
    toggle.click()
    expect(chat.locator("#code")).to_be_visible()
