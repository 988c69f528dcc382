"""The server: Daphne, with protocols of ours that bound what a client can make it keep, and a stop that drains.

Everything here runs on the event loop: in the main thread, or under `runserver`, which reloads, in one of its own.
"""

import asyncio
import errno
import os
import signal
import socket
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any

import daphne.server  # installs the asyncio reactor: before anything else of Twisted
from autobahn.exception import Disconnected
from django.conf import settings
from twisted.internet import defer, reactor

from aister_site import crowd
from aister_site.configuration import ConfigurationError
from aister_site.guard import GUARDED
from aister_site.http_protocol import WHOLE_REQUEST_S, Channel
from aister_site.socket_protocol import CLOSE_HANDSHAKE_S, SessionProtocol

ACCEPT_S = 20  # after that a handshake is refused with 403; it takes a server that has no time for anything
BACKLOG = 4_096  # after Twisted's 50, one of many that come at once waits a second before it tries again


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
    except UnicodeError:
        raise ConfigurationError("HOST is neither a name nor an address. Try HOST=127.0.0.1.") from None
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


async def nothing() -> None:
    """What is done before the last sessions are cut, where nobody says."""


class Server(daphne.server.Server):
    """Daphne, with the arguments it always had; `on_stop` is awaited before the last sessions are cut."""

    def __init__(self, application: Any, *, on_stop: Callable[[], Awaitable[None]] = nothing, **options: Any) -> None:
        options = {"websocket_connect_timeout": ACCEPT_S, **options, "signal_handlers": False}
        super().__init__(application, server_name="", **options)
        self.on_stop = on_stop
        self.crowd = crowd.for_sessions(settings.CONFIGURATION.AISTER_SESSIONS)
        self.ports: list[Any] = []
        self.fault: str | None = None

    @classmethod
    def at(
        cls,
        address: str,
        port: int,
        application: Any,
        *,
        on_ready: Callable[[int], None],
        on_stop: Callable[[], Awaitable[None]],
    ) -> "Server":
        """Return a server for one address. `on_ready` is called with the port."""
        escaped = address.replace(":", r"\:")
        server = cls(application, on_stop=on_stop, endpoints=[f"tcp:port={port}:interface={escaped}:backlog={BACKLOG}"])
        server.ready_callable = lambda: on_ready(server.listening_addresses[0][1])
        return server

    def run(self) -> None:
        """Serve until SIGTERM, SIGINT or `stop`; raise ConfigurationError when it could not listen or was failed."""
        if threading.current_thread() is threading.main_thread():
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
        """Keep the port, to stop listening later, and set our protocols. No client has been here yet."""
        super().listen_success(port)
        self.http_factory.protocol = Channel
        self.http_factory.timeOut = WHOLE_REQUEST_S
        self.ws_factory.protocol = SessionProtocol
        self.ws_factory.setProtocolOptions(
            openHandshakeTimeout=0,  # the client has done its part; if we are slow, Daphne gives up after ACCEPT_S
            closeHandshakeTimeout=CLOSE_HANDSHAKE_S,
            failByDrop=False,  # a frame over Daphne's limit is told 1009 too
            allowNullOrigin=True,  # that of a page opened from a file; each call sets it anew
        )
        self.ports.append(port)

    def listen_error(self, failure: Any) -> None:
        """Someone took the port after it was checked."""
        self.fault = f"Could not listen: {failure.getErrorMessage()}"
        self.stop()

    def create_application(self, protocol: Any, scope: dict[str, Any]) -> Any:
        """Start the application for a connection or request and return its input: a bounded one for a session."""
        scope["extensions"] = {GUARDED: {}}
        if not isinstance(protocol, SessionProtocol):
            return super().create_application(protocol, scope)
        scope["asgi"] = {"version": "3.0"}
        running = self.application(scope, protocol.inbox.get, partial(self.handle_reply, protocol))
        self.connections[protocol]["application_instance"] = asyncio.ensure_future(running)
        return protocol.inbox

    async def handle_reply(self, protocol: Any, message: Any) -> None:
        """Send something to a client, when it takes more; to one that has just gone, nothing.

        A close does not wait: a client that does not read must not keep its session.
        """
        if message["type"] == "websocket.send":
            await protocol.takes_more.wait()
        elif message["type"] == "http.response.body":
            await protocol.room()
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
