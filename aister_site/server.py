"""The server: Daphne, listening on one address, stopping without cutting anyone off.

Everything here runs on the event loop, in the main thread.
"""

import asyncio
import errno
import os
import signal
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import daphne.server  # installs the asyncio reactor: before anything else of Twisted
from autobahn.exception import Disconnected
from daphne.ws_protocol import WebSocketProtocol
from twisted.internet import defer, reactor

from aister_site.configuration import ConfigurationError

CLOSE_HANDSHAKE_S = 5  # after Daphne's 1 s, slow clients are reset before they have seen the close code


def check_address(host: str, port: int) -> str:
    """Return the IP address of `host`; raise ConfigurationError when this machine can't listen there."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = found[0]
        with socket.socket(family, kind, protocol) as probe:
            if os.name == "posix":  # elsewhere this option lets two programs share a port
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        raise not_listening(host, port, error) from None
    return str(address[0])


def not_listening(host: str, port: int, error: OSError) -> ConfigurationError:
    """The error that says why nothing can listen there, and what to do."""
    if error.errno == errno.EADDRINUSE:
        return ConfigurationError(
            f"Port {port} is in use. Stop what uses it, or set PORT to another, such as {port + 1}."
        )
    if error.errno in (errno.EACCES, errno.EPERM):
        return ConfigurationError(f"Port {port} is not for everyone to use. Set PORT to one above 1023.")
    return ConfigurationError(f"HOST={host} is no address of this machine: {error.strerror}. Try HOST=127.0.0.1.")


class SessionProtocol(WebSocketProtocol):
    """One WebSocket connection, closed with whatever code the application says."""

    def onConnect(self, request: Any) -> Any:  # noqa: N802  # Daphne's name
        """Begin a session. Daphne's own raises for subprotocols beyond ASCII, and logs a traceback: drop what is."""
        offered = request.headers.get("sec-websocket-protocol", "")
        if not offered.isascii():
            request.headers["sec-websocket-protocol"] = offered.encode("ascii", "ignore").decode()
        return super().onConnect(request)

    def serverClose(self, code: int | None = None) -> None:  # noqa: N802  # Daphne's name
        """Send a close frame. Daphne's own raises for 1009 and all the 101x, and leaves the connection open."""
        self.sendCloseFrame(code=1000 if code is None else code)


class Server(daphne.server.Server):
    """One listening Daphne. `on_ready` is called with the port, `on_stop` awaited before the last sessions are cut."""

    def __init__(
        self,
        application: Any,
        address: str,
        port: int,
        *,
        on_ready: Callable[[int], None],
        on_stop: Callable[[], Awaitable[None]],
    ) -> None:
        escaped = address.replace(":", r"\:")
        super().__init__(
            application,
            endpoints=[f"tcp:port={port}:interface={escaped}"],
            signal_handlers=False,
            ready_callable=lambda: on_ready(self.listening_addresses[0][1]),
            server_name="",
        )
        self.on_stop = on_stop
        self.ports: list[Any] = []
        self.fault: str | None = None

    def run(self) -> None:
        """Serve until SIGTERM, SIGINT or `stop`; raise ConfigurationError when it could not listen or was failed."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self.signalled)
        super().run()
        if self.fault:
            raise ConfigurationError(self.fault)

    def signalled(self, number: int, _frame: object) -> None:
        """Begin to stop; a second signal ends the process at once."""
        signal.signal(number, signal.SIG_DFL)
        reactor.callFromThread(self.stop)

    def fail(self, fault: str) -> None:
        """Stop, and let `run` raise `fault`. Any thread."""
        self.fault = fault
        reactor.callFromThread(self.stop)

    def listen_success(self, port: Any) -> None:
        """Keep the port, to stop listening later. No client has been here yet."""
        super().listen_success(port)
        self.ws_factory.protocol = SessionProtocol
        self.ws_factory.setProtocolOptions(
            closeHandshakeTimeout=CLOSE_HANDSHAKE_S,
            failByDrop=False,  # a frame over Daphne's limit is told 1009 too
            allowNullOrigin=True,  # that of a page opened from a file; each call sets it anew
        )
        self.ports.append(port)

    def listen_error(self, failure: Any) -> None:
        """Someone took the port after it was checked."""
        self.fault = f"Could not listen: {failure.getErrorMessage()}"
        self.stop()

    async def handle_reply(self, protocol: Any, message: Any) -> None:
        """Send something to a client; to one that has just gone, nothing."""
        with suppress(Disconnected):
            await super().handle_reply(protocol, message)

    def kill_all_applications(self) -> Any:
        """Return the Deferred that Twisted waits for before it ends. Daphne's own raises KeyError on half a request."""
        return defer.Deferred.fromFuture(asyncio.ensure_future(self.drain()))

    async def drain(self) -> None:
        """Stop listening, let `on_stop` end what is open, cancel what is left."""
        for port in self.ports:
            port.stopListening()
        await self.on_stop()
        running = [details.get("application_instance") for details in self.connections.values()]
        left = [task for task in running if task is not None and not task.done()]
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
