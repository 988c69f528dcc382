"""Chat: what is left out of a long conversation, and whose settings count."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.engines.base import Delta
from inference.engines.decoder import DecoderEngine
from inference.engines.generation import Sampling
from inference.errors import AisterError
from inference.protocol import ChatSettings
from inference.tasks.chat import ChatAnswer, fit
from inference.tasks.conversation import Conversation, new_message
from tests.inference.engines.small_decoders import CONFIGS, Driver, save_decoder


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
    prompt, left_out = fit(engine(), "be brief", turns(3, 3, 3, 3, 3), 22)
    assert (len(prompt), left_out) == (3 + 3 * 4, 2)
    prompt, left_out = fit(engine(), "be brief", turns(3, 3, 3, 3, 3), 14)
    assert (len(prompt), left_out) == (3 + 4, 4)


def test_a_message_too_long_by_itself_is_refused() -> None:
    with pytest.raises(AisterError) as caught:
        fit(engine(), None, turns(1, 1, 20), 15)
    assert (caught.value.code, caught.value.param) == ("text_too_long", "text")


@given(st.lists(st.integers(0, 9), min_size=1, max_size=41).filter(lambda words: len(words) % 2), st.integers(10, 60))
def test_what_is_left_out_makes_the_rest_fit_and_few_tries_are_made(words: list[int], room: int) -> None:
    model, all_turns = engine(), turns(*words)
    prompt, left_out = fit(model, None, all_turns, room)
    assert len(prompt) <= room
    assert left_out % 2 == 0
    assert len(prompt) == len(WordsText().encode(all_turns[left_out:]))
    assert (left_out > 0) == (len(WordsText().encode(all_turns)) > room)
    assert model.text.calls <= 20


@given(st.lists(st.integers(0, 9), min_size=41, max_size=41), st.integers(80, 120))
def test_a_full_conversation_leaves_out_the_same_for_some_turns_each_time(words: list[int], room: int) -> None:
    all_turns = turns(*words)
    cuts, free = [], []
    for length in range(1, len(all_turns) + 1, 2):
        prompt, left_out = fit(engine(), None, all_turns[:length], room)
        if left_out and left_out != (cuts or [0])[-1]:
            free.append(room - len(prompt))
        cuts.append(left_out)
    assert cuts == sorted(cuts)
    turn = 2 * 10  # at most: tokens of a question and an answer
    assert min(free, default=room) >= room // 4 - 2 * turn
    all_tokens = len(WordsText().encode(all_turns))
    assert len(set(cuts)) - 1 <= 1 + all_tokens // (room // 4)


def test_turns_of_a_full_conversation_are_read_from_the_cache(tmp_path: Path) -> None:
    directory = save_decoder(CONFIGS["llama"], tmp_path)
    driver = Driver(DecoderEngine.load(directory, threads=1, max_rows=2, cache_bytes=2**24))
    question = "hello, world! " * 3
    said_before = [(new_message("user", question), new_message("assistant", "")) for _ in range(30)]
    conversation = Conversation(message for turn in said_before for message in turn)
    cached = []
    for _ in range(8):
        draft = conversation.draft_with(question)
        answer = ChatAnswer(conversation, draft, ChatSettings(max_tokens=2, temperature=0.0))
        request = answer.prepare(driver.engine, "key")
        (said,) = driver.run(request)
        for text in said.deltas:
            answer.hear(Delta(text))
        answer.conclude(is_cancelled=False)
        assert answer.truncated
        cached.append(said.end.usage.cached_tokens / len(request.prompt))
    assert sum(part > 0.8 for part in cached[1:]) >= 5, cached


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
