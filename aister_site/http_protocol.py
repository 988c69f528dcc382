"""One HTTP connection and its requests: bodies capped as they arrive, responses no faster than they are read.

Event loop only. Daphne reads a whole body before the application, and so any key, is asked; here at most
`MOST_BODY_BYTES` of it are kept, and a request must be whole within `WHOLE_REQUEST_S`. Who waits longest for one that
is not makes room when there are too many (crowd.py).
"""

import asyncio
from typing import Any, cast

from daphne.http_protocol import WebRequest
from django.conf import settings
from twisted.internet.protocol import connectionDone
from twisted.web.http import HTTPChannel

from aister_site.crowd import Crowd
from aister_site.middleware import API, CORS
from inference.http import error_response
from inference.protocol import too_large
from inference.response import new_request_id

MOST_BODY_BYTES = settings.DATA_UPLOAD_MAX_MEMORY_SIZE + 64 * 1024  # up to here the application says it better
WHOLE_REQUEST_S = 30
LINGER_S = 10
STALLED_S = 60
MOST_DIGITS = 18  # of a length: Twisted's own does not expect that Python refuses to read 4,301


class Channel(HTTPChannel):
    """A connection. Its response waits for `takes_more`; once a request is refused, nothing more is read from it."""

    transport: Any
    requestFactory: Any  # noqa: N815  # Twisted's name

    def __init__(self) -> None:
        super().__init__()
        self.takes_more = asyncio.Event()
        self.takes_more.set()
        self.is_receiving = False
        self.is_refused = False

    def connectionMade(self) -> None:  # noqa: N802  # Twisted's name
        """Make requests of ours; Daphne's factory chose its own before this."""
        self.requestFactory = Request
        super().connectionMade()
        self.crowd.join(self.transport)

    @property
    def crowd(self) -> Crowd:
        """All connections of this server."""
        return cast(Crowd, self.factory.server.crowd)

    # -- backpressure -------------------------------------------------------------------------------------------------

    def pauseProducing(self) -> None:  # noqa: N802  # Twisted's name
        """The client does not read."""
        self.takes_more.clear()
        super().pauseProducing()

    def resumeProducing(self) -> None:  # noqa: N802  # Twisted's name
        """The client has read everything."""
        self.takes_more.set()
        super().resumeProducing()

    def connectionLost(self, reason: Any = connectionDone) -> None:  # noqa: N802  # Twisted's name
        """Whoever waits finds out by sending."""
        self.takes_more.set()
        self.crowd.leave(self.transport)
        super().connectionLost(reason)

    # -- requests that don't end --------------------------------------------------------------------------------------

    def resetTimeout(self) -> None:  # noqa: N802  # Twisted's name
        """Put the timeout off for the first bytes of a request only: Twisted's own lets one drip in for ever."""
        if not self.is_receiving:
            self.is_receiving = True
            super().resetTimeout()

    def requestDone(self, request: Any) -> None:  # noqa: N802  # Twisted's name
        """The response is sent: the next request may begin."""
        self.is_receiving = False
        self.crowd.wait(self.transport)
        super().requestDone(request)

    def timeoutConnection(self) -> None:  # noqa: N802  # Twisted's name
        """Close; one that was refused has had its answer."""
        if self.is_refused:
            self.transport.abortConnection()
        else:
            super().timeoutConnection()

    # -- requests that are too large ----------------------------------------------------------------------------------

    def refuse(self, answer: bytes) -> None:
        """Send an answer before the request is whole, and close.

        What still comes is dropped for a while: closing at once resets the connection, and the client loses the answer.
        """
        self.is_refused = True
        self.transport.write(answer)
        self.transport.loseWriteConnection()
        self.setTimeout(LINGER_S)

    def dataReceived(self, data: bytes) -> None:  # noqa: N802  # Twisted's name
        """Take what came, or drop it."""
        if not self.is_refused:
            super().dataReceived(data)

    def lineReceived(self, line: bytes) -> None:  # noqa: N802  # Twisted's name
        """Take a line of a request's head, while there are not too many bytes of it."""
        if self._receivedHeaderSize + len(line) > self.totalHeadersSize:
            self.lineLengthExceeded(line)
        elif not self.is_refused:
            super().lineReceived(line)

    def lineLengthExceeded(self, line: bytes) -> None:  # noqa: ARG002, N802  # Twisted's name
        """Say what is too long. Twisted's own closes without a word."""
        if not self.is_refused:
            self.refuse(plain_answer("431 Request Header Fields Too Large", "The head of the request is too large."))

    def _maybeChooseTransferDecoder(self, header: bytes, data: bytes) -> bool:  # noqa: N802  # Twisted's name
        """Take a header that says how the body comes; one with a length beyond all reason is wrong."""
        if header == b"Content-Length" and len(data) > MOST_DIGITS:
            return bool(self._failChooseTransferDecoder())
        return bool(super()._maybeChooseTransferDecoder(header, data))

    def rawDataReceived(self, data: bytes) -> None:  # noqa: N802  # Twisted's name
        """Take a piece of a body, or drop it; what came with a handshake is for the session that it began."""
        if self.transport.protocol is not self:
            self.transport.protocol.dataReceived(data)
        elif not self.is_refused:
            super().rawDataReceived(data)

    def allContentReceived(self) -> None:  # noqa: N802  # Twisted's name
        """Handle a request that is whole, unless it is answered already."""
        if not self.is_refused:
            self.crowd.serve(self.transport)
            super().allContentReceived()

    def _send100Continue(self) -> None:  # noqa: N802  # Twisted's name
        """Ask for the body, unless it is refused already."""
        if not self.is_refused:
            super()._send100Continue()


