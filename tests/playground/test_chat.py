"""The chat, as someone uses it: ask, stop, edit, regenerate, set, lose the connection."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.browser import Pages
from tests.live import Server
from tests.playground.conftest import Wire, enter, say, wait_for_answers

UNHURRIED = """
const later = setTimeout;
setTimeout = (act, ms, ...rest) => later(act, ms < 1000 ? ms : 60 * ms, ...rest);
"""  # whoever waits for a second, to connect again, waits for a minute

WATCH_TURNS = """
new MutationObserver(() => console.log("replaced")).observe(document.getElementById("turns"), { childList: true });
"""


@pytest.fixture
def endless_chat(pages: Pages, endless: Server) -> Iterator[Page]:
    """A chat whose answers go on until stopped."""
    with pages(endless) as page:
        yield enter(page, endless)


def test_an_answer_streams_and_ends_with_its_figures(chat: Page) -> None:
    say(chat, "What is Aister?")
    wait_for_answers(chat, 1)
    expect(chat.locator(".bubble")).to_have_text("What is Aister?")
    expect(chat.locator(".markdown")).not_to_be_empty()
    figures = chat.locator(".figures").inner_text()
    assert "token" in figures
    assert re.search(r"first in [\d.]+ m?s, all in [\d.]+ m?s$", figures)


def test_a_second_turn_is_read_from_the_cache(chat: Page) -> None:
    say(chat, "Hi! My name is Marta.")
    wait_for_answers(chat, 1)
    say(chat, "What is my name?")
    wait_for_answers(chat, 2)
    expect(chat.locator(".figures").last).to_contain_text("cached")


def test_an_example_starts_the_conversation(chat: Page) -> None:
    example = chat.locator(".example").first
    text = example.inner_text()
    example.click()
    expect(chat.locator(".bubble")).to_have_text(text)
    wait_for_answers(chat, 1)
    expect(chat.locator("#empty")).to_be_hidden()


def test_the_finished_answer_is_announced_once(chat: Page) -> None:
    say(chat, "What is Aister?")
    wait_for_answers(chat, 1)
    assert chat.locator("#announcements").inner_text().split() == chat.locator(".markdown").inner_text().split()
    expect(chat.locator(".answer")).not_to_have_attribute("aria-busy", "true")


def test_shift_enter_breaks_the_line_and_an_input_method_keeps_its_enter(chat: Page) -> None:
    field = chat.get_by_label("Message", exact=True)
    field.fill("one")
    chat.keyboard.press("Shift+Enter")
    chat.keyboard.type("two")
    field.dispatch_event("keydown", {"key": "Enter", "isComposing": True, "bubbles": True})
    expect(field).to_have_value("one\ntwo")
    expect(chat.locator(".turn")).to_have_count(0)


@pytest.mark.parametrize("way", ["Escape", "button"])
def test_stopping_keeps_what_was_said(endless_chat: Page, way: str) -> None:
    chat = endless_chat
    say(chat, "What is Aister?")
    expect(chat.locator(".turn")).to_have_attribute("data-state", "streaming")
    if way == "Escape":
        chat.keyboard.press("Escape")
    else:
        chat.get_by_role("button", name="Stop").click()
    wait_for_answers(chat, 1)
    expect(chat.get_by_text("Stopped.", exact=True)).to_be_visible()
    expect(chat.locator(".markdown")).not_to_be_empty()
    expect(chat.get_by_label("Message", exact=True)).to_be_focused()


def test_an_answer_that_was_cut_off_says_so_and_how_to_get_more(endless_chat: Page) -> None:
    chat = endless_chat
    chat.get_by_role("button", name="Settings", exact=True).click()
    chat.get_by_label("Max tokens").fill("5")
    say(chat, "What is Aister?")
    wait_for_answers(chat, 1)
    expect(chat.locator(".figures")).to_contain_text("5 tokens")
    expect(chat.get_by_text("Raise “Max tokens”")).to_be_visible()


def test_nothing_is_sent_while_an_answer_streams(endless_chat: Page) -> None:
    chat = endless_chat
    say(chat, "What is Aister?")
    expect(chat.locator(".turn")).to_have_attribute("data-state", "streaming")
    say(chat, "A second one")
    expect(chat.get_by_label("Message", exact=True)).to_have_value("A second one")
    expect(chat.locator(".turn")).to_have_count(1)
    chat.keyboard.press("Escape")
    wait_for_answers(chat, 1)


def test_editing_a_message_drops_all_after_it(chat: Page) -> None:
    say(chat, "Hi! My name is Marta.")
    wait_for_answers(chat, 1)
    say(chat, "What is Aister?")
    wait_for_answers(chat, 2)
    chat.get_by_role("button", name="Edit").first.click()
    chat.get_by_label("Edit your message").fill("Hi! My name is Joe.")
    chat.get_by_role("button", name="Save and answer").click()
    wait_for_answers(chat, 1)
    expect(chat.locator(".bubble")).to_have_text(["Hi! My name is Joe."])


def test_an_edit_can_be_given_up(chat: Page) -> None:
    say(chat, "What is Aister?")
    wait_for_answers(chat, 1)
    chat.get_by_role("button", name="Edit").click()
    chat.get_by_label("Edit your message").fill("Something else")
    chat.keyboard.press("Escape")
    expect(chat.locator(".bubble")).to_have_text(["What is Aister?"])
    wait_for_answers(chat, 1)


def test_regenerating_answers_the_last_message_again(chat: Page) -> None:
    say(chat, "Hi! My name is Marta.")
    wait_for_answers(chat, 1)
    say(chat, "What is Aister?")
    wait_for_answers(chat, 2)
    expect(chat.get_by_role("button", name="Regenerate")).to_have_count(1)
    with chat.expect_console_message(lambda message: message.text == "replaced"):
        chat.evaluate(WATCH_TURNS)
        chat.get_by_role("button", name="Regenerate").click()
    wait_for_answers(chat, 2)
    expect(chat.locator(".bubble")).to_have_text(["Hi! My name is Marta.", "What is Aister?"])


def test_a_new_conversation_forgets_the_old_one(chat: Page) -> None:
    say(chat, "Hi! My name is Marta.")
    wait_for_answers(chat, 1)
    chat.get_by_role("button", name="New conversation").click()
    expect(chat.locator(".turn")).to_have_count(0)
    say(chat, "What is Aister?")
    wait_for_answers(chat, 1)


def test_a_setting_that_is_out_of_range_is_told_so_at_its_field(chat: Page) -> None:
    chat.get_by_role("button", name="Settings", exact=True).click()
    field = chat.get_by_label("Temperature")
    field.fill("3")
    expect(field).to_have_attribute("aria-invalid", "true")
    expect(chat.locator("#setting-temperature-error")).to_have_text("A number from 0 to 2.")
    chat.get_by_role("button", name="Reset to defaults").click()
    expect(field).to_have_attribute("aria-invalid", "false")
    expect(field).to_have_value("")


def test_a_message_that_failed_stays_and_can_be_sent_again(page: Page, live: Server) -> None:
    page.add_init_script(UNHURRIED)
    wire = Wire(page)
    chat = enter(page, live)
    say(chat, "Hi! My name is Marta.")
    wait_for_answers(chat, 1)
    wire.cut()
    expect(chat.locator("#connection")).to_have_attribute("data-state", "waiting")
    expect(chat.locator("#notice")).to_contain_text("The server is restarting. Trying again in")
    say(chat, "What is Aister?")
    expect(chat.locator(".turn").last).to_have_attribute("data-state", "waiting")
    chat.keyboard.press("Escape")
    expect(chat.get_by_text("Stopped before the first word.")).to_be_visible()
    wire.mend()
    chat.get_by_role("button", name="Send again").click()
    chat.get_by_role("button", name="Try now").click()
    wait_for_answers(chat, 2)
    expect(chat.locator(".bubble")).to_have_text(["Hi! My name is Marta.", "What is Aister?"])


def test_a_lost_connection_comes_back_by_itself_with_the_conversation_and_the_draft(page: Page, live: Server) -> None:
    wire = Wire(page)
    chat = enter(page, live)
    say(chat, "Hi! My name is Marta.")
    wait_for_answers(chat, 1)
    chat.get_by_label("Message", exact=True).fill("What is my name?")
    wire.cut()
    expect(chat.locator("#connection")).to_have_attribute("data-state", "waiting")
    wire.mend()
    expect(chat.locator("#connection")).to_have_attribute("data-state", "ready")
    expect(chat.get_by_label("Message", exact=True)).to_have_value("What is my name?")
    chat.get_by_label("Message", exact=True).press("Enter")
    wait_for_answers(chat, 2)
    chat.get_by_role("tab", name="Events").click()
    expect(chat.locator(".events .type", has_text="conversation.load")).to_have_count(1)


def test_a_connection_lost_mid_answer_says_so_and_keeps_the_question(pages: Pages, endless: Server) -> None:
    with pages(endless) as page:
        wire = Wire(page)
        chat = enter(page, endless)
        say(chat, "What is Aister?")
        expect(chat.locator(".turn")).to_have_attribute("data-state", "streaming")
        expect(chat.locator(".markdown")).not_to_be_empty()
        wire.cut()
        expect(chat.locator(".failure")).to_contain_text("Not finished. The server is restarting.")
        expect(chat.locator(".bubble")).to_have_text(["What is Aister?"])
        wire.mend()
        chat.get_by_role("button", name="Retry").click()
        expect(chat.locator(".turn")).to_have_attribute("data-state", "streaming")
        chat.keyboard.press("Escape")
        wait_for_answers(chat, 1)


def test_a_refused_key_is_not_tried_again(page: Page, live: Server) -> None:
    wire = Wire(page)
    chat = enter(page, live)
    wire.cut(code=4401)
    expect(chat.locator("#connection")).to_have_attribute("data-state", "refused")
    expect(chat.locator("#key-error")).to_have_text("The server refused the key.")
