"""How people get in: signed in, or with a key; and what they read when that does not work."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser import Pages
from tests.live import Server, start
from tests.playground.conftest import enter, say, wait_for_answers


def sign_in(page: Page, server: Server) -> None:
    link = server.manage("signin", "--url", server.url).split()[0]
    page.goto(link)
    page.wait_for_url(f"{server.url}/")


def revoke_in_the_admin(page: Page, server: Server, name: str) -> None:
    sign_in(page, server)
    page.goto(f"{server.url}/admin/accounts/apikey/")
    key = page.get_by_role("link", name=name).get_attribute("href")
    assert key
    page.goto(server.url + key.split("/change/")[0] + "/revoke/")
    page.get_by_role("button", name="Revoke the key").click()
    expect(page.get_by_text("Sessions close within a second")).to_be_visible()


def test_whoever_is_signed_in_chats_at_once(page: Page, live: Server) -> None:
    sign_in(page, live)
    expect(page.locator("#connection")).to_have_attribute("data-state", "ready")
    expect(page.get_by_label("API key", exact=True)).to_be_hidden()
    say(page, "What is Aister?")
    wait_for_answers(page, 1)


def test_whoever_is_signed_in_finds_the_admin_and_the_way_out(page: Page, live: Server) -> None:
    sign_in(page, live)
    page.get_by_role("button", name="Account").click()
    expect(page.get_by_role("link", name="Keys and usage")).to_have_attribute("href", "/admin/")
    page.get_by_role("button", name="Sign out").click()
    page.goto(live.url)
    expect(page.get_by_label("API key", exact=True)).to_be_visible()


def test_a_key_opens_the_chat_and_puts_the_focus_where_one_writes(page: Page, live: Server) -> None:
    enter(page, live)
    expect(page.get_by_label("Message", exact=True)).to_be_focused()
    expect(page.get_by_label("API key", exact=True)).to_be_hidden()


def test_a_wrong_key_is_told_so_at_its_field(page: Page, live: Server) -> None:
    page.goto(live.url)
    field = page.get_by_label("API key", exact=True)
    field.fill(live.key[:-1] + ("a" if live.key[-1] != "a" else "b"))
    page.get_by_role("button", name="Use this key").click()
    expect(page.locator("#key-error")).to_contain_text("API key")
    expect(field).to_have_attribute("aria-invalid", "true")
    expect(field).to_be_focused()


def test_who_tries_too_often_is_told_when_to_come_back_and_a_good_key_is_let_in(pages: Pages, tmp_path: Path) -> None:
    with start(tmp_path / "home", AISTER_ATTEMPTS="1") as server, pages(server) as page:
        page.goto(server.url)
        for words in ("This is not a whole API key.", r"Too many failed attempts .* Try again in \d+ s\."):
            page.get_by_label("API key", exact=True).fill(server.key[:-1])
            page.get_by_role("button", name="Use this key").click()
            expect(page.locator("#key-error")).to_have_text(re.compile(words))
        page.get_by_label("API key", exact=True).fill(server.key)
        page.get_by_role("button", name="Use this key").click()
        expect(page.locator("#connection")).to_have_attribute("data-state", "ready")


@pytest.mark.parametrize(("key", "words"), [("", "Paste an API key first."), ("aister_ключ", "no line breaks")])
def test_what_is_no_key_never_leaves_the_page(page: Page, live: Server, key: str, words: str) -> None:
    page.goto(live.url)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.get_by_label("API key", exact=True).fill(key)
    page.get_by_role("button", name="Use this key").click()
    expect(page.locator("#key-error")).to_contain_text(words)
    assert not [url for url in asked if "/v1/" in url]


def test_a_key_is_hidden_until_shown(page: Page, live: Server) -> None:
    page.goto(live.url)
    expect(page.get_by_label("API key", exact=True)).to_have_attribute("type", "password")
    page.get_by_role("button", name="Show").click()
    expect(page.get_by_label("API key", exact=True)).to_have_attribute("type", "text")


def test_a_key_is_forgotten_on_reload_unless_asked_to_keep_it(page: Page, live: Server) -> None:
    enter(page, live)
    page.reload()
    expect(page.get_by_label("API key", exact=True)).to_be_visible()
    page.get_by_label("Keep it until this tab is closed").check()
    page.get_by_label("API key", exact=True).fill(live.key)
    page.get_by_role("button", name="Use this key").click()
    expect(page.locator("#connection")).to_have_attribute("data-state", "ready")
    page.reload()
    expect(page.locator("#connection")).to_have_attribute("data-state", "ready")
    page.get_by_role("button", name="Account").click()
    page.get_by_role("button", name="Forget the key of this page").click()
    expect(page.get_by_label("API key", exact=True)).to_be_visible()
    assert page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}])").find("aister_") == -1


def test_a_revoked_key_is_told_so_and_loses_nothing_typed(page: Page, live: Server) -> None:
    key = re.search(r"aister_\S+", live.manage("keys", "create", "Playground test"))
    assert key
    page.goto(live.url)
    page.get_by_label("API key", exact=True).fill(key[0])
    page.get_by_role("button", name="Use this key").click()
    expect(page.locator("#connection")).to_have_attribute("data-state", "ready")
    page.get_by_label("Message", exact=True).fill("A draft")
    revoke_in_the_admin(page.context.new_page(), live, "Playground test")
    expect(page.locator("#connection")).to_have_attribute("data-state", "refused")
    expect(page.locator("#key-error")).to_contain_text("revoked")
    expect(page.get_by_label("Message", exact=True)).to_have_value("A draft")
    page.get_by_label("API key", exact=True).fill(live.key)
    page.get_by_role("button", name="Use this key").click()
    expect(page.locator("#connection")).to_have_attribute("data-state", "ready")
    expect(page.get_by_label("Message", exact=True)).to_have_value("A draft")
