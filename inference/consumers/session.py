"""What every session does, whatever its task: accept, recognise the key, read events, send events, clean up.

Runs on the event loop. Each request runs in a task of its own, since Channels handles one frame of a socket at a
time. One writer task a session sends what is in the outbox. Everything is released in a `finally` around `__call__`:
Channels does not call `disconnect` when a handler raises or the server stops.
"""

import asyncio
import logging
import secrets
from typing import Any, ClassVar
from urllib.parse import parse_qs

from channels.consumer import AsyncConsumer
from channels.exceptions import StopConsumer

from accounts import addresses
from accounts.authentication import Caller
from inference.apps import manager, sessions
from inference.callers import account_errors, echoed_subprotocol, headers_of, identify, session_limits, spend_request
from inference.catalog import ModelEntry, Task
from inference.descriptions import language_codes
from inference.errors import AisterError, trace
from inference.outages import unavailable
from inference.outbox import Outbox
from inference.protocol import (
    MAX_FRAME_BYTES,
    MAX_INVALID_FRAMES,
    MAX_OPEN_REQUESTS,
    ChatSettings,
    ClientEvent,
    Error,
    EventError,
    ModelInfo,
    Parser,
    ResponseCancel,
    ResponseCancelled,
    SessionClosing,
    SessionCreated,
    TranslationSettings,
    encode,
    error_body,
)
from inference.response import Response, keep_running, new_request_id
from inference.tasks.answer import Answer
from inference.usage import ledger

log = logging.getLogger(__name__)

FAREWELL_S = 5.0  # how long a client that does not read may keep its session after the end


