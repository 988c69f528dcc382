"""One request over plain HTTP, from its first event to its last.

It stands in the registry beside the sessions. Event loop.
"""

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
    """A request of a client that keeps no session. Leaving the `async with` cancels it, unless it has ended."""

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

    async def __aenter__(self) -> "Exchange":
        """Begin; raise AisterError when the key has too much open already."""
        sessions().add(self, self.caller.max_sessions)
        keep_running(self.run())
        return self

    async def run(self) -> None:
        """See the request through."""
        try:
            await self.response.run(manager(), ledger)
        finally:
            sessions().remove(self)

    async def __aexit__(self, *_: object) -> None:
        """End."""
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
        """Cancel the request and end with an error."""
        self.response.cancel()
        request_id = self.response.request_id
        self.outbox.close(Error(id=self.response.event_id, request_id=request_id, error=error_body(error)))
