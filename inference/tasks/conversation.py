"""A conversation: messages, and the drafts that requests make of it. Event loop only; no model, no I/O.

A request works on a draft, a copy that ends with the user message to answer. The conversation itself changes only
when the answer stands, so a request that fails leaves it as it was.
"""

import secrets
from bisect import bisect_left
from collections.abc import Iterable

import msgspec

from inference.errors import AisterError
from inference.protocol import MAX_MESSAGES, Message, NewMessage, Role

MAX_TEXT_CHARACTERS = 100_000
MAX_CONVERSATION_CHARACTERS = 500_000


def new_message_id() -> str:
    """Return an id for a message."""
    return f"msg_{secrets.token_hex(8)}"


def new_message(role: Role, text: str) -> Message:
    """Return a message with an id of its own."""
    return Message(id=new_message_id(), role=role, text=text)


def checked_text(text: str, param: str = "text", *, role: Role = "user") -> str:
    """Return the text; raise AisterError (empty_text, text_too_long). Only an assistant may have said nothing."""
    if role == "user" and not text.strip():
        raise AisterError("empty_text", param=param)
    if len(text) > MAX_TEXT_CHARACTERS:
        message = (
            f"The text has {len(text):,} characters; at most {MAX_TEXT_CHARACTERS:,} are taken. Shorten or split it."
        )
        raise AisterError("text_too_long", message, param=param)
    return text


class Conversation:
    """The messages of one session, oldest first."""

    def __init__(self, messages: Iterable[Message] = ()) -> None:
        self.id = f"conv_{secrets.token_hex(8)}"
        self.messages = list(messages)

    def draft_with(self, text: str) -> list[Message]:
        """Return the conversation with one more user message; raise AisterError (empty_text, text_too_long)."""
        return [*self.messages, new_message("user", checked_text(text))]

    def draft_edited(self, message_id: str, text: str) -> list[Message]:
        """Return the conversation up to a user message, with its text replaced.

        Raises AisterError: unknown_message, empty_text, text_too_long.
        """
        for position, message in enumerate(self.messages):
            if message.id == message_id and message.role == "user":
                edited = msgspec.structs.replace(message, text=checked_text(text))
                return [*self.messages[:position], edited]
        raise AisterError("unknown_message", "No user message has this id.", param="message_id")

    def draft_regenerated(self) -> list[Message]:
        """Return the conversation up to its last user message; raise AisterError (nothing_to_answer)."""
        for position in range(len(self.messages) - 1, -1, -1):
            if self.messages[position].role == "user":
                return self.messages[: position + 1]
        raise AisterError("nothing_to_answer")

    def stand(self, messages: list[Message]) -> None:
        """Let an answered draft be the conversation.

        When it has grown past MAX_MESSAGES or MAX_CONVERSATION_CHARACTERS, the oldest whole turns are forgotten until a
        quarter of that is free again; never the last turn.
        """
        if exceeds(messages, 1.0):
            starts = [position for position, message in enumerate(messages) if message.role == "user"]
            fits = bisect_left(starts, True, key=lambda start: not exceeds(messages[start:], 0.75))
            messages = messages[starts[min(fits, len(starts) - 1)] :]
        self.messages = messages

    def load(self, messages: Iterable[NewMessage]) -> None:
        """Replace all messages; raise AisterError (empty_text, text_too_long) and change nothing when one is wrong."""
        loaded = [
            Message(
                id=new_message_id(),
                role=message.role,
                text=checked_text(message.text, f"messages[{position}].text", role=message.role),
                status=message.status,
            )
            for position, message in enumerate(messages)
        ]
        self.messages = loaded


def exceeds(messages: list[Message], part: float) -> bool:
    """Say whether messages take more than that part of what a conversation may."""
    characters = sum(len(message.text) for message in messages)
    return len(messages) > part * MAX_MESSAGES or characters > part * MAX_CONVERSATION_CHARACTERS
