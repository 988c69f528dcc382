"""Every error a client can meet, in one table: code, message, HTTP status, close code, and whether trying again can
help.

docs/protocol.md shows this table, and a test holds it to that. `AisterError` carries a row to the client; text of an
exception never does.
"""

import traceback
from typing import NamedTuple


class ErrorCode(NamedTuple):
    """One row.

    `message` is used when the place that raises knows nothing better; `close` ends the session with that code.
    """

    code: str
    message: str
    status: int
    close: int | None = None
    retry: bool = False


TABLE = (
    # Frames and events
    ErrorCode("invalid_json", "The frame is not a JSON object. Send one JSON object in each frame.", 400),
    ErrorCode("too_many_invalid_frames", "Too many frames in a row could not be read. Check what your client sends.", 400, 4400),
    ErrorCode("frame_too_large", "The frame or body is too large. Split the text.", 413, 1009),
    ErrorCode("unknown_type", "No such event type here.", 400),
    ErrorCode("invalid_field", "A field is missing, unknown or of the wrong type.", 400),
    ErrorCode("duplicate_id", "A request with this id is still open. Use a new id for each event.", 409),
    ErrorCode("too_many_open", "Too many requests are open on this socket. Wait for one to end.", 429, retry=True),
    # What is asked of a model
    ErrorCode("empty_text", "The text is empty. Send some text.", 400),
    ErrorCode("text_too_long", "The text is too long. Shorten it or split it.", 413),
    ErrorCode("unknown_model", "No such model. GET /v1/models lists those there are.", 404, 4404),
    ErrorCode("wrong_task", "This model does another task. GET /v1/models says which model does what.", 400, 4404),
    ErrorCode("model_unavailable", "The model could not be loaded. The server's log says why.", 503, retry=True),
    ErrorCode("unknown_language", "The model does not know this language. GET /v1/languages lists those there are.", 400),
    ErrorCode("unsupported_pair", "The model does not translate between these languages.", 400),
    # Conversations
    ErrorCode("conversation_busy", "The conversation is answering. Wait for response.done or cancel it.", 409, retry=True),
    ErrorCode("unknown_message", "No such message. conversation.get lists those there are.", 404),
    ErrorCode("nothing_to_answer", "There is no user message to answer. Send one with message.create.", 409),
    ErrorCode("invalid_conversation", "The messages are not a conversation.", 400),
    # Who asks
    ErrorCode("missing_key", "No API key. Send 'Authorization: Bearer <key>', or a token as the subprotocol aister.token.<token>.", 401, 4401),
    ErrorCode("malformed_key", "This is not a whole API key. Copy it again: it begins with aister_ and has 56 characters.", 401, 4401),
    ErrorCode("wrong_key", "No such API key. Make one in the admin or with 'manage.py keys create'.", 401, 4401),
    ErrorCode("revoked_key", "This API key has been revoked. Ask for a new one.", 401, 4401),
    ErrorCode("expired_key", "This API key or token has expired. Ask for a new one.", 401, 4401),
    ErrorCode("forbidden_task", "This API key may not use this task.", 403, 4403),
    ErrorCode("forbidden_model", "This API key may not use this model.", 403, 4403),
    ErrorCode("forbidden_origin", "This API key may not be used from this origin.", 403, 4403),
    ErrorCode("sign_in_required", "Sign in first, or send an API key.", 401),
    ErrorCode("csrf_failed", "The page is out of date. Reload it and try again.", 403),
    ErrorCode("key_required", "A token can't make tokens. Use the API key.", 403),
    # Limits
    ErrorCode("rate_limited", "This key has used up its requests for now.", 429, retry=True),
    ErrorCode("too_many_attempts", "Too many failed attempts from your address. Wait, and check the key.", 429, 4429, retry=True),
    ErrorCode("too_many_sessions", "This key has too many open sessions. Close one.", 429, 4429, retry=True),
    # The server
    ErrorCode("overloaded", "The server is busy. Try again shortly.", 503, retry=True),
    ErrorCode("server_full", "The server has too many open sessions. Try again shortly.", 503, 1013, retry=True),
    ErrorCode("client_too_slow", "The client does not read its answers.", 408, 4408),
    ErrorCode("restarting", "The server is restarting. Connect again.", 503, 1012, retry=True),
    ErrorCode("unavailable", "The server can't use its database right now. Try again shortly; its log says why.", 503, 1013, retry=True),
    ErrorCode("usage_unavailable", "The usage of this request could not be recorded. Try again shortly.", 503, retry=True),
    ErrorCode("internal_error", "Something went wrong on the server; its log has more under the request id.", 500, retry=True),
    # Addresses
    ErrorCode("unknown_endpoint", "No such endpoint. See docs/protocol.md.", 404, 4404),
    ErrorCode("method_not_allowed", "This address does not take this method.", 405),
    ErrorCode("upgrade_required", "This address speaks WebSocket. Connect with a WebSocket client.", 426),
)  # fmt: skip

CODES = {row.code: row for row in TABLE}


class AisterError(Exception):
    """An error for the client: a row of the table, with a better message where there is one.

    `param` names the field at fault, `retry_after_s` says when to come back. Raises KeyError for a code the table
    lacks.
    """

    def __init__(
        self, code: str, message: str = "", *, param: str | None = None, retry_after_s: float | None = None
    ) -> None:
        self.row = CODES[code]
        self.message = message or self.row.message
        self.param = param
        self.retry_after_s = retry_after_s
        super().__init__(code)  # only the code: messages may hold what a client sent, and exceptions get logged

    @property
    def code(self) -> str:
        """The code, as clients see it."""
        return self.row.code


def trace(fault: BaseException) -> str:
    """Return where an exception came from and its type, for the log.

    Never its text, which may quote what a client sent.
    """
    frames = "".join(traceback.format_tb(fault.__traceback__))
    cause = fault.__cause__ or fault.__context__
    before = f"{trace(cause)}which led to\n" if cause is not None else ""
    return f"{before}{frames}{type(fault).__name__}\n"
