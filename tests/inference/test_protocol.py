"""Parsing of client events: what is right comes through, what is wrong is named."""

from contextlib import suppress

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.protocol import (
    CHAT_EVENTS,
    MAX_FRAME_BYTES,
    TRANSLATION_EVENTS,
    ChatSettings,
    ChatSettingsUpdate,
    Error,
    ErrorBody,
    EventError,
    MessageCreate,
    Parser,
    ResponseDelta,
    TranslationCreate,
    encode,
    updated,
)

CHAT = Parser(CHAT_EVENTS)
TRANSLATION = Parser(TRANSLATION_EVENTS)


def error_of(frame: str | bytes, parser: Parser = CHAT) -> tuple[str | None, str, str | None]:
    with pytest.raises(EventError) as caught:
        parser.parse(frame)
    return caught.value.event_id, caught.value.code, caught.value.param


def test_an_event_is_parsed_from_text_and_from_bytes() -> None:
    frame = '{"type":"message.create","id":"a-1","text":"Grüße"}'
    assert CHAT.parse(frame) == CHAT.parse(frame.encode()) == MessageCreate(id="a-1", text="Grüße")


def test_a_text_or_a_list_of_texts_can_be_translated() -> None:
    one = TRANSLATION.parse('{"type":"translation.create","id":"1","text":"a","target":"fr"}')
    many = TRANSLATION.parse('{"type":"translation.create","id":"1","text":["a","b"],"target":"fr"}')
    assert isinstance(one, TranslationCreate)
    assert isinstance(many, TranslationCreate)
    assert (one.text, many.text, one.source) == ("a", ["a", "b"], None)


@pytest.mark.parametrize(
    "frame",
    ["", "nope", "[]", '"text"', "null", "12", '{"id":"1"} more', b"\xff\xfe", '{"type":"message.create", "id'],
)
def test_what_is_not_a_json_object_is_invalid_json(frame: str | bytes) -> None:
    assert error_of(frame) == (None, "invalid_json", None)


@pytest.mark.parametrize("opening", ["[", '{"a":'])
def test_deep_nesting_is_invalid_json_and_no_crash(opening: str) -> None:
    assert error_of(opening * 50_000)[1] == "invalid_json"


def test_deep_nesting_in_the_envelope_is_invalid_json() -> None:
    assert error_of('{"type":"message.create","id":' + "[" * 100_000)[1] == "invalid_json"


@pytest.mark.parametrize(
    ("frame", "expected"),
    [
        ('{"type":"message.create","id":"1"}', ("1", "invalid_field", "text")),
        ('{"type":"message.create","id":"1","text":3}', ("1", "invalid_field", "text")),
        ('{"type":"message.create","id":"1","text":"a","x":1}', ("1", "invalid_field", "x")),
        ('{"type":"message.create","text":"a"}', (None, "invalid_field", "id")),
        ('{"type":"message.create","id":7,"text":"a"}', (None, "invalid_field", "id")),
        ('{"type":"message.create","id":"a b","text":"a"}', (None, "invalid_field", "id")),
        ('{"type":"message.create","id":"a\\n","text":"a"}', (None, "invalid_field", "id")),
        ('{"type":"message.create","id":"' + "a" * 65 + '","text":"a"}', (None, "invalid_field", "id")),
        (
            '{"type":"session.update","id":"1","settings":{"temperature":3}}',
            ("1", "invalid_field", "settings.temperature"),
        ),
        (
            '{"type":"conversation.load","id":"1","messages":[{"role":"user","tekst":"a"}]}',
            ("1", "invalid_field", "messages[0].tekst"),
        ),
        ('{"type":"no.such","id":"1"}', ("1", "unknown_type", "type")),
        ('{"type":"translation.create","id":"1"}', ("1", "unknown_type", "type")),
        ('{"id":"1"}', ("1", "unknown_type", "type")),
        ('{"type":["message.create"],"id":"1"}', ("1", "unknown_type", "type")),
    ],
)  # fmt: skip
def test_a_wrong_field_is_named_and_the_id_kept(frame: str, expected: tuple[str | None, str, str]) -> None:
    assert error_of(frame) == expected


def test_a_lone_surrogate_is_refused() -> None:
    assert error_of('{"type":"message.create","id":"1","text":"\\ud800"}')[1] == "invalid_json"
    assert error_of('{"type":"message.create","id":"1","text":"\ud800"}')[1] == "invalid_json"


def test_a_frame_over_the_limit_is_refused_before_it_is_decoded() -> None:
    assert error_of(" " * (MAX_FRAME_BYTES + 1)) == (None, "frame_too_large", None)


@given(st.one_of(st.text(), st.binary(), st.recursive(st.none() | st.integers() | st.text(), st.lists).map(repr)))
def test_rubbish_raises_nothing_but_event_errors(frame: str | bytes) -> None:
    with pytest.raises(EventError):
        CHAT.parse(frame)


@given(
    st.dictionaries(
        st.sampled_from(["type", "id", "text", "messages", "settings", "target", "x"]),
        st.one_of(
            st.sampled_from(["message.create", "conversation.load", "session.update", "1"]),
            st.none(),
            st.integers(),
            st.lists(st.integers(), max_size=2),
            st.dictionaries(st.sampled_from(["temperature", "role"]), st.integers(), max_size=2),
        ),
    )
)
def test_any_object_is_an_event_or_an_event_error(fields: dict[str, object]) -> None:
    frame = msgspec.json.encode(fields)
    with suppress(EventError):
        assert CHAT.parse(frame).id == fields["id"]


def test_an_update_changes_what_it_names_and_null_restores_the_default() -> None:
    settings = ChatSettings(temperature=0.5, seed=7)
    assert updated(settings, ChatSettingsUpdate(seed=None, system="Be brief.")) == ChatSettings(
        temperature=0.5, system="Be brief."
    )


def test_fields_that_do_not_apply_are_left_out() -> None:
    assert encode(ResponseDelta(id="1", text="a")) == '{"type":"response.delta","id":"1","text":"a"}'
    assert encode(Error(id=None, request_id=None, error=ErrorBody(code="c", message="m"))) == (
        '{"type":"error","id":null,"request_id":null,"error":{"code":"c","message":"m","param":null,"retry_after":null}}'
    )
