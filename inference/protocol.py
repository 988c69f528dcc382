"""The events of a session, as typed structs: parse and encode, nothing else. No I/O, no Django, any thread.

A frame is decoded twice: first its envelope (`type`, `id`), so that an error about any other field still carries the
id, then the struct of that type. docs/protocol.md shows every struct here, and a test holds it to that.
"""

import re
from collections.abc import Iterable
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from inference.errors import AisterError

S = TypeVar("S", "ChatSettings", "TranslationSettings")
T = TypeVar("T")

SUBPROTOCOL = "aister.v1"
MAX_FRAME_BYTES = 512 * 1024
MAX_OPEN_REQUESTS = 16
MAX_INVALID_FRAMES = 10
MAX_MESSAGES = 2_000
MAX_STOPS = 8

EventId = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_.:\-]+\Z")]
Role = Literal["user", "assistant"]
Stop = Annotated[str, Meta(min_length=1, max_length=64)]
Seed = Annotated[int, Meta(ge=0, le=2**31 - 1)]
Temperature = Annotated[float, Meta(ge=0, le=2)]
TopP = Annotated[float, Meta(gt=0, le=1)]
TopK = Annotated[int, Meta(ge=1, le=256)]
RepetitionPenalty = Annotated[float, Meta(ge=0.5, le=2)]
MaxTokens = Annotated[int, Meta(ge=1, le=32_768)]


class EventError(AisterError):
    """An error about one client event; `event_id` is its id, or None when that could not be read."""

    def __init__(self, error: AisterError, event_id: str | None) -> None:
        super().__init__(error.code, error.message, param=error.param, retry_after_s=error.retry_after_s)
        self.event_id = event_id


# -- settings ---------------------------------------------------------------------------------------------------------


class ChatSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a chat session answers; null is the model's own default."""

    system: str | None = None
    temperature: Temperature | None = None
    top_p: TopP | None = None
    top_k: TopK | None = None
    repetition_penalty: RepetitionPenalty | None = None
    max_tokens: MaxTokens | None = None
    seed: Seed | None = None
    stop: Annotated[list[Stop], Meta(max_length=MAX_STOPS)] | None = None


class TranslationSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Languages of translations that name none; a null source is `auto`, a null target must be named each time."""

    source: str | None = None
    target: str | None = None


class ChatSettingsUpdate(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The fields to change; null restores the default."""

    system: str | UnsetType | None = UNSET
    temperature: Temperature | UnsetType | None = UNSET
    top_p: TopP | UnsetType | None = UNSET
    top_k: TopK | UnsetType | None = UNSET
    repetition_penalty: RepetitionPenalty | UnsetType | None = UNSET
    max_tokens: MaxTokens | UnsetType | None = UNSET
    seed: Seed | UnsetType | None = UNSET
    stop: Annotated[list[Stop], Meta(max_length=MAX_STOPS)] | UnsetType | None = UNSET


