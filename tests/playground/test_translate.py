"""The two panes: translate as one types, swap, detect, and what the address keeps."""

from playwright.sync_api import Page, expect

from tests.live import Server
from tests.playground.conftest import enter

TYPE = """
(field, texts) => texts.forEach((text) => {
  field.value = text;
  field.dispatchEvent(new Event("input"));
})
"""  # one text right after the other


def write(page: Page, text: str) -> None:
    page.get_by_label("Text to translate").fill(text)


def wait_for_translation(page: Page) -> str:
    expect(page.locator("#translate-status .figures")).to_be_visible()
    expect(page.get_by_label("Translated text")).not_to_be_empty()
    return page.get_by_label("Translated text").inner_text()


def open_translate(page: Page, server: Server, query: str = "?tab=translate&source=en&target=fr") -> Page:
    enter(page, server, query)
    expect(page.get_by_role("tab", name="Translate")).to_have_attribute("aria-selected", "true")
    return page


def test_a_text_is_translated_when_typing_stops(page: Page, live: Server) -> None:
    open_translate(page, live)
    write(page, "Good morning")
    wait_for_translation(page)
    expect(page.get_by_label("Translated text")).to_have_attribute("lang", "fr")
    expect(page.get_by_label("Translated text")).to_have_attribute("dir", "ltr")
    expect(page.locator("#source-count")).to_contain_text("12 of ")


def test_an_example_is_translated(page: Page, live: Server) -> None:
    open_translate(page, live)
    example = page.locator("#translate-examples button").first
    text = example.inner_text()
    example.click()
    expect(page.get_by_label("Text to translate")).to_have_value(text)
    wait_for_translation(page)
    expect(page.locator("#translate-examples")).to_be_hidden()


def test_a_warning_stands_under_its_translation_only(page: Page, live: Server) -> None:
    open_translate(page, live)
    write(page, "The walrus juggles.")
    wait_for_translation(page)
    expect(page.locator("#translate-warning")).to_have_text(
        "The model does not know these words, so the translation may be wrong: walrus, juggles."
    )
    write(page, "Good morning")
    expect(page.locator("#translate-warning")).to_be_hidden()
    wait_for_translation(page)
    expect(page.locator("#translate-warning")).to_be_hidden()


def test_only_the_last_text_is_shown(page: Page, live: Server) -> None:
    open_translate(page, live)
    write(page, "Good morning")
    before = wait_for_translation(page)
    page.get_by_label("Text to translate").evaluate(TYPE, ["Good", "Where is the train station?"])
    expect(page.get_by_label("Translated text")).not_to_have_text(before)
    wait_for_translation(page)
    page.get_by_role("tab", name="Events").click()
    expect(page.locator(".events .type", has_text="translation.create")).to_have_count(2)


def test_the_language_is_detected_and_named(page: Page, live: Server) -> None:
    open_translate(page, live, "?tab=translate")
    write(page, "Where is the train station? I would like a coffee, please.")
    wait_for_translation(page)
    expect(page.locator("#detected")).to_contain_text("English")
    expect(page.get_by_label("Text to translate")).to_have_attribute("lang", "en")


def test_swapping_turns_languages_and_texts_around(page: Page, live: Server) -> None:
    open_translate(page, live)
    write(page, "Good morning")
    translation = wait_for_translation(page)
    page.keyboard.press("Alt+s")
    expect(page.get_by_label("From", exact=True)).to_have_value("fr")
    expect(page.get_by_label("To", exact=True)).to_have_value("en")
    expect(page.get_by_label("Text to translate")).to_have_value(translation)
    wait_for_translation(page)
    page.get_by_role("button", name="Swap languages").click()
    expect(page.get_by_label("From", exact=True)).to_have_value("en")


def test_another_target_translates_again(page: Page, live: Server) -> None:
    open_translate(page, live)
    write(page, "Good morning")
    wait_for_translation(page)
    page.get_by_label("To", exact=True).select_option("de")
    expect(page.get_by_label("Translated text")).to_have_attribute("lang", "de")


def test_clearing_empties_both_panes(page: Page, live: Server) -> None:
    open_translate(page, live)
    write(page, "Good morning")
    wait_for_translation(page)
    page.get_by_role("button", name="Clear").first.click()
    expect(page.get_by_label("Text to translate")).to_have_value("")
    expect(page.get_by_label("Translated text")).to_be_empty()
    expect(page.get_by_label("Text to translate")).to_be_focused()


def test_the_address_keeps_languages_and_model_but_no_text(page: Page, live: Server) -> None:
    open_translate(page, live)
    page.get_by_label("To", exact=True).select_option("de")
    write(page, "Good morning")
    wait_for_translation(page)
    assert page.url == f"{live.url}/?tab=translate&source=en&target=de&model=aister-phrasebook"
    page.get_by_role("tab", name="Chat").click()
    assert page.url == f"{live.url}/?model=aister-guide"
    page.get_by_role("tab", name="Translate").click()
    expect(page.get_by_label("Text to translate")).to_have_value("Good morning")
