"""What tells the application that our own server runs it, and the operator, once, when another does. Event loop."""

import logging
from collections.abc import Awaitable, Callable
from typing import Any

GUARDED = "aister.guarded"  # an extension in each scope that our server makes

log = logging.getLogger(__name__)


class Guard:
    """An ASGI application that looks at its first scope."""

    def __init__(self, application: Callable[..., Awaitable[None]]) -> None:
        self.application = application
        self.has_looked = False

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Pass everything on."""
        if not self.has_looked:
            self.has_looked = True
            if GUARDED not in scope.get("extensions", {}):
                log.warning(
                    "This is not the server of 'manage.py serve'. Missing: bodies capped before a key is asked for, "
                    "backpressure for clients that do not read or that flood, a stop that lets open requests end. "
                    "See docs/operations.md."
                )
        await self.application(scope, receive, send)
