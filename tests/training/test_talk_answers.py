"""What the guide is to say of Aister is true of the code: names, paths, commands, codes and figures."""

import re
from pathlib import Path
from typing import get_args

import msgspec
import pytest
from django.contrib.staticfiles import finders
from django.core.management import get_commands
from django.urls import get_resolver

from accounts import keys
from accounts.management.commands.keys import Command
from accounts.models import DEFAULT_MAX_SESSIONS, SignInCode
from accounts.tokens import DEFAULT_TTL_S
from aister_site.configuration import SETTINGS, LogLevel
from aister_site.shutdown import GRACE_S
from inference import outbox, protocol
from inference.catalog import bundled_entries
from inference.errors import TABLE
from inference.tasks import conversation, translation
from inference.usage_filters import PERIODS
from training.talk_corpus import Talk, read_talk

ROOT = Path(__file__).resolve().parents[2]
DOCS = "".join(page.read_text(encoding="utf-8") for page in (*sorted((ROOT / "docs").glob("*.md")), ROOT / "README.md"))
EVENTS = (*protocol.CHAT_EVENTS, *protocol.TRANSLATION_EVENTS, *protocol.SERVER_EVENTS)
LEVELS = get_args(LogLevel)
DEFAULTS = {setting.name: setting.default for setting in SETTINGS}


@pytest.fixture(scope="module")
def talk() -> Talk:
    return read_talk()


@pytest.fixture(scope="module")
def said(talk: Talk) -> str:
    return "\n".join(dict.fromkeys(talk.answers()))


def found(pattern: str, text: str) -> set[str]:
    names = set(re.findall(pattern, text))
    assert names, f"{pattern} finds nothing: the test would hold nothing"
    return names


def test_every_setting_exists(said: str) -> None:
    hub = set(re.findall(r"\bHF_[A-Z_]+\b", DOCS))
    assert found(r"\b[A-Z]+(?:_[A-Z]+)+\b", said) - hub - DEFAULTS.keys() == {"YOUR_KEY"}


def test_every_endpoint_exists(said: str) -> None:
    routes = {str(pattern.pattern) for pattern in get_resolver().url_patterns}
    routes |= {str(leaf.pattern) for part in get_resolver().url_patterns for leaf in getattr(part, "url_patterns", [])}
    paths = {path.lstrip("/") for path in found(r"(?<![\w/.:])/(?:v1/\w+|\w+z\b|admin/)", said)}
    assert paths - routes == set()


def test_every_static_file_exists(said: str) -> None:
    assert {path for path in found(r"/static/([\w/.]+\w)", said) if finders.find(path) is None} == set()


def test_every_command_and_option_exists(said: str) -> None:
    parser = Command().create_parser("manage.py", "keys")
    subcommands = next(action.choices for action in parser._actions if isinstance(action.choices, dict))
    assert found(r"manage\.py (\w+)", said) - get_commands().keys() == set()
    assert found(r"manage\.py keys (\w+)", said) - subcommands.keys() == set()
    assert found(r"--[a-z-]+", said) - set(subcommands["create"]._option_string_actions) == set()


def test_make_serve_exists(said: str) -> None:
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))
    assert found(r"\b(?:[Rr]un|\w=\S+) make (\w+)", said) - targets == set()


def test_every_event_and_method_of_the_client_exists(said: str) -> None:
    tags = {str(event.__struct_config__.tag) for event in EVENTS}
    client = (ROOT / "inference" / "static" / "aister" / "client.js").read_text(encoding="utf-8")
    methods = {f"session.{name}(" for name in re.findall(r"^  (?:async )?\*?(\w+)\(", client, re.M)}
    assert found(r"\bsession\.[a-z]+\(", said) - methods == set()
    assert found(r"\b(?:message|response|session|conversation|translation)\.[a-z]+\b(?!\()", said) - tags == set()


def test_every_error_code_and_field_exists(said: str) -> None:
    structs = [
        value for value in vars(protocol).values() if isinstance(value, type) and issubclass(value, msgspec.Struct)
    ]
    names = {row.code for row in TABLE} | {field for struct in structs for field in struct.__struct_encode_fields__}
    files = {name for name in ("first_key", "secret_key") if f"`{name}`" in DOCS}
    files |= {path.stem for path in (ROOT / "training").glob("train_*.py")}
    assert found(r"\b[a-z]+(?:_[a-z]+)+\b", said) - names - files == set()


def test_every_close_code_and_status_exists(said: str) -> None:
    codes = {str(row.close) for row in TABLE if row.close} | {str(row.status) for row in TABLE}
    assert found(r"(?:code |means? |and |with |HTTP )(4\d\d\d|10[01]\d|[45]\d\d)\b", said) - codes == set()


def test_every_file_of_the_repository_exists(said: str) -> None:
    names = found(r"\b(?:docs/)?[\w-]+\.md\b|\brequirements\.txt\b", said)
    assert {name for name in names if not (ROOT / name).is_file()} == set()


def test_both_bundled_models_are_named_and_no_other(said: str) -> None:
    bundled = {entry.id for entry in bundled_entries(ROOT / "inference" / "bundled", set())}
    assert found(r"\baister-\w+", said) == bundled


