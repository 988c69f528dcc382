"""The page itself: narrow screens, themes, names for assistive technology, harmless Markdown, and its size."""

import gzip

import pytest
from playwright.sync_api import Page, expect

from tests.browser import Pages
from tests.live import ROOT, Server
from tests.playground.conftest import enter, say, wait_for_answers

STATIC = ROOT / "inference" / "static" / "aister"
TEMPLATES = ROOT / "templates" / "inference"
MOST_BYTES = 60_000
PAST_THE_EDGE = """() => [...document.querySelectorAll("body *")]
  .filter((element) => element.checkVisibility() && element.getBoundingClientRect().right > innerWidth + 1)
  .filter((element) => !element.closest("pre, .table, .visually-hidden, .sprite, .events"))
  .map((element) => `${element.tagName} ${element.id} ${element.className}`)"""
WIDTHS = (1280, 1100, 640, 360, 320)

HOSTILE = """# Title
<img src=x onerror="document.title='hacked'"> **bold** `code` [good](https://example.com) [bad](javascript:alert(1))

```html
<script>document.title = "hacked"</script>
```

| a | b |
|---|---|
| <b>1</b> | 2 |

1. one
   - inner
2. two"""


def sideways(page: Page) -> dict[int, list[str]]:
    """Return what reaches past the window's edge, for the widths where anything does."""
    past = {}
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 640})
        past[width] = page.evaluate(PAST_THE_EDGE)
    return {width: elements for width, elements in past.items() if elements}


def test_nothing_scrolls_sideways(page: Page, live: Server) -> None:
    page.goto(live.url)
    expect(page.get_by_label("API key", exact=True)).to_be_visible()
    assert sideways(page) == {}
    enter(page, live)
    assert sideways(page) == {}
    say(page, "What is Aister? " + "Supercalifragilistic" * 12)
    wait_for_answers(page, 1)
    assert sideways(page) == {}
    for button, sheet in (("Code", "#code"), ("Settings", "#settings")):
        page.get_by_role("button", name=button, exact=True).click()
        expect(page.locator(sheet)).to_be_visible()
        assert page.evaluate(PAST_THE_EDGE) == []
        page.keyboard.press("Escape")
    page.get_by_role("tab", name="Translate").click()
    page.get_by_label("Text to translate").fill("Good morning " + "x" * 200)
    expect(page.locator("#translate-status .figures")).to_be_visible()
    assert sideways(page) == {}


def test_on_a_narrow_screen_code_and_settings_are_sheets(pages: Pages, live: Server) -> None:
    with pages(live, viewport={"width": 360, "height": 640}) as page:
        enter(page, live)
        for button, sheet in (("Code", "#code"), ("Settings", "#settings")):
            page.get_by_role("button", name=button, exact=True).click()
            expect(page.locator(sheet)).to_be_visible()
            assert page.evaluate("(sheet) => document.querySelector(sheet).matches(':modal')", sheet)
            page.keyboard.press("Escape")
            expect(page.locator(sheet)).to_be_hidden()
            expect(page.get_by_role("button", name=button, exact=True)).to_be_focused()


@pytest.mark.parametrize("width", [360, 1280])
def test_every_control_has_a_name_and_the_page_its_landmarks(chat: Page, width: int) -> None:
    chat.set_viewport_size({"width": width, "height": 800})
    say(chat, "What is Aister?")
    wait_for_answers(chat, 1)
    for role in ("button", "textbox", "combobox", "tab", "link"):
        for control in chat.get_by_role(role).all():
            assert control.evaluate("(e) => e.ariaLabel || e.labels?.[0]?.textContent.trim() || e.innerText.trim()")
    expect(chat.get_by_role("heading", level=1)).to_have_count(1)
    for landmark in ("banner", "main"):
        expect(chat.get_by_role(landmark)).to_have_count(1)


def test_tabs_follow_the_arrow_keys(chat: Page) -> None:
    chat.get_by_role("tab", name="Chat").focus()
    chat.keyboard.press("ArrowRight")
    expect(chat.get_by_role("tab", name="Translate")).to_be_focused()
    expect(chat.get_by_role("tabpanel", name="Translate")).to_be_visible()
    expect(chat.get_by_role("tabpanel", name="Chat")).to_be_hidden()


def test_the_theme_is_kept(page: Page, live: Server) -> None:
    page.goto(live.url)
    root = page.locator("html")
    expect(root).to_have_attribute("data-theme", "system")
    for theme in ("light", "dark"):
        page.locator("#theme").click()
        expect(root).to_have_attribute("data-theme", theme)
    page.reload()
    expect(root).to_have_attribute("data-theme", "dark")


def test_a_demonstration_says_what_it_is_and_how_to_get_a_real_model(chat: Page) -> None:
    chat.get_by_role("button", name="Demonstration").click()
    expect(chat.locator("#demonstration-card")).to_contain_text("aister-guide is a demonstration")
    expect(chat.locator("#demonstration-card")).to_contain_text("AISTER_CHAT_MODEL=")


def test_markdown_never_becomes_markup(page: Page, live: Server) -> None:
    page.goto(live.url)
    page.evaluate(
        """async (text) => {
            const { MarkdownView } = await import("/static/aister/markdown.js");
            const box = document.body.appendChild(Object.assign(document.createElement("div"), { id: "box" }));
            const view = new MarkdownView(box);
            for (let end = 1; end <= text.length; end++) view.show(text.slice(0, end));
        }""",
        HOSTILE,
    )
    box = page.locator("#box")
    assert box.locator("img, script, b").count() == 0
    assert box.locator("a").evaluate_all("(links) => links.map((link) => [link.href, link.rel])") == [
        ["https://example.com/", "noopener noreferrer nofollow"]
    ]
    expect(box.locator("strong")).to_have_text("bold")
    expect(box.locator("pre")).to_have_text('<script>document.title = "hacked"</script>')
    expect(box.locator("td")).to_have_text(["<b>1</b>", "2"])
    expect(box.locator("ol > li")).to_have_count(2)
    expect(box.locator("ol ul li")).to_have_text("inner")
    expect(page).to_have_title("Aister playground")


def test_all_of_it_takes_at_most_60_kilobytes() -> None:
    files = [path for folder in (STATIC, TEMPLATES) for path in folder.rglob("*") if path.is_file()]
    assert sum(len(gzip.compress(path.read_bytes())) for path in files) <= MOST_BYTES


def test_no_page_has_inline_script_or_style() -> None:
    for path in TEMPLATES.rglob("*.html"):
        text = path.read_text()
        assert " style=" not in text
        assert "<style" not in text
        assert " onclick=" not in text
        assert text.count("<script") == text.count("<script src=") + text.count('<script type="module" src=')
