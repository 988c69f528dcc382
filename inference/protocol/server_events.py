"""What the server sends, in a session and over HTTP, and the objects in it."""

from typing import Literal

from msgspec import UNSET, Struct, UnsetType

from inference.protocol.fields import Role
from inference.protocol.settings import ChatSettings, TranslationSettings


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


DoubtCode = Literal["outside_vocabulary", "not_kept", "made_up", "unsure"]


class TranslationWarning(Struct, frozen=True, kw_only=True):
    """What is doubtful about a translation: `words` that the model does not know, did not keep, or made up, or all.

    `message` says all of it; `code` and `words` say what comes first in the order of the codes. `unsure` is of no
    words.
    """

    code: DoubtCode
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