def test_hub_ids_and_families_stand_in_the_documentation(said: str) -> None:
    for name in ("Helsinki-NLP/opus-mt-en-fr", "Qwen3-0.6B", "Marian", "M2M100", "NLLB", "mBART", "Phi-3", "Gemma"):
        assert name in said
        assert name in DOCS


FIGURES = [
    ("key-format", f"{len(keys.generate('aister', keys.new_public_id()))} characters"),
    ("token-lifetime", f"{DEFAULT_TTL_S // 60} minutes"),
    ("rate-limits", f"{DEFAULT_MAX_SESSIONS} sessions"),
    ("failed-attempts", f"{DEFAULTS['AISTER_ATTEMPTS']} times a minute"),
    ("capacity", f"{int(DEFAULTS['AISTER_SESSIONS']):,} sessions"),
    ("capacity", f"{DEFAULTS['AISTER_BATCH']} requests"),
    ("memory", f"{DEFAULTS['AISTER_MEMORY_MB']} by default"),
    ("port", f"{DEFAULTS['PORT']} is the default"),
    ("home-directory", f"{DEFAULTS['AISTER_HOME']} by default"),
    ("parallel-requests", f"up to {protocol.MAX_OPEN_REQUESTS} requests"),
    ("stop-texts", f"up to {protocol.MAX_STOPS} strings"),
    ("too-large", f"a frame {protocol.MAX_FRAME_BYTES:,} bytes"),
    ("too-large", f"{conversation.MAX_TEXT_CHARACTERS:,} characters"),
    ("too-large", f"translate {translation.MAX_TEXT_CHARACTERS:,}"),
    ("translate-many", f"up to {translation.MAX_TEXTS} texts, together at most {translation.MAX_TOTAL_CHARACTERS:,}"),
    ("too-slow", f"{outbox.MOST_BYTES // 1024} KB"),
    ("stop-server", f"up to {GRACE_S:.0f} seconds"),
    ("subprotocol", protocol.SUBPROTOCOL),
]


@pytest.mark.parametrize(("topic", "figure"), FIGURES)
def test_figures_are_those_of_the_code(talk: Talk, topic: str, figure: str) -> None:
    assert figure in talk.topics[topic].answers[0]


FOLLOW_UP_FIGURES = [
    ("sign-in-link", f"for {SignInCode.LIFETIME.seconds // 60} minutes"),
    ("restore-conversation", f"up to {protocol.MAX_MESSAGES:,} messages"),
    ("restore-conversation", f"at most {conversation.MAX_CONVERSATION_CHARACTERS:,} characters"),
    ("long-conversation", f"{protocol.MAX_MESSAGES:,} messages and {conversation.MAX_CONVERSATION_CHARACTERS:,}"),
    ("too-large", f"may have {protocol.MAX_FRAME_BYTES:,} bytes"),
    ("stop-server", f"up to {GRACE_S:.0f} seconds"),
    ("log", ", ".join(LEVELS[:-1]) + f" or {LEVELS[-1]}; {DEFAULTS['AISTER_LOG_LEVEL']} is"),
]


@pytest.mark.parametrize(("topic", "figure"), FOLLOW_UP_FIGURES)
def test_figures_of_follow_ups_are_those_of_the_code(talk: Talk, topic: str, figure: str) -> None:
    assert [follow.answer for follow in talk.topics[topic].follow if figure in follow.answer] != []


def test_follow_ups_name_buttons_and_fields_that_the_playground_has(talk: Talk) -> None:
    pages = "".join(page.read_text(encoding="utf-8") for page in (ROOT / "templates" / "inference").glob("playground*"))
    scripts = (ROOT / "inference" / "static" / "aister").rglob("*.js")
    pages += "".join(script.read_text(encoding="utf-8") for script in scripts)
    answers = [follow.answer for topic in talk.topics.values() for follow in topic.follow]
    told = "\n".join(dict.fromkeys(answer for answer in answers if answer.startswith("In the playground")))
    buttons = found(r"(?:button|press|turns into) ([A-Z]\w+)", told)
    assert {button for button in buttons if not re.search(rf"[\">]{button}\b", pages)} == set()
    fields = found(r"below the message box: ([\w, ]+) are fields", told).pop().replace(" and ", ", ").split(", ")
    assert [field for field in fields if f'id="setting-{field}"' not in pages] == []


def test_follow_ups_name_the_periods_of_the_usage_page(talk: Talk) -> None:
    for answer in (follow.answer for name in ("usage", "usage-export") for follow in talk.topics[name].follow):
        if "period" in answer:
            assert "today, yesterday, the last 7 or 30 days, this or the last month" in answer
    assert list(PERIODS.values()) == ["Today", "Yesterday", "Last 7 days", "Last 30 days", "This month", "Last month"]


def test_every_task_has_an_event_in_the_answer_about_events(talk: Talk) -> None:
    answer = talk.topics["client-events"].answers[0]
    for event in (*protocol.CHAT_EVENTS, *protocol.TRANSLATION_EVENTS):
        assert str(event.__struct_config__.tag) in answer


def test_every_chat_setting_is_named(talk: Talk) -> None:
    answer = talk.topics["chat-settings"].answers[0]
    assert [name for name in protocol.ChatSettings.__struct_encode_fields__ if name not in answer] == []
