"""Chat: what is left out of a long conversation, and whose settings count."""

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.engines.base import Delta
from inference.engines.generation import Sampling
from inference.errors import AisterError
from inference.protocol import ChatSettings
from inference.tasks.chat import ChatAnswer, fit
from inference.tasks.conversation import Conversation


class WordsText:
    """Counts a token a word, and one a message; notes how often it is asked."""

    def __init__(self) -> None:
        self.calls = 0

    def encode(self, messages: list[tuple[str, str]]) -> list[int]:
        self.calls += 1
        return [1 for _, text in messages for _ in [None, *text.split()]]


def engine(context_tokens: int = 100) -> Any:
    defaults = Sampling(temperature=0.3, top_p=0.8, top_k=40, repetition_penalty=1.1)
    return SimpleNamespace(text=WordsText(), max_context_tokens=context_tokens, defaults=defaults)


def turns(*words: int) -> list[tuple[str, str]]:
    roles = ["user", "assistant"]
    return [(roles[position % 2], "w " * count) for position, count in enumerate(words)]


def test_a_conversation_that_fits_is_kept_whole() -> None:
    prompt, left_out = fit(engine(), "be brief", turns(3, 3, 3), 15)
    assert (len(prompt), left_out) == (15, 0)


def test_the_oldest_whole_turns_are_left_out_never_the_system_prompt_nor_the_last_message() -> None:
    prompt, left_out = fit(engine(), "be brief", turns(3, 3, 3, 3, 3), 14)
    assert (len(prompt), left_out) == (3 + 4, 4)
    prompt, left_out = fit(engine(), "be brief", turns(3, 3, 3, 3, 3), 15)
    assert (len(prompt), left_out) == (15, 2)


def test_a_message_too_long_by_itself_is_refused() -> None:
    with pytest.raises(AisterError) as caught:
        fit(engine(), None, turns(1, 1, 20), 15)
    assert (caught.value.code, caught.value.param) == ("text_too_long", "text")


@given(st.lists(st.integers(0, 9), min_size=1, max_size=41).filter(lambda words: len(words) % 2), st.integers(10, 60))
def test_as_little_as_possible_is_left_out_and_few_tries_are_made(words: list[int], room: int) -> None:
    model, all_turns = engine(), turns(*words)
    prompt, left_out = fit(model, None, all_turns, room)
    assert len(prompt) <= room
    assert left_out % 2 == 0
    assert len(prompt) == len(WordsText().encode(all_turns[left_out:]))
    if left_out:
        assert len(WordsText().encode(all_turns[left_out - 2 :])) > room
    assert model.text.calls <= 8


def test_a_session_s_settings_go_before_the_model_s_own() -> None:
    conversation = Conversation()
    settings = ChatSettings(temperature=0.0, seed=7, stop=["x"], max_tokens=5)
    request = ChatAnswer(conversation, conversation.draft_with("hello"), settings).prepare(engine(), "key")
    assert request.sampling == Sampling(temperature=0.0, top_p=0.8, top_k=40, repetition_penalty=1.1, seed=7)
    assert (request.stop, request.max_tokens, request.key) == (("x",), 5, "key")
    assert request.conversation == conversation.id


def test_the_answer_gets_what_the_context_leaves() -> None:
    conversation = Conversation()
    draft = conversation.draft_with("one two three")
    assert ChatAnswer(conversation, draft, ChatSettings()).prepare(engine(100), "k").max_tokens == 96
    asked = ChatSettings(max_tokens=70)
    assert ChatAnswer(conversation, draft, asked).prepare(engine(100), "k").max_tokens == 70


def answered(*, is_cancelled: bool, parts: list[str]) -> tuple[Conversation, Any]:
    conversation = Conversation()
    answer = ChatAnswer(conversation, conversation.draft_with("q"), ChatSettings())
    for part in parts:
        answer.hear(Delta(part))
    return conversation, answer.conclude(is_cancelled=is_cancelled).message


def test_a_whole_answer_stands_in_the_conversation() -> None:
    conversation, message = answered(is_cancelled=False, parts=["Hi", " there."])
    assert (message.role, message.text, message.status) == ("assistant", "Hi there.", "completed")
    assert [m.text for m in conversation.messages] == ["q", "Hi there."]


def test_a_cancelled_answer_stays_as_far_as_it_came() -> None:
    conversation, message = answered(is_cancelled=True, parts=["Hi"])
    assert (message.text, message.status) == ("Hi", "cancelled")
    assert conversation.messages[-1] == message


def test_cancelled_before_its_first_token_it_never_was() -> None:
    conversation, message = answered(is_cancelled=True, parts=[])
    assert message is None
    assert conversation.messages == []
