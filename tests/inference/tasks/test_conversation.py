"""Conversations: drafts change nothing, and what is wrong is named."""

import pytest

from inference.errors import AisterError
from inference.protocol import MAX_MESSAGES, Message, NewMessage, Role
from inference.tasks.conversation import MAX_CONVERSATION_CHARACTERS, MAX_TEXT_CHARACTERS, Conversation, new_message


@pytest.fixture
def conversation() -> Conversation:
    said: list[tuple[Role, str]] = [("user", "a"), ("assistant", "b"), ("user", "c"), ("assistant", "d")]
    return Conversation([new_message(role, text) for role, text in said])


def texts(messages: list[Message]) -> list[str]:
    return [message.text for message in messages]


def test_a_draft_adds_a_message_and_leaves_the_conversation_alone(conversation: Conversation) -> None:
    assert texts(conversation.draft_with("e")) == ["a", "b", "c", "d", "e"]
    assert texts(conversation.messages) == ["a", "b", "c", "d"]


def test_an_edited_message_keeps_its_id_and_drops_what_follows(conversation: Conversation) -> None:
    first = conversation.messages[0]
    draft = conversation.draft_edited(first.id, "new")
    assert [(message.id, message.text) for message in draft] == [(first.id, "new")]
    assert texts(conversation.messages) == ["a", "b", "c", "d"]


def test_only_user_messages_that_are_there_can_be_edited(conversation: Conversation) -> None:
    for message_id in (conversation.messages[1].id, "msg_nowhere"):
        with pytest.raises(AisterError) as caught:
            conversation.draft_edited(message_id, "new")
        assert (caught.value.code, caught.value.param) == ("unknown_message", "message_id")


def test_regenerating_answers_the_last_user_message(conversation: Conversation) -> None:
    assert texts(conversation.draft_regenerated()) == ["a", "b", "c"]
    with pytest.raises(AisterError, match="nothing_to_answer"):
        Conversation().draft_regenerated()


@pytest.mark.parametrize(
    ("text", "code"), [("", "empty_text"), (" \n\t", "empty_text"), ("x" * (MAX_TEXT_CHARACTERS + 1), "text_too_long")]
)
def test_empty_and_enormous_texts_are_refused(conversation: Conversation, text: str, code: str) -> None:
    with pytest.raises(AisterError) as caught:
        conversation.draft_with(text)
    assert (caught.value.code, caught.value.param) == (code, "text")


def test_loading_replaces_everything_with_new_ids(conversation: Conversation) -> None:
    before = {message.id for message in conversation.messages}
    conversation.load([NewMessage("user", "x", id="mine"), NewMessage("assistant", "y", status="cancelled")])
    assert [(m.role, m.text, m.status) for m in conversation.messages] == [
        ("user", "x", "completed"),
        ("assistant", "y", "cancelled"),
    ]
    assert before.isdisjoint(message.id for message in conversation.messages)
    assert all(message.id.startswith("msg_") for message in conversation.messages)


def test_an_assistant_may_have_said_nothing(conversation: Conversation) -> None:
    conversation.load([NewMessage("user", "x"), NewMessage("assistant", "")])
    assert texts(conversation.messages) == ["x", ""]


def test_a_conversation_that_can_not_be_loaded_changes_nothing(conversation: Conversation) -> None:
    with pytest.raises(AisterError) as caught:
        conversation.load([NewMessage("assistant", "x"), NewMessage("user", " ")])
    assert (caught.value.code, caught.value.param) == ("empty_text", "messages[1].text")
    assert texts(conversation.messages) == ["a", "b", "c", "d"]


def talk(count: int, characters: int = 1) -> list[Message]:
    return [new_message("user" if number % 2 == 0 else "assistant", "x" * characters) for number in range(count)]


def test_a_conversation_forgets_its_oldest_turns_when_it_has_too_many_messages() -> None:
    conversation = Conversation()
    conversation.stand(whole := talk(MAX_MESSAGES))
    assert conversation.messages == whole
    conversation.stand(longer := [*whole, *talk(2)])
    assert conversation.messages == longer[-MAX_MESSAGES * 3 // 4 :]


def test_a_conversation_forgets_its_oldest_turns_when_it_is_too_long_but_never_the_last() -> None:
    conversation = Conversation()
    conversation.stand(whole := talk(10, MAX_CONVERSATION_CHARACTERS // 10))
    assert conversation.messages == whole
    conversation.stand(longer := [*whole, *talk(2)])
    assert conversation.messages == longer[-8:]
    conversation.stand(last := talk(2, MAX_CONVERSATION_CHARACTERS))
    assert conversation.messages == last
