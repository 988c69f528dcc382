"""What clients send in a session."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from inference.protocol.fields import MAX_MESSAGES, EventId, Role
from inference.protocol.settings import ChatSettingsUpdate, TranslationSettingsUpdate


class ClientEvent(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type"):
    """What every event of a client has."""

    id: EventId


class MessageCreate(ClientEvent, frozen=True, tag="message.create"):
    """Add a user message and answer it."""

    text: str


class MessageEdit(ClientEvent, frozen=True, tag="message.edit"):
    """Drop all after a user message, replace its text and answer anew."""

    message_id: str
    text: str


class ResponseRegenerate(ClientEvent, frozen=True, tag="response.regenerate"):
    """Answer the last user message again."""


class TranslationCreate(ClientEvent, frozen=True, tag="translation.create"):
    """Translate one text or a list of texts."""

    text: str | list[str]
    source: str | None = None
    target: str | None = None


class ResponseCancel(ClientEvent, frozen=True, tag="response.cancel"):
    """Cancel the open request whose id is `target`."""

    target: str


class ChatSessionUpdate(ClientEvent, frozen=True, tag="session.update"):
    """Change settings of later requests, all of it or none of it."""

    settings: ChatSettingsUpdate


class TranslationSessionUpdate(ClientEvent, frozen=True, tag="session.update"):
    """Change settings of later requests, all of it or none of it."""

    settings: TranslationSettingsUpdate


class ConversationGet(ClientEvent, frozen=True, tag="conversation.get"):
    """Ask for the conversation as it stands."""


class NewMessage(Struct, frozen=True, forbid_unknown_fields=True):
    """A message as a client gives it. `id` and `status` are those of a `conversation` event: kept, and ignored."""

    role: Role
    text: str
    id: str | None = None
    status: Literal["completed", "cancelled"] = "completed"


class ConversationLoad(ClientEvent, frozen=True, tag="conversation.load"):
    """Replace the conversation."""

    messages: Annotated[list[NewMessage], Meta(max_length=MAX_MESSAGES)]


CHAT_EVENTS: tuple[type[ClientEvent], ...] = (
    MessageCreate,
    MessageEdit,
    ResponseRegenerate,
    ResponseCancel,
    ChatSessionUpdate,
    ConversationGet,
    ConversationLoad,
)
TRANSLATION_EVENTS: tuple[type[ClientEvent], ...] = (TranslationCreate, ResponseCancel, TranslationSessionUpdate)
