"""Frames that are no events: rubbish, wrong fields, too deep, too large. Each gets a clear error, and harms nobody."""

import json
import os
from typing import Any

import pytest

from tests.live import Server
from tests.server.client import Event, error_code, session

NOT_JSON = "The frame is not a JSON object. Send one JSON object in each frame."
EVENTS = {
    "chat": "message.create, message.edit, response.regenerate, response.cancel, session.update, "
    "conversation.get, conversation.load",
    "translate": "translation.create, response.cancel, session.update",
}


def event(kind: str = "translation.create", **fields: Any) -> str:
    """Return a translation as a frame, with some fields replaced."""
    return json.dumps({"type": kind, "id": "1", "text": "Good morning", "source": "en", "target": "fr", **fields})


def complaint(told: Event) -> tuple[str | None, str, str | None]:
    """Return what an error is about: id, code, field."""
    return told["id"], error_code(told), told["error"]["param"]


async def is_well(opened: Any) -> bool:
    """Say whether a session still does its work."""
    return str((await opened.do("session.update", "well", settings={}))["type"]) == "session.updated"


@pytest.mark.parametrize(
    "frame",
    ["", " ", "{", "hello", "[]", "[{}]", '"x"', "1", "null", "NaN", '{"type":"session.update"', "{'a':1}", "{}{}"],
)
@pytest.mark.parametrize("is_binary", [False, True])
async def test_what_is_no_json_object_is_told_so(live: Server, frame: str, is_binary: bool) -> None:
    async with session(live) as chat:
        told = await chat.say(frame.encode() if is_binary else frame)
        assert told == {
            "type": "error",
            "id": None,
            "request_id": told["request_id"],
            "error": {"code": "invalid_json", "message": NOT_JSON, "param": None, "retry_after": None},
        }
        assert told["request_id"].startswith("req_")
        assert await is_well(chat)


@pytest.mark.parametrize("frame", [b"\xff\xfe\x00", b"\x00" * 1_000, bytes(range(256)), os.urandom(10_000)])
async def test_binary_rubbish_is_told_so(live: Server, frame: bytes) -> None:
    async with session(live, "translate") as translation:
        assert complaint(await translation.say(frame)) == (None, "invalid_json", None)
        assert await is_well(translation)


async def test_json_in_a_binary_frame_is_as_good_as_text(live: Server) -> None:
    async with session(live, "translate") as translation:
        await translation.socket.send(event(id="binary").encode())
        assert (await translation.answers("binary"))["binary"].status == "completed"


@pytest.mark.parametrize("task", ["chat", "translate"])
@pytest.mark.parametrize("kind", ["message.crate", "session.created", "", "x" * 5_000, "\x00"])
async def test_an_unknown_type_is_told_which_there_are(live: Server, task: str, kind: str) -> None:
    async with session(live, task) as opened:
        told = await opened.do(kind, "a")
        assert complaint(told) == ("a", "unknown_type", "type")
        assert told["error"]["message"].endswith(f"Events here: {EVENTS[task]}.")
        assert len(told["error"]["message"]) < 500


async def test_an_event_of_another_task_is_unknown_here(live: Server) -> None:
    async with session(live) as chat, session(live, "translate") as translation:
        assert error_code(await chat.say(event())) == "unknown_type"
        assert error_code(await translation.do("message.create", text="Hello!")) == "unknown_type"


@pytest.mark.parametrize(
    ("frame", "expected"),
    [
        ('{"id":"a"}', ("a", "unknown_type", "type")),
        ('{"type":null,"id":"a"}', ("a", "unknown_type", "type")),
        ('{"type":["session.update"],"id":"a"}', ("a", "unknown_type", "type")),
        ('{"type":"session.update","settings":{}}', (None, "invalid_field", "id")),
        ('{"type":"session.update","id":"a"}', ("a", "invalid_field", "settings")),
        ('{"type":"session.update","id":"a","settings":null}', ("a", "invalid_field", "settings")),
        ('{"type":"session.update","id":"a","settings":{"soruce":"en"}}', ("a", "invalid_field", "settings.soruce")),
        ('{"type":"response.cancel","id":"a"}', ("a", "invalid_field", "target")),
        ('{"type":"response.cancel","id":"a","target":7}', ("a", "invalid_field", "target")),
        (event(text=None), ("1", "invalid_field", "text")),
        (event(text=5), ("1", "invalid_field", "text")),
        (event(text={"a": 1}), ("1", "invalid_field", "text")),
        (event(text=["fine", ["deep"]]), ("1", "invalid_field", "text[1]")),
        (event(target=["fr"]), ("1", "invalid_field", "target")),
        (event(taget="fr"), ("1", "invalid_field", "taget")),
    ],
)
async def test_a_wrong_field_is_named_and_the_id_is_told(
    live: Server, frame: str, expected: tuple[str | None, str, str]
) -> None:
    async with session(live, "translate") as translation:
        assert complaint(await translation.say(frame)) == expected
        assert await is_well(translation)


