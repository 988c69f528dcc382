"""The documentation, held to the code: nothing that a client or an operator can see is missing, nothing is made up."""

import re
from collections import Counter
from pathlib import Path

import msgspec
import pytest
from django.urls import get_resolver

from aister_site.configuration import SETTINGS
from inference import protocol
from inference.errors import TABLE
from inference.tasks import conversation, translation

DOCS = Path(__file__).resolve().parent.parent.parent / "docs"
PROTOCOL = (DOCS / "protocol.md").read_text()
OPERATIONS = (DOCS / "operations.md").read_text()

OBJECTS: dict[str, type[msgspec.Struct]] = {
    "Chat settings": protocol.ChatSettings,
    "Translation settings": protocol.TranslationSettings,
    "Model": protocol.ModelInfo,
    "Limits": protocol.SessionLimits,
    "Message": protocol.Message,
    "Message as clients give it": protocol.NewMessage,
    "Translation": protocol.TranslationResult,
    "Translation warning": protocol.TranslationWarning,
    "Usage": protocol.UsageInfo,
    "Timing": protocol.Timing,
    "Error object": protocol.ErrorBody,
    "Chat body": protocol.ChatBody,
    "Message of a chat body": protocol.HttpMessage,
    "Translation body": protocol.TranslateBody,
    "Token body": protocol.TokenBody,
}


def rows(text: str) -> list[list[str]]:
    """Return the cells of every table row whose first cell is code."""
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in re.findall(r"^\| `.*\|$", text, re.M)]


def sections(text: str) -> list[tuple[str, frozenset[str]]]:
    """Return each third-level heading with the names that its tables list first in a row."""
    parts = re.split(r"^### (.*)$", text, flags=re.M)[1:]
    bodies = (re.split(r"^## ", body, flags=re.M)[0] for body in parts[1::2])
    return [
        (heading, frozenset(row[0].strip("`") for row in rows(body)))
        for heading, body in zip(parts[::2], bodies, strict=True)
    ]


def fields(struct: type[msgspec.Struct]) -> frozenset[str]:
    """Return the names of a struct's fields, as clients see them."""
    return frozenset(struct.__struct_encode_fields__)


def test_every_event_and_field_is_documented_and_no_other() -> None:
    client = [(event, {"id"}) for event in (*protocol.CHAT_EVENTS, *protocol.TRANSLATION_EVENTS)]
    events = [*client, *((event, set()) for event in protocol.SERVER_EVENTS)]
    expected = [(f"`{event.__struct_config__.tag}`", fields(event) - common) for event, common in events]
    expected += [(heading, fields(struct)) for heading, struct in OBJECTS.items()]
    assert Counter(sections(PROTOCOL)) == Counter(expected)


def test_every_struct_of_the_protocol_has_its_place_in_this_test() -> None:
    public = {
        value
        for value in vars(protocol).values()
        if isinstance(value, type) and issubclass(value, msgspec.Struct) and value is not msgspec.Struct
    }
    placed = {*protocol.CHAT_EVENTS, *protocol.TRANSLATION_EVENTS, *protocol.SERVER_EVENTS, *OBJECTS.values()}
    inside = {protocol.ClientEvent, protocol.ServerEvent, protocol.Envelope}
    updates = {protocol.ChatSettingsUpdate, protocol.TranslationSettingsUpdate}
    assert public == placed | inside | updates


@pytest.mark.parametrize(
    ("settings", "update"),
    [
        (protocol.ChatSettings, protocol.ChatSettingsUpdate),
        (protocol.TranslationSettings, protocol.TranslationSettingsUpdate),
    ],
)
def test_every_setting_can_be_updated(settings: type[msgspec.Struct], update: type[msgspec.Struct]) -> None:
    assert fields(settings) == fields(update)


def test_the_limits_in_the_text_are_those_of_the_code() -> None:
    texts = (translation.MAX_TEXT_CHARACTERS, translation.MAX_TOTAL_CHARACTERS)
    texts += (conversation.MAX_TEXT_CHARACTERS, conversation.MAX_CONVERSATION_CHARACTERS)
    counts = (protocol.MAX_OPEN_REQUESTS, protocol.MAX_MESSAGES, protocol.MAX_STOPS, protocol.MAX_INVALID_FRAMES)
    for number in (protocol.MAX_FRAME_BYTES, *counts, *texts, translation.MAX_TEXTS):
        assert re.search(rf"(?<![\d,]){number:,}(?!,?\d)", PROTOCOL), number


def test_the_error_table_is_the_code_s() -> None:
    table = PROTOCOL.partition("\n## Errors\n")[2]
    assert rows(table) == [
        [f"`{row.code}`", str(row.status), str(row.close or ""), "yes" if row.retry else "no", row.message]
        for row in TABLE
    ]


def test_every_close_code_is_documented_and_no_other() -> None:
    documented = {int(code) for code in re.findall(r"^\| (\d{4}) \|", PROTOCOL, re.M)}
    assert documented == {row.close for row in TABLE if row.close} | {1011}


def test_every_endpoint_is_documented_and_no_other() -> None:
    documented = {path for _, path in re.findall(r"^\| `(GET|POST) /(\S+)` \|", PROTOCOL, re.M)}
    routes = {str(pattern.pattern) for pattern in walk(get_resolver().url_patterns)}
    assert documented == {route for route in routes if route.startswith("v1/") or route.endswith("z")}


def walk(patterns: list[object]) -> list[object]:
    """Return the leaves of a URL configuration."""
    return [leaf for pattern in patterns for leaf in walk_one(pattern)]


def walk_one(pattern: object) -> list[object]:
    """Return a pattern, or the leaves below it."""
    below = getattr(pattern, "url_patterns", None)
    return [pattern] if below is None else walk(below)


def test_the_settings_table_is_the_code_s() -> None:
    assert [row for row in rows(OPERATIONS) if row[0].strip("`").isupper()] == [
        [f"`{setting.name}`", f"`{setting.default}`" if setting.default else "", setting.help] for setting in SETTINGS
    ]


@pytest.mark.parametrize("page", [*sorted(DOCS.glob("*.md")), DOCS.parent / "README.md"], ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target, _, anchor in re.findall(r"\]\((?!https?:)([^)#]*)(#([^)]*))?\)", page.read_text()):
        linked = page.parent / target if target else page
        assert linked.exists(), f"{page.name}: {target}"
        headings = re.findall(r"^#+ (.*)$", linked.read_text(), re.M) if anchor else []
        assert not anchor or anchor in {slug(heading) for heading in headings}, f"{page.name}: {target}#{anchor}"


def slug(heading: str) -> str:
    """Return the anchor that GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
