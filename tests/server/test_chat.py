"""Chat: what a session answers, in which order, and what becomes of its conversation."""

from typing import Any

import pytest

from tests.live import Server
from tests.server.client import RAMBLE, RAMBLING, Session, error_code, session

GREEDY = {"temperature": 0}
QUESTION = "What is Aister?"


def roles(messages: list[dict[str, Any]]) -> list[str]:
    """Return who said what, in order."""
    return [message["role"] for message in messages]


async def messages(chat: Session) -> list[dict[str, Any]]:
    """Return the conversation as it stands."""
    found: list[dict[str, Any]] = (await chat.do("conversation.get"))["messages"]
    return found


async def set_to(chat: Session, **settings: Any) -> dict[str, Any]:
    """Change settings and return all of them."""
    changed: dict[str, Any] = (await chat.do("session.update", settings=settings))["settings"]
    return changed


# -- answers ----------------------------------------------------------------------------------------------------------


async def test_an_answer_streams_in_order_and_its_deltas_are_its_text(live: Server) -> None:
    async with session(live) as chat:
        await set_to(chat, **{**RAMBLING, "max_tokens": 200})  # so long that a loop that is busy tells it in parts
        answer = await chat.ask("message.create", "one", text=RAMBLE)
    types = [kind for kind in answer.types if kind != "response.queued"]
    assert types == ["response.created", *["response.delta"] * (len(types) - 2), "response.done"]
    assert len(types) > 3
    assert answer.deltas == answer.text != ""
    assert {event["id"] for event in answer.events} == {"one"}


async def test_the_first_and_the_last_event_of_an_answer_say_all_they_should(live: Server) -> None:
    async with session(live) as chat:
        answer = await chat.ask("message.create", text=QUESTION)
        question, said = await messages(chat)
    created, done = answer.events[0], answer.last
    request_id = created["request_id"]
    assert request_id.startswith("req_")
    assert created == {
        "type": "response.created",
        "id": "1",
        "request_id": request_id,
        "model": "aister-guide",
        "message_id": question["id"],
    }
    usage, timing = done.pop("usage"), done.pop("timing")
    assert done == {
        "type": "response.done",
        "id": "1",
        "request_id": request_id,
        "status": "completed",
        "finish_reason": "stop",
        "message": {"id": said["id"], "role": "assistant", "text": answer.deltas, "status": "completed"},
    }
    assert set(usage) == {"input_tokens", "cached_tokens", "output_tokens", "truncated"}
    assert usage["input_tokens"] > 0
    assert usage["output_tokens"] > 1
    assert usage["truncated"] == 0
    assert 0 <= timing["queue_ms"] <= timing["first_token_ms"] <= timing["total_ms"]


async def test_the_second_turn_computes_only_what_is_new(live: Server) -> None:
    async with session(live) as chat:
        first = (await chat.ask("message.create", text="Hello, this session begins with words of its own.")).last
        second = (await chat.ask("message.create", text=QUESTION)).last
    earlier = first["usage"]["input_tokens"] + first["usage"]["output_tokens"]
    assert second["usage"]["cached_tokens"] >= earlier - 1
    assert second["usage"]["input_tokens"] > second["usage"]["cached_tokens"]


async def test_the_conversation_holds_what_was_said(live: Server) -> None:
    async with session(live) as chat:
        first = await chat.ask("message.create", text="Hello!")
        second = await chat.ask("message.create", text=QUESTION)
        held = await messages(chat)
    assert [(message["role"], message["text"], message["status"]) for message in held] == [
        ("user", "Hello!", "completed"),
        ("assistant", first.text, "completed"),
        ("user", QUESTION, "completed"),
        ("assistant", second.text, "completed"),
    ]
    assert len({message["id"] for message in held}) == 4


# -- edit and regenerate ----------------------------------------------------------------------------------------------


