"""The bodies of HTTP requests."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from inference.protocol.fields import MAX_MESSAGES, EventId
from inference.protocol.settings import ChatSettings


class HttpMessage(Struct, frozen=True, forbid_unknown_fields=True):
    """A message of `POST /v1/chat`; `system` may only be the first."""

    role: Literal["system", "user", "assistant"]
    text: str
    id: str | None = None
    status: Literal["completed", "cancelled"] = "completed"


class ChatBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of `POST /v1/chat`."""

    messages: Annotated[list[HttpMessage], Meta(min_length=1, max_length=MAX_MESSAGES)]
    model: str | None = None
    stream: bool = False
    settings: ChatSettings = ChatSettings()
    type: Literal["message.create"] = "message.create"
    id: EventId = "1"


class TranslateBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of `POST /v1/translate`."""

    text: str | list[str]
    target: str
    source: str | None = None
    model: str | None = None
    type: Literal["translation.create"] = "translation.create"
    id: EventId = "1"


class TokenBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of `POST /v1/tokens`; what is left out is as wide as the key."""

    tasks: list[str] | None = None
    models: list[str] | None = None
    origin: str | None = None
    expires_in_s: Annotated[int, Meta(ge=10, le=86_400)] = 600