@pytest.mark.parametrize("event_id", ["", "x" * 65, "a b", "ä", "a\n", "a/b", 5, None, ["a"], {"a": "b"}])
async def test_an_id_that_can_not_be_echoed_is_refused(live: Server, event_id: Any) -> None:
    async with session(live, "translate") as translation:
        assert complaint(await translation.say(event(id=event_id))) == (None, "invalid_field", "id")


@pytest.mark.parametrize("event_id", ["a", "x" * 64, "A-z_0.9:", "-", "0"])
async def test_an_id_of_the_letters_that_may_be_is_echoed(live: Server, event_id: str) -> None:
    async with session(live, "translate") as translation:
        assert (await translation.do("session.update", event_id, settings={}))["id"] == event_id


@pytest.mark.parametrize("opening", ["[", '{"a":'])
@pytest.mark.parametrize("field", ["text", "settings", "unknown"])
async def test_deep_nesting_is_refused(live: Server, opening: str, field: str) -> None:
    closing = {"[": "]", '{"a":': "}"}[opening]
    depth = 80_000
    frame = f'{{"type":"translation.create","id":"1","{field}":{opening * depth}1{closing * depth}}}'
    async with session(live, "translate") as translation:
        told = await translation.say(frame)
        assert complaint(told) == (None, "invalid_json", None)
        assert told["error"]["message"] == "The JSON is nested too deeply."
        assert await is_well(translation)


@pytest.mark.parametrize("is_binary", [False, True])
async def test_a_frame_that_is_too_large_ends_the_session_and_is_told_why(live: Server, is_binary: bool) -> None:
    async with session(live) as chat:
        frame = "x" * (524_288 + 1)
        await chat.socket.send(frame.encode() if is_binary else frame)
        events, code = await chat.closed()
    assert [complaint(told) for told in events] == [(None, "frame_too_large", None)]
    assert events[0]["error"]["message"] == "At most 524,288 bytes in one go. Split the text."
    assert code == 1009


@pytest.mark.parametrize("size_bytes", [1_048_577, 20_000_000])
async def test_a_frame_beyond_what_the_server_reads_at_all_is_told_1009_too(live: Server, size_bytes: int) -> None:
    async with session(live) as chat:
        await chat.socket.send("x" * size_bytes)
        _, code = await chat.closed()
    assert code == 1009


async def test_bytes_count_not_characters(live: Server) -> None:
    async with session(live) as chat:
        await chat.socket.send("\N{SNOWMAN}" * 174_763)  # three bytes each
        events, code = await chat.closed()
    assert ([error_code(told) for told in events], code) == (["frame_too_large"], 1009)


async def test_the_largest_frame_is_read(live: Server) -> None:
    async with session(live) as chat:
        frame = json.dumps({"type": "conversation.get", "id": "a"})
        told = await chat.say(frame + " " * (524_288 - len(frame)))
        assert told["type"] == "conversation"


async def test_a_message_in_many_small_fragments_is_one_event(live: Server) -> None:
    async with session(live) as chat:
        await chat.socket.send(iter('{"type":"conversation.get","id":"a"}'))
        assert (await chat.receive())["type"] == "conversation"


@pytest.mark.parametrize("frame", ["x", "", b"\xff", '{"type":"message.create","text":"no id"}'])
async def test_ten_unreadable_frames_in_a_row_end_the_session(live: Server, frame: str | bytes) -> None:
    async with session(live) as chat:
        for _ in range(12):
            await chat.socket.send(frame)
        events, code = await chat.closed()
    assert len(events) == 10
    assert error_code(events[-1]) == "too_many_invalid_frames"
    assert code == 4400


async def test_one_readable_frame_starts_the_count_again(live: Server) -> None:
    async with session(live) as chat:
        for _ in range(3):
            for _ in range(9):
                assert error_code(await chat.say("x")) == "invalid_json"
            assert await is_well(chat)


async def test_readable_events_that_are_wrong_do_not_end_the_session(live: Server) -> None:
    async with session(live) as chat:
        for _ in range(25):
            assert error_code(await chat.do("message.create", "a")) == "invalid_field"
        assert await is_well(chat)


async def test_an_unreadable_frame_ends_no_request(live: Server) -> None:
    async with session(live) as chat:
        await chat.ramble("long")
        await chat.socket.send("x")
        assert (await chat.until("error"))[-1]["id"] is None
        await chat.send("response.cancel", "stop", target="long")
        assert (await chat.until("response.done"))[-1]["status"] == "cancelled"