async def test_editing_a_message_drops_all_that_followed(live: Server) -> None:
    async with session(live) as chat:
        await chat.ask("message.create", text="Hello!")
        await chat.ask("message.create", text="How do I get an API key?")
        first = (await messages(chat))[0]
        answer = await chat.ask("message.edit", "edit", message_id=first["id"], text=QUESTION)
        held = await messages(chat)
    assert answer.events[0]["message_id"] == first["id"]
    assert [(message["id"], message["text"]) for message in held] == [
        (first["id"], QUESTION),
        (answer.last["message"]["id"], answer.text),
    ]


async def test_an_edited_conversation_answers_as_one_that_was_so_from_the_start(live: Server) -> None:
    async with session(live) as edited, session(live) as straight:
        for chat in (edited, straight):
            await set_to(chat, **GREEDY)
        await edited.ask("message.create", text="Hello!")
        message_id = (await messages(edited))[0]["id"]
        after = await edited.ask("message.edit", message_id=message_id, text=QUESTION)
        assert after.text == (await straight.ask("message.create", text=QUESTION)).text


async def test_regenerating_answers_the_same_message_again(live: Server) -> None:
    async with session(live) as chat:
        await set_to(chat, **GREEDY)
        first = await chat.ask("message.create", text=QUESTION)
        again = await chat.ask("response.regenerate", "again")
        held = await messages(chat)
    assert again.text == first.text
    assert again.events[0]["message_id"] == first.events[0]["message_id"]
    assert [message["id"] for message in held] == [first.events[0]["message_id"], again.last["message"]["id"]]
    assert again.last["message"]["id"] != first.last["message"]["id"]


async def test_there_must_be_a_message_to_edit_or_answer_again(live: Server) -> None:
    async with session(live) as chat:
        assert error_code(await chat.do("response.regenerate", "r")) == "nothing_to_answer"
        event = await chat.do("message.edit", "e", message_id="msg_0", text="Hello!")
        assert (event["id"], error_code(event), event["error"]["param"]) == ("e", "unknown_message", "message_id")
        await chat.ask("message.create", text="Hello!")
        said = (await messages(chat))[1]
        assert error_code(await chat.do("message.edit", message_id=said["id"], text="x")) == "unknown_message"
        assert len(await messages(chat)) == 2


# -- cancel -----------------------------------------------------------------------------------------------------------


async def test_a_cancelled_answer_ends_at_once_and_its_beginning_stays(live: Server) -> None:
    async with session(live) as chat:
        streamed = await chat.ramble("long")
        await chat.send("response.cancel", "stop", target="long")
        streamed += await chat.until("response.done")
        held = await messages(chat)
    done = streamed[-1]
    cancelled = next(event for event in streamed if event["type"] == "response.cancelled")
    assert cancelled == {"type": "response.cancelled", "id": "stop", "target": "long", "found": True}
    assert (done["id"], done["status"], done["finish_reason"]) == ("long", "cancelled", "cancelled")
    text = "".join(event["text"] for event in streamed if event["type"] == "response.delta")
    assert done["message"]["text"] == text != ""
    assert done["message"]["status"] == "cancelled"
    assert held[1] == done["message"]
    assert done["usage"]["output_tokens"] > 0


async def test_a_conversation_goes_on_after_a_cancelled_answer(live: Server) -> None:
    async with session(live) as chat:
        await chat.ramble("long")
        await chat.send("response.cancel", "stop", target="long")
        await chat.until("response.done")
        await set_to(chat, **dict.fromkeys(RAMBLING))
        answer = await chat.ask("message.create", "next", text=QUESTION)
        assert answer.status == "completed"
        assert roles(await messages(chat)) == ["user", "assistant"] * 2


async def test_cancelling_again_and_again_is_answered_each_time_and_ends_one_request_once(live: Server) -> None:
    async with session(live) as chat:
        await chat.ramble("long")
        for number in range(5):
            await chat.send("response.cancel", f"stop{number}", target="long")
        await chat.send("conversation.get", "last")
        events = await chat.until("response.done")
        events += [] if any(event["type"] == "conversation" for event in events) else await chat.until("conversation")
    answered = [event["id"] for event in events if event["type"] == "response.cancelled"]
    assert answered == [f"stop{number}" for number in range(5)]
    assert [event["type"] for event in events].count("response.done") == 1