class TranslationSettingsUpdate(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The fields to change; null restores the default."""

    source: str | UnsetType | None = UNSET
    target: str | UnsetType | None = UNSET


def updated(settings: S, update: Struct) -> S:
    """Return `settings` with the fields that `update` sets."""
    changes = {name: getattr(update, name) for name in update.__struct_fields__}
    return msgspec.structs.replace(settings, **{k: v for k, v in changes.items() if v is not UNSET})


# -- client events ----------------------------------------------------------------------------------------------------


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


# -- bodies of HTTP requests ------------------------------------------------------------------------------------------


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


# -- server events ----------------------------------------------------------------------------------------------------


class ServerEvent(Struct, frozen=True, kw_only=True, tag_field="type"):
    """What every event of the server has: its type."""


class ModelInfo(Struct, frozen=True, kw_only=True):
    """The model of a session."""

    id: str
    demonstration: bool
    description: str


class SessionLimits(Struct, frozen=True, kw_only=True):
    """What the session may ask for; `requests_left` are left of this minute's (null: no limit)."""

    open_requests: int
    frame_bytes: int
    text_characters: int
    requests_per_minute: int | None
    requests_left: int | None


class SessionCreated(ServerEvent, frozen=True, tag="session.created"):
    """The first event of a session."""

    session_id: str
    task: str
    model: ModelInfo
    languages: list[str]
    settings: ChatSettings | TranslationSettings
    limits: SessionLimits


class SessionUpdated(ServerEvent, frozen=True, tag="session.updated"):
    """The settings after a `session.update`."""

    id: str
    settings: ChatSettings | TranslationSettings


class SessionClosing(ServerEvent, frozen=True, tag="session.closing"):
    """The server is stopping; open requests may end within `grace_s` seconds, new ones are refused."""

    grace_s: float


class ResponseLoading(ServerEvent, frozen=True, tag="response.loading"):
    """The request waits for its model to be loaded: told at once, then every second.

    `percent` of the weights are read; null while and where that can't be told. The load was asked for `waited_s` ago,
    by whomever; the last one took `expected_s`, null when there was none.
    """

    id: str
    percent: int | None
    waited_s: float
    expected_s: float | None


class ResponseQueued(ServerEvent, frozen=True, tag="response.queued"):
    """The request waits; `position` is 1 for the next."""

    id: str
    position: int


class ResponseCreated(ServerEvent, frozen=True, tag="response.created"):
    """The model has taken the request. `message_id` is the user message that it answers (chat)."""

    id: str
    request_id: str
    model: str
    message_id: str | UnsetType = UNSET


class ResponseDelta(ServerEvent, frozen=True, tag="response.delta"):
    """More text of the answer, or of the list item number `item` (translation)."""

    id: str
    text: str
    item: int | UnsetType = UNSET


class Message(Struct, frozen=True, kw_only=True):
    """A message of a conversation."""

    id: str
    role: Role
    text: str
    status: Literal["completed", "cancelled"] = "completed"


class TranslationWarning(Struct, frozen=True, kw_only=True):
    """What is doubtful about a translation: `words` that the model does not know, or that did not come through."""

    code: Literal["outside_vocabulary", "not_kept"]
    message: str
    words: list[str]


class TranslationResult(Struct, frozen=True, kw_only=True):
    """One translated text; `confidence` (0 to 1) is how sure the detected `source` is."""

    text: str
    source: str
    confidence: float
    uncertain: bool
    warning: TranslationWarning | UnsetType = UNSET


class UsageInfo(Struct, frozen=True, kw_only=True):
    """What the request cost, in tokens; `truncated` messages of the conversation were left out."""

    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    truncated: int = 0


class Timing(Struct, frozen=True, kw_only=True):
    """Milliseconds since the request was received; `first_token_ms` is null when there was none."""

    queue_ms: float
    first_token_ms: float | None
    total_ms: float


class ErrorBody(Struct, frozen=True, kw_only=True):
    """A row of the error table, as clients see it; `retry_after` is in seconds."""

    code: str
    message: str
    param: str | None = None
    retry_after: float | None = None


class ResponseDone(ServerEvent, frozen=True, kw_only=True, tag="response.done"):
    """The end of a request."""

    id: str
    request_id: str
    status: Literal["completed", "cancelled", "failed"]
    finish_reason: str | UnsetType = UNSET
    message: Message | UnsetType | None = UNSET
    translations: list[TranslationResult] | UnsetType = UNSET
    error: ErrorBody | UnsetType = UNSET
    usage: UsageInfo
    timing: Timing


class ResponseCancelled(ServerEvent, frozen=True, tag="response.cancelled"):
    """The answer to `response.cancel`; a target that has ended is not found, which is no error."""

    id: str
    target: str
    found: bool


class Conversation(ServerEvent, frozen=True, tag="conversation"):
    """The conversation as it stands."""

    id: str
    messages: list[Message]


class Error(ServerEvent, frozen=True, tag="error"):
    """Something was wrong with an event, or with the session (then `id` is null)."""

    id: str | None
    request_id: str | None
    error: ErrorBody


SERVER_EVENTS: tuple[type[ServerEvent], ...] = (
    SessionCreated,
    SessionUpdated,
    SessionClosing,
    ResponseLoading,
    ResponseQueued,
    ResponseCreated,
    ResponseDelta,
    ResponseDone,
    ResponseCancelled,
    Conversation,
    Error,
)


# -- parse and encode -------------------------------------------------------------------------------------------------


class Envelope(Struct, frozen=True):
    """The two fields that every client event has, of whatever type."""

    type: Any = None
    id: Any = None


class Parser:
    """Parses the frames of one kind of session; made once for each task, used by all its sessions."""

    def __init__(self, events: Iterable[type[ClientEvent]]) -> None:
        self.decoders = {str(event.__struct_config__.tag): msgspec.json.Decoder(event) for event in events}

    def parse(self, frame: str | bytes) -> ClientEvent:
        """Return the event in `frame`.

        Raise EventError (frame_too_large, invalid_json, invalid_field, unknown_type).
        """
        data = frame.encode("utf-8", "surrogatepass") if isinstance(frame, str) else frame
        if len(data) > MAX_FRAME_BYTES:
            raise EventError(too_large(), None)
        envelope = decode(ENVELOPE, data, None)
        event_id = readable_id(envelope.id)
        if not isinstance(envelope.type, str) or envelope.type not in self.decoders:
            raise EventError(self.unknown_type(envelope.type), event_id)
        return decode(self.decoders[envelope.type], data, event_id)

    def unknown_type(self, name: object) -> AisterError:
        """The error for an event that is not of this task."""
        known = ", ".join(self.decoders)
        if not isinstance(name, str):
            return AisterError("unknown_type", f"The event has no type. Events here: {known}.", param="type")
        return AisterError("unknown_type", f"No event {name[:64]!r} here. Events here: {known}.", param="type")


ENVELOPE = msgspec.json.Decoder(Envelope)
EVENT_ID = re.compile(r"[A-Za-z0-9_.:\-]{1,64}")
# msgspec names a wrong field by its path, a missing or unknown one in back quotes
FIELD = re.compile(r"(?:missing required|unknown) field `([^`]*)`")
PATH = re.compile(r" - at `\$\.?([^`]*)`$")


def readable_id(value: object) -> str | None:
    """Return the id when it is one that can be echoed."""
    return value if isinstance(value, str) and EVENT_ID.fullmatch(value) else None


def too_large() -> AisterError:
    """The error for a frame or body over MAX_FRAME_BYTES."""
    return AisterError("frame_too_large", f"At most {MAX_FRAME_BYTES:,} bytes in one go. Split the text.")


def decode(decoder: "msgspec.json.Decoder[T]", data: bytes, event_id: str | None) -> T:
    """Decode with one decoder; raise EventError (invalid_json, invalid_field)."""
    try:
        return decoder.decode(data)
    except msgspec.ValidationError as error:
        raise EventError(field_error(str(error)), event_id) from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise EventError(AisterError("invalid_json"), event_id) from None
    except RecursionError:
        raise EventError(AisterError("invalid_json", "The JSON is nested too deeply."), event_id) from None


def field_error(reason: str) -> AisterError:
    """Turn msgspec's reason into an error that names the field."""
    path, field = PATH.search(reason), FIELD.search(reason)
    if reason.startswith("Expected `object`") and path is None:
        return AisterError("invalid_json")
    parts = [m.group(1) for m in (path, field) if m and m.group(1)]
    said = PATH.sub("", reason)
    where = f" in '{parts[0]}'" if path and path.group(1) else ""
    return AisterError("invalid_field", f"{said}{where}.", param=".".join(parts) or None)


def encode(event: Struct) -> str:
    """Return the event as the text of one frame."""
    return msgspec.json.encode(event).decode()


def error_body(error: AisterError) -> ErrorBody:
    """Return an error as clients see it."""
    return ErrorBody(code=error.code, message=error.message, param=error.param, retry_after=error.retry_after_s)
