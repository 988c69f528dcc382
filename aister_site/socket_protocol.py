"""One WebSocket connection, with backpressure both ways. Event loop only.

Whatever a client does, little of it waits here: Twisted's write buffer (64 KB) and one event; of what the client sent,
`MOST_FRAMES` frames or `MOST_BYTES`, one read of the socket (64 KB) and one message that is not whole yet.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Any

from daphne.ws_protocol import WebSocketProtocol
from twisted.internet.interfaces import IPushProducer
from zope.interface import implementer

MOST_FRAMES, FEW_FRAMES = 32, 16
MOST_BYTES, FEW_BYTES = 1024 * 1024, 512 * 1024
MOST_FRAGMENTS = 1_024  # of one message: those of no bytes count towards no other limit
MOST_EARLY_BYTES = 64 * 1024
CLOSE_HANDSHAKE_S = 5  # after Daphne's 1 s, slow clients are reset before they have seen the close code
WHOLE_MESSAGE_S = 30
PROTOCOL_ERROR = 1002


class Inbox(asyncio.Queue[dict[str, Any]]):
    """What a client sent and the application has not taken. `on_change` is called when `has_room` has changed."""

    def __init__(self, on_change: Callable[[], None]) -> None:
        super().__init__()
        self.on_change = on_change
        self.has_room = True
        self.waiting_bytes = 0

    def put_nowait(self, message: dict[str, Any]) -> None:
        """Add a message; it fits always, for it is here already."""
        super().put_nowait(message)
        self.waiting_bytes += size(message)
        if self.has_room and (self.qsize() >= MOST_FRAMES or self.waiting_bytes >= MOST_BYTES):
            self.has_room = False
            self.on_change()

    async def get(self) -> dict[str, Any]:
        """Return the next message, when there is one."""
        message = await super().get()
        self.waiting_bytes -= size(message)
        if not self.has_room and self.qsize() <= FEW_FRAMES and self.waiting_bytes <= FEW_BYTES:
            self.has_room = True
            self.on_change()
        return message


def size(message: dict[str, Any]) -> int:
    """Return about how many bytes a message holds."""
    return len(message.get("text") or message.get("bytes") or ())


@implementer(IPushProducer)
class SessionProtocol(WebSocketProtocol):
    """A connection whose application waits for its client (`takes_more`), and whose client waits for the application.

    Closed with whatever code the application says.
    """

    def __init__(self) -> None:
        super().__init__()
        self.takes_more = asyncio.Event()
        self.takes_more.set()
        self.inbox = Inbox(self.read_or_wait)
        self.is_reading = True
        self.is_shaking = False  # between the client's part of the handshake and ours
        self.fragments = 0
        self.incomplete_since_s: float | None = None

    # -- opening and closing ------------------------------------------------------------------------------------------

    def onConnect(self, request: Any) -> Any:  # noqa: N802  # Daphne's name
        """Begin a session. Daphne's own raises for subprotocols beyond ASCII, and logs a traceback: drop what is."""
        offered = request.headers.get("sec-websocket-protocol", "")
        if not offered.isascii():
            request.headers["sec-websocket-protocol"] = offered.encode("ascii", "ignore").decode()
        self.is_shaking = True
        return super().onConnect(request)

    def serverAccept(self, subprotocol: str | None = None) -> None:  # noqa: N802  # Daphne's name
        """Answer the handshake, unless the client has been dropped: Autobahn would open what is closed, and keep it."""
        if self.state == self.STATE_CONNECTING:
            super().serverAccept(subprotocol)

    def onOpen(self) -> None:  # noqa: N802  # Daphne's name
        """Hear from the transport when the client does not read. Twisted's HTTP channel hears it until now."""
        self.is_shaking = False
        self.transport.unregisterProducer()
        self.transport.registerProducer(self, True)
        super().onOpen()

    def serverClose(self, code: int | None = None) -> None:  # noqa: N802  # Daphne's name
        """Send a close frame. Daphne's own raises for 1009 and all the 101x, and leaves the connection open."""
        self.factory.server_class.crowd.wait(self.transport)
        self.sendCloseFrame(code=1000 if code is None else code)

    def connectionLost(self, *how: Any) -> None:  # noqa: N802  # Twisted's name
        """The connection is no more. The HTTP connection that it was before does not hear of it."""
        self.factory.server_class.crowd.leave(self.transport)
        super().connectionLost(*how)

    def onClose(self, *how: Any) -> None:  # noqa: N802  # Daphne's name
        """Let the application find out. A connection that we drop does not call `stopProducing`."""
        self.takes_more.set()
        super().onClose(*how)

    def _closeConnection(self, abort: bool = False) -> None:  # noqa: N802  # Autobahn's name
        """Close the connection, also when the client never reads what is left: Autobahn's own would wait for ever."""
        super()._closeConnection(abort)
        if not abort:
            self.factory.reactor.callLater(CLOSE_HANDSHAKE_S, self.transport.abortConnection)

    # -- backpressure -------------------------------------------------------------------------------------------------

    def pauseProducing(self) -> None:  # noqa: N802  # Twisted's name
        """The client does not read: send nothing more, and read nothing, or the pongs to its pings would pile up."""
        self.takes_more.clear()
        self.read_or_wait()

    def resumeProducing(self) -> None:  # noqa: N802  # Twisted's name
        """The client has read everything."""
        self.takes_more.set()
        self.read_or_wait()

    def stopProducing(self) -> None:  # noqa: N802  # Twisted's name
        """The connection is lost: whoever waits finds out by sending."""
        self.takes_more.set()

    def read_or_wait(self) -> None:
        """Read from the socket while the client takes what we send, and the application what the client sent."""
        self.is_reading = self.takes_more.is_set() and self.inbox.has_room
        if self.is_reading:
            self.transport.resumeProducing()
        else:
            self.transport.pauseProducing()

    # -- messages that don't end --------------------------------------------------------------------------------------

    def dataReceived(self, data: bytes) -> None:  # noqa: N802  # Twisted's name
        """Take what came, and note since when a message is not whole."""
        if self.is_shaking:
            self.keep(data)
            return
        super().dataReceived(data)
        if self.state != self.STATE_OPEN or not (self.data or self.inside_message or self.current_frame):
            self.incomplete_since_s = None
        elif self.incomplete_since_s is None:
            self.incomplete_since_s = time.monotonic()

    def keep(self, data: bytes) -> None:
        """Keep what a client sends before its handshake is answered: Autobahn would take it for another handshake.

        It takes what is kept when the handshake is done.
        """
        self.data += data
        if len(self.data) > MOST_EARLY_BYTES:
            self.transport.abortConnection()

    def onMessageBegin(self, isBinary: bool) -> None:  # noqa: N802, N803  # Autobahn's names
        """Count the fragments of the message that begins."""
        self.fragments = 0
        super().onMessageBegin(isBinary)

    def onMessageFrameBegin(self, length: int) -> None:  # noqa: N802  # Autobahn's name
        """Refuse a message of too many fragments as one of too many bytes."""
        super().onMessageFrameBegin(length)
        self.fragments += 1
        if self.fragments > MOST_FRAGMENTS and not self.failedByMe:
            self._max_message_size_exceeded(self.fragments, MOST_FRAGMENTS, "too many fragments")

    def onMessage(self, payload: bytes, isBinary: bool) -> None:  # noqa: N802, N803  # Daphne's names
        """Hand a message to the application; what came after it began now."""
        self.incomplete_since_s = None
        super().onMessage(payload, isBinary)

    def check_timeouts(self) -> None:
        """Every two seconds: end a connection whose client leaves a message half sent, unless we are who waits."""
        super().check_timeouts()
        if self.incomplete_since_s is None:
            return
        if not self.is_reading:
            self.incomplete_since_s = time.monotonic()
        elif time.monotonic() - self.incomplete_since_s > WHOLE_MESSAGE_S:
            self._fail_connection(PROTOCOL_ERROR, "The frame did not end in time.")
