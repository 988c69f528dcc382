"""`manage.py serve` with little patience, so that tests need not wait long, and with a body that never ends, /endless.

What Twisted would log, were it not silenced, ends up in the log too: a test that finds no traceback there finds none at
all. `PATIENT=1` leaves the patience as it is, but for handshakes, which may take it longer than any test; `STOCK=1`
serves with Daphne's own protocols instead, to see what the tests are worth. SIGUSR1 gives back what the heap holds and
nobody uses.
"""

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

import daphne.server

ROOT = Path(__file__).resolve().parent.parent.parent
PIECE = b"x" * 65_536


def endless(application: Any) -> Any:
    """Return the application with one more address, whose response never ends."""

    async def either(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] != "/endless":
            await application(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        gone = asyncio.ensure_future(disconnected(receive))
        while not gone.done():
            await send({"type": "http.response.body", "body": PIECE, "more_body": True})
            await asyncio.sleep(0)

    return either


async def disconnected(receive: Any) -> None:
    """Wait until the client has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass


def tell(event: Any) -> None:
    """Print an exception that reached Twisted, which goes on as if nothing were."""
    if event.get("log_failure") is not None:
        print(event["log_failure"].getTraceback(), flush=True)  # noqa: T201


def make_stock(server: Any) -> None:
    """Take what is ours out of the server."""
    for name in ("listen_success", "create_application", "handle_reply"):
        setattr(server.Server, name, getattr(daphne.server.Server, name))


def main() -> None:
    """Serve."""
    sys.path.insert(0, str(ROOT))
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "aister_site.settings")
    from inference import memory

    signal.signal(signal.SIGUSR1, lambda *_: memory.give_back())
    memory.share_heap()  # as serve does, but before what is imported here starts a thread: glibc settles it then
    import django

    django.setup()
    from twisted.logger import globalLogPublisher

    globalLogPublisher.addObserver(tell)
    from aister_site import asgi, http_protocol, server, socket_protocol
    from inference.consumers import session

    if os.environ.get("PATIENT"):
        server.WHOLE_REQUEST_S = server.ACCEPT_S = 600
    else:
        server.WHOLE_REQUEST_S = http_protocol.LINGER_S = 2
        http_protocol.STALLED_S = 5
        server.CLOSE_HANDSHAKE_S = socket_protocol.CLOSE_HANDSHAKE_S = socket_protocol.WHOLE_MESSAGE_S = 2
        session.FAREWELL_S = 10.0
    asgi.application = endless(asgi.application)
    if os.environ.get("STOCK"):
        make_stock(server)
    from django.core.management import execute_from_command_line

    execute_from_command_line(["manage.py", *sys.argv[1:]])


if __name__ == "__main__":
    main()
