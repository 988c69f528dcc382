"""One request over plain HTTP, from its first event to its last.

It stands in the registry beside the sessions. Event loop.
"""

import asyncio
from collections.abc import AsyncIterator

from accounts.authentication import Caller
from inference.apps import manager, sessions
from inference.catalog import ModelEntry
from inference.errors import AisterError
from inference.outbox import Outbox
from inference.protocol import Error, ResponseDone, ServerEvent, error_body
from inference.response import Response, keep_running
from inference.tasks.answer import Answer
from inference.usage import ledger


class Exchange:
    """A request of a client that keeps no session. It lasts no longer than the task that began it.

    Django serves each client in a task of its own and cancels that when the client goes, whatever it is at: the view,
    the middleware, or an answer whose first part was not asked for yet, in which no `finally` would run.
    """

    def __init__(self, caller: Caller, entry: ModelEntry, event_id: str, answer: Answer) -> None:
        self.caller = caller
        self.key_id = caller.key_id
        self.outbox = Outbox(overflow=lambda: self.end(AisterError("client_too_slow")))
        self.response = Response(
            event_id,
            answer,
            model_id=entry.id,
            key_id=caller.key_id,
            transport="http",
            emit=self.outbox.put,
        )

    def begin(self) -> AsyncIterator[ServerEvent]:
        """Begin and return the request's events; raise AisterError when the key has too much open already."""
        sessions().add(self, self.caller.max_sessions)
        keep_running(self.run())
        serving = asyncio.current_task()
        if serving is not None:
            serving.add_done_callback(lambda _: self.leave())
        return self.events()

    async def run(self) -> None:
        """See the request through."""
        try:
            await self.response.run(manager(), ledger)
        finally:
            sessions().remove(self)

    def leave(self) -> None:
        """The client has its answer, or has gone: cancel the request, unless it has ended."""
        self.response.cancel()
        self.outbox.close()

    async def events(self) -> AsyncIterator[ServerEvent]:
        """Yield the request's events, the last one last."""
        while (event := await self.outbox.get()) is not None:
            yield event
            if isinstance(event, ResponseDone | Error):
                return

    # -- the registry's calls -----------------------------------------------------------------------------------------

    @property
    def open_responses(self) -> int:
        """One: an exchange leaves the registry with its request."""
        return 1

    def announce_closing(self, grace_s: float) -> None:
        """Nothing to tell: the client waits for one answer only."""

    def end(self, error: AisterError) -> None:
        """Cancel the request and end with an error, which is about the connection and so has no event's id."""
        self.response.cancel()
        self.outbox.close(Error(id=None, request_id=self.response.request_id, error=error_body(error)))