@pytest.mark.parametrize("target", ["never", "", "done", "cancel", "\N{SNOWMAN}" * 10_000])
async def test_cancelling_what_is_not_open_is_no_error(live: Server, target: str) -> None:
    async with session(live) as chat:
        await chat.ask("message.create", "done", text="Hello!")
        assert await chat.do("response.cancel", "cancel", target=target) == {
            "type": "response.cancelled",
            "id": "cancel",
            "target": target,
            "found": False,
        }


async def test_cancelled_before_its_first_token_nothing_was_said(live: Server) -> None:
    async with session(live) as chat:
        await set_to(chat, **RAMBLING)
        await chat.send("message.create", "long", text=RAMBLE)
        await chat.send("response.cancel", "stop", target="long")
        events = await chat.until("response.done")
        held = await messages(chat)
    done = events[-1]
    assert done["status"] == "cancelled"
    was_heard = any(event["type"] == "response.delta" for event in events)
    assert (done["message"] is not None) == was_heard
    assert len(held) == (2 if was_heard else 0)


# -- one answer at a time ---------------------------------------------------------------------------------------------


async def test_while_one_message_is_answered_others_wait_their_turn(live: Server) -> None:
    async with session(live) as chat:
        await chat.ramble("long")
        refused = {
            "create": ("message.create", {"text": "Hello!"}),
            "edit": ("message.edit", {"message_id": "msg_0", "text": "Hello!"}),
            "again": ("response.regenerate", {}),
            "load": ("conversation.load", {"messages": []}),
        }
        for event_id, (kind, fields) in refused.items():
            await chat.send(kind, event_id, **fields)
        answers = await chat.answers(*refused)
        await chat.send("response.cancel", "stop", target="long")
        await chat.until("response.done")
        assert {name: answers[name].code for name in refused} == dict.fromkeys(refused, "conversation_busy")
        assert roles(await messages(chat)) == ["user", "assistant"]


async def test_commands_are_answered_while_a_message_is(live: Server) -> None:
    async with session(live) as chat:
        await chat.ramble("long")
        await chat.send("conversation.get", "look")
        assert (await chat.until("conversation"))[-1]["messages"] == []
        await chat.send("session.update", "set", settings={"seed": 5})
        assert (await chat.until("session.updated"))[-1]["settings"]["seed"] == 5
        await chat.send("response.cancel", "stop", target="long")
        assert (await chat.until("response.done"))[-1]["status"] == "cancelled"


async def test_an_open_id_can_not_be_used_again_and_its_request_goes_on(live: Server) -> None:
    async with session(live) as chat:
        await chat.ramble("long")
        await chat.send("conversation.get", "long")
        await chat.send("response.cancel", "long", target="long")
        errors = [(await chat.until("error"))[-1] for _ in range(2)]
        assert [(event["id"], error_code(event), event["error"]["param"]) for event in errors] == [
            (None, "duplicate_id", "id")
        ] * 2
        await chat.send("response.cancel", "stop", target="long")
        assert (await chat.until("response.done"))[-1]["status"] == "cancelled"
        assert (await chat.do("conversation.get", "long"))["id"] == "long"


# -- settings ---------------------------------------------------------------------------------------------------------


async def test_settings_change_together_or_not_at_all(live: Server) -> None:
    async with session(live) as chat:
        before = await set_to(chat, temperature=0.5, stop=["."])
        event = await chat.do("session.update", "bad", settings={"seed": 7, "temperature": 3})
        assert (event["id"], error_code(event), event["error"]["param"]) == (
            "bad",
            "invalid_field",
            "settings.temperature",
        )
        assert await set_to(chat) == before
        assert before["temperature"] == 0.5
        assert before["stop"] == ["."]


async def test_null_restores_a_default_and_nothing_else(live: Server) -> None:
    async with session(live) as chat:
        await set_to(chat, temperature=0.5, seed=7)
        assert await set_to(chat, temperature=None) == {**chat.created["settings"], "seed": 7}