class SessionConsumer(AsyncConsumer):
    """A session of one task. A subclass says which events there are and what they do."""

    channel_layer_alias = ""  # names no layer: with one, every socket would die with Redis
    task: ClassVar[Task]
    parser: ClassVar[Parser]
    text_characters: ClassVar[int]
    settings: ChatSettings | TranslationSettings
    caller: Caller
    entry: ModelEntry

    def __init__(self) -> None:
        self.session_id = f"sess_{secrets.token_hex(12)}"
        self.key_id = 0
        self.open: dict[str, Response] = {}
        self.invalid_frames = 0
        self.is_ended = False
        self.close_code = 1000
        self.outbox = Outbox(overflow=lambda: self.end(AisterError("client_too_slow")))
        self.writer: asyncio.Task[None] | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Run the session; whatever ends it, nothing of it is left."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self.release()

    def release(self) -> None:
        """Cancel what is open and let go of everything. Requests end by themselves, and get their usage rows."""
        self.is_ended = True
        sessions().remove(self)
        self.cancel_open()
        self.outbox.close()
        if self.writer is not None:
            self.writer.cancel()
        if not self.open:
            self.forget()

    # -- Channels' handlers -------------------------------------------------------------------------------------------

    async def websocket_connect(self, _message: dict[str, Any]) -> None:
        """Accept everyone, so that a refusal can be told; then open the session or close it."""
        await self.send({"type": "websocket.accept", "subprotocol": echoed_subprotocol(self.scope["headers"])})
        self.writer = asyncio.create_task(self.write())
        try:
            await self.open_session()
        except AisterError as error:
            self.end(error)
        except Exception as fault:
            self.end(unavailable(fault) or self.unexpected(fault, new_request_id()))

    async def websocket_receive(self, message: dict[str, Any]) -> None:
        """Handle one frame, of text or of bytes."""
        if self.is_ended:
            return
        event_id, request_id = None, new_request_id()
        try:
            event = self.parse(message)
            event_id = event.id
            self.check_id(event)
            self.handle(event)
        except EventError as error:
            is_of_another = error.event_id in self.open  # whose request it must not seem to end
            self.report(error, None if is_of_another else error.event_id, request_id)
        except AisterError as error:
            self.report(error, event_id, request_id)
        except Exception as fault:
            self.report(self.unexpected(fault, request_id), event_id, request_id)

    async def websocket_disconnect(self, _message: dict[str, Any]) -> None:
        """The client has gone."""
        raise StopConsumer

    # -- opening ------------------------------------------------------------------------------------------------------

    async def open_session(self) -> None:
        """Recognise the caller, find the model and greet; raise AisterError for a session that is refused."""
        self.caller = await identify(
            headers_of(self.scope["headers"]), addresses.of_session(self.scope), task=self.task
        )
        self.key_id = self.caller.key_id
        self.entry = manager().catalog.find(self.task, self.wanted_model())
        with account_errors():
            self.caller.check_model(self.entry.id)
        sessions().add(self, self.caller.max_sessions)
        manager().preload([self.entry.id])
        self.outbox.put(self.greeting())

    def wanted_model(self) -> str | None:
        """Return the model that the address names, None when it names none."""
        query: dict[str, list[str]] = parse_qs(self.scope.get("query_string", b"").decode("latin-1"))
        return next(iter(query.get("model", ())), None)

    def greeting(self) -> SessionCreated:
        """Return the first event."""
        card = self.entry.card
        return SessionCreated(
            session_id=self.session_id,
            task=self.task,
            model=ModelInfo(id=self.entry.id, demonstration=card.demonstration, description=card.description),
            languages=language_codes(self.entry),
            settings=self.settings,
            limits=session_limits(
                self.caller,
                open_requests=MAX_OPEN_REQUESTS,
                frame_bytes=MAX_FRAME_BYTES,
                text_characters=self.text_characters,
            ),
        )

    # -- events -------------------------------------------------------------------------------------------------------

    def parse(self, message: dict[str, Any]) -> ClientEvent:
        """Return the event in a frame; raise EventError, or AisterError when there were too many bad ones in a row."""
        text = message.get("text")
        try:
            event = self.parser.parse(message.get("bytes") or b"" if text is None else text)
        except EventError as error:
            self.invalid_frames += error.event_id is None
            if self.invalid_frames >= MAX_INVALID_FRAMES:
                raise AisterError("too_many_invalid_frames") from None
            raise
        self.invalid_frames = 0
        return event

    def check_id(self, event: ClientEvent) -> None:
        """Raise EventError (duplicate_id), which ends no request, when the id is that of an open request."""
        if event.id in self.open:
            raise EventError(AisterError("duplicate_id", param="id"), None)

    def handle(self, event: ClientEvent) -> None:
        """Do what an event asks for; raise AisterError when it can't be done."""
        if isinstance(event, ResponseCancel):
            self.cancel(event)

    def cancel(self, event: ResponseCancel) -> None:
        """Cancel a request that is open; one that has ended is no error."""
        target = self.open.get(event.target)
        self.outbox.put(ResponseCancelled(id=event.id, target=event.target, found=target is not None))
        if target is not None:
            target.cancel()

    def start(self, event_id: str, answer: Answer) -> None:
        """Begin to answer a request; raise AisterError (too_many_open, rate_limited)."""
        if len(self.open) >= MAX_OPEN_REQUESTS:
            raise AisterError("too_many_open")
        if sessions().is_closing:  # what is open may still end, so the session stays
            self.tell(AisterError("restarting"), event_id, new_request_id())
            return
        spend_request(self.caller)
        response = Response(
            event_id,
            answer,
            model_id=self.entry.id,
            key_id=self.key_id,
            transport="websocket",
            emit=self.outbox.put,
        )
        self.open[event_id] = response
        keep_running(self.see_through(response))

    async def see_through(self, response: Response) -> None:
        """Run a request to its end."""
        try:
            await response.run(manager(), ledger)
        finally:
            self.open.pop(response.event_id, None)
            if self.is_ended and not self.open:
                self.forget()

    def forget(self) -> None:
        """Let the model let go of what it kept for this session: it is over, and so is its last request."""

    # -- the registry's calls -----------------------------------------------------------------------------------------

    @property
    def open_responses(self) -> int:
        """How many requests are being answered."""
        return len(self.open)

    def announce_closing(self, grace_s: float) -> None:
        """Tell the client that the server is stopping."""
        self.outbox.put(SessionClosing(grace_s=grace_s))

    def end(self, error: AisterError) -> None:
        """Cancel what is open, tell the client why, and close with the error's close code."""
        if self.is_ended:
            return
        self.is_ended = True
        self.close_code = error.row.close or 1011
        self.cancel_open()
        self.outbox.close(Error(id=None, request_id=None, error=error_body(error)))
        asyncio.get_running_loop().call_later(FAREWELL_S, self.hang_up)

    def hang_up(self) -> None:
        """Close the socket without the rest, when the client does not take it."""
        if self.writer is not None and not self.writer.done():
            self.writer.cancel()
            self.outbox.discard()
            self.writer = asyncio.create_task(self.write())

    def cancel_open(self) -> None:
        """Cancel every open request."""
        for response in list(self.open.values()):
            response.cancel()

    # -- sending ------------------------------------------------------------------------------------------------------

    async def write(self) -> None:
        """Send what is in the outbox, until it is closed; then close the socket."""
        try:
            while (event := await self.outbox.get()) is not None:
                await self.send({"type": "websocket.send", "text": encode(event)})
            await self.send({"type": "websocket.close", "code": self.close_code})
        except Exception as fault:
            log.error("Session %s can't be written to.\n%s", self.session_id, trace(fault))

    def report(self, error: AisterError, event_id: str | None, request_id: str) -> None:
        """Tell the client what was wrong; errors with a close code end the session."""
        if error.row.close is not None:
            self.end(error)
        else:
            self.tell(error, event_id, request_id)

    def tell(self, error: AisterError, event_id: str | None, request_id: str) -> None:
        """Send an error event."""
        self.outbox.put(Error(id=event_id, request_id=request_id, error=error_body(error)))

    def unexpected(self, fault: Exception, request_id: str) -> AisterError:
        """Log what should not have happened, and return what the client is told of it."""
        log.error("Session %s, %s: unexpected.\n%s", self.session_id, request_id, trace(fault))
        return AisterError("internal_error")