class Request(WebRequest):
    """One request."""

    def __init__(self, *arguments: Any) -> None:
        # Twisted would parse forms, which the application does again: 260,000 fields fit into a body.
        super().__init__(*arguments, parsePOSTFormSubmission=False)
        self.takes_more = self.channel.takes_more
        self.body_bytes = 0

    def process(self) -> Any:
        """Hand a request that is whole to the application. Daphne would let any client say where it is mounted."""
        self.requestHeaders.removeHeader(b"Daphne-Root-Path")
        return super().process()

    def gotLength(self, length: int | None) -> None:  # noqa: N802  # Twisted's name
        """The headers are here; `length` is None for a body in chunks."""
        if length is not None and length > MOST_BODY_BYTES:
            self.channel.refuse(too_large_answer(self.channel._path))
        else:
            super().gotLength(length)

    def handleContentChunk(self, data: bytes) -> None:  # noqa: N802  # Twisted's name
        """Keep a piece of the body, while there is not too much of it."""
        self.body_bytes += len(data)
        if self.body_bytes <= MOST_BODY_BYTES:
            super().handleContentChunk(data)
        elif not self.channel.is_refused:
            self.channel.refuse(too_large_answer(self.channel._path))

    async def room(self) -> None:
        """Wait until the client takes more; give up on one that takes nothing for `STALLED_S`."""
        if self.takes_more.is_set():
            return
        try:
            async with asyncio.timeout(STALLED_S):
                await self.takes_more.wait()
        except TimeoutError:
            if self.channel is not None:
                self.channel.transport.abortConnection()


def too_large_answer(path: bytes) -> bytes:
    """Return a whole HTTP response (413): for the API a row of the error table, else a line of text."""
    status = "413 Content Too Large"
    if not path.startswith(API.encode()):
        return plain_answer(status, "The body is too large.")
    response = error_response(too_large(), new_request_id())
    return whole_answer(status, {**CORS, "Content-Type": response["Content-Type"]}, response.content)


def plain_answer(status: str, text: str) -> bytes:
    """Return a whole HTTP response with a line of text."""
    return whole_answer(status, {"Content-Type": "text/plain"}, f"{text}\n".encode())


def whole_answer(status: str, headers: dict[str, str], body: bytes) -> bytes:
    """Return a whole HTTP response, the last on its connection."""
    headers = {**headers, "Content-Length": str(len(body)), "Connection": "close"}
    lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    return "\r\n".join(lines).encode() + body