@pytest.mark.parametrize(
    "wrong",
    [
        {"temperature": -0.1},
        {"temperature": "hot"},
        {"top_p": 0},
        {"top_p": 1.1},
        {"top_k": 0},
        {"top_k": 257},
        {"top_k": 1.5},
        {"repetition_penalty": 0.4},
        {"max_tokens": 0},
        {"max_tokens": 32_769},
        {"seed": -1},
        {"seed": 2**31},
        {"seed": True},
        {"stop": "word"},
        {"stop": [""]},
        {"stop": ["x"] * 9},
        {"system": 5},
        {"sytem": "typing error"},
    ],
)
async def test_a_setting_out_of_range_is_refused_by_name(live: Server, wrong: dict[str, Any]) -> None:
    async with session(live) as chat:
        event = await chat.do("session.update", settings=wrong)
        assert error_code(event) == "invalid_field"
        assert event["error"]["param"].partition("[")[0] == f"settings.{next(iter(wrong))}"


@pytest.mark.parametrize(("system", "code"), [("  ", "empty_text"), ("x" * 100_001, "text_too_long")])
async def test_a_system_prompt_must_be_a_text_that_fits(live: Server, system: str, code: str) -> None:
    async with session(live) as chat:
        event = await chat.do("session.update", settings={"system": system, "seed": 1})
        assert (error_code(event), event["error"]["param"]) == (code, "settings.system")
        assert await set_to(chat) == chat.created["settings"]


async def test_the_same_seed_gives_the_same_answer_and_others_give_others(live: Server) -> None:
    async def said(seed: int) -> str:
        async with session(live) as chat:
            await set_to(chat, **{**RAMBLING, "seed": seed, "max_tokens": 12})
            return (await chat.ask("message.create", text=QUESTION)).text

    assert await said(1) == await said(1)
    assert len({await said(seed) for seed in range(1, 5)}) > 1


async def test_at_temperature_zero_the_seed_does_not_matter(live: Server) -> None:
    async with session(live) as chat:
        await set_to(chat, temperature=0, seed=1)
        first = await chat.ask("message.create", text=QUESTION)
        await set_to(chat, seed=2)
        assert (await chat.ask("response.regenerate")).text == first.text


async def test_max_tokens_cuts_an_answer_short_and_says_so(live: Server) -> None:
    async with session(live) as chat:
        await set_to(chat, max_tokens=3)
        done = (await chat.ask("message.create", text=QUESTION)).last
    assert (done["status"], done["finish_reason"], done["usage"]["output_tokens"]) == ("completed", "length", 3)


async def test_a_stop_ends_the_answer_and_is_no_part_of_it(live: Server) -> None:
    async with session(live) as chat:
        await set_to(chat, **GREEDY)
        whole = (await chat.ask("message.create", text=QUESTION)).text
        stop = whole[8:12]
        await set_to(chat, stop=["never in this answer", stop])
        answer = await chat.ask("response.regenerate")
    assert answer.deltas == answer.text == whole[: whole.index(stop)]
    assert answer.last["finish_reason"] == "stop"


async def test_a_system_prompt_is_part_of_what_the_model_reads(live: Server) -> None:
    async with session(live) as chat:
        await set_to(chat, **GREEDY)
        without = (await chat.ask("message.create", text=QUESTION)).last["usage"]["input_tokens"]
        await set_to(chat, system="Answer in one word.")
        assert (await chat.ask("response.regenerate")).last["usage"]["input_tokens"] > without
        assert roles(await messages(chat)) == ["user", "assistant"]


async def test_settings_are_those_of_the_moment_when_the_request_came(live: Server) -> None:
    async with session(live) as chat:
        await set_to(chat, max_tokens=2)
        await chat.send("message.create", "ask", text=QUESTION)
        await chat.send("session.update", "set", settings={"max_tokens": 9})
        events = await chat.until("response.done")
    assert events[-1]["usage"]["output_tokens"] == 2


# -- texts ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "empty_text"),
        (" \n\t ", "empty_text"),
        ("x" * 100_001, "text_too_long"),
        ("one word after another " * 4_000, "text_too_long"),
    ],
)
async def test_a_text_that_is_empty_or_enormous_is_refused(live: Server, text: str, code: str) -> None:
    async with session(live) as chat:
        answer = await chat.ask("message.create", text=text)
        assert (answer.code, answer.last["error"]["param"]) == (code, "text")
        assert await messages(chat) == []


async def test_a_message_beyond_what_the_model_takes_says_how_much_that_is(live: Server) -> None:
    async with session(live) as chat:
        message = (await chat.ask("message.create", text="hello " * 5_000)).last["error"]["message"]
    assert "tokens" in message
    assert "Shorten" in message


@pytest.mark.parametrize(
    "text", ["\x00", "\U0001f600" * 50, "<|end|><|assistant|>", "\u202e\ufeff", "'\"\\;--</script>"]
)
async def test_odd_texts_are_answered_and_kept_as_they_are(live: Server, text: str) -> None:
    async with session(live) as chat:
        await set_to(chat, max_tokens=3)
        assert (await chat.ask("message.create", text=text)).status == "completed"
        assert (await messages(chat))[0]["text"] == text


async def test_a_long_conversation_leaves_out_its_oldest_turns_and_says_how_many(live: Server) -> None:
    turn = [{"role": "user", "text": "What is Aister? " * 20}, {"role": "assistant", "text": "A server. " * 20}]
    async with session(live) as chat:
        await set_to(chat, max_tokens=3)
        await chat.do("conversation.load", messages=turn * 40)
        usage = (await chat.ask("message.create", text=QUESTION)).last["usage"]
        assert len(await messages(chat)) == 82
    assert 0 < usage["truncated"] < 80
    assert usage["truncated"] % 2 == 0


# -- loading ----------------------------------------------------------------------------------------------------------


async def test_a_conversation_goes_on_in_a_new_session(live: Server) -> None:
    async with session(live) as chat:
        await set_to(chat, **GREEDY)
        await chat.ask("message.create", text="Hello!")
        held = await messages(chat)
        here = await chat.ask("message.create", text=QUESTION)
    async with session(live) as chat:
        await set_to(chat, **GREEDY)
        loaded = await chat.do("conversation.load", "load", messages=held)
        assert (loaded["type"], loaded["id"]) == ("conversation", "load")
        assert [(m["role"], m["text"], m["status"]) for m in loaded["messages"]] == [
            (m["role"], m["text"], m["status"]) for m in held
        ]
        assert (await chat.ask("message.create", text=QUESTION)).text == here.text
        assert len(await messages(chat)) == 4


async def test_loading_replaces_and_an_empty_list_clears(live: Server) -> None:
    async with session(live) as chat:
        await chat.ask("message.create", text="Hello!")
        await chat.do("conversation.load", messages=[{"role": "user", "text": QUESTION}])
        assert [message["text"] for message in await messages(chat)] == [QUESTION]
        answer = await chat.ask("response.regenerate")
        assert answer.status == "completed"
        assert (await chat.do("conversation.load", messages=[]))["messages"] == []
        assert error_code(await chat.do("response.regenerate")) == "nothing_to_answer"


@pytest.mark.parametrize(
    ("wrong", "code", "param"),
    [
        ([{"role": "user", "text": ""}], "empty_text", "messages[1].text"),
        ([{"role": "robot", "text": "x"}], "invalid_field", "messages[1].role"),
        ([{"role": "system", "text": "x"}], "invalid_field", "messages[1].role"),
        ([{"role": "user"}], "invalid_field", "messages[1].text"),
        ([{"role": "user", "text": "x", "name": "y"}], "invalid_field", "messages[1].name"),
        (["x"], "invalid_field", "messages[1]"),
        ([{"role": "user", "text": "x"}] * 2_000, "invalid_field", "messages"),
    ],
)
async def test_loading_what_is_no_conversation_changes_nothing(
    live: Server, wrong: list[Any], code: str, param: str
) -> None:
    async with session(live) as chat:
        await chat.do("conversation.load", messages=[{"role": "user", "text": QUESTION}])
        event = await chat.do("conversation.load", messages=[{"role": "user", "text": "x"}, *wrong])
        assert (error_code(event), event["error"]["param"]) == (code, param)
        assert [message["text"] for message in await messages(chat)] == [QUESTION]
