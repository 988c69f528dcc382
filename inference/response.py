"""One request from its reception to its row in the ledger, whoever asks: a session or a plain HTTP client.

Everything here runs on the event loop, but for `Answer.prepare`, which runs on a worker thread. The engine's news
come through the scheduler to `hear`. A response is never cancelled as an asyncio task: `cancel` asks the engine to
stop, and the response goes on to its end, so that the ledger gets its row whatever becomes of the client.

Promises: before `response.created` at most one `error`; after it exactly one `response.done`, and its row is
committed first.
"""

import asyncio
import logging
import secrets
import time
from collections.abc import Callable, Coroutine, Iterable
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import Any, Literal

from msgspec import UNSET

from inference.engines.base import Delta, Failed, Finished, FinishReason, Started, Usage
from inference.errors import AisterError, trace
from inference.fairness import FairPool
from inference.manager import Loading, Model, ModelManager
from inference.models import UsageRecord
from inference.protocol import (
    Error,
    ResponseCreated,
    ResponseDelta,
    ResponseDone,
    ResponseLoading,
    ResponseQueued,
    ServerEvent,
    Timing,
    UsageInfo,
    error_body,
)
from inference.scheduling import News, Queued
from inference.tasks.answer import Answer, Result
from inference.usage import Ledger

log = logging.getLogger(__name__)

Emit = Callable[[ServerEvent], None]
Transport = Literal["websocket", "http"]
Status = Literal["completed", "cancelled", "failed"]

LOADING_EVERY_S = 1.0

# Tokenising and detecting languages: short work, too long for the event loop. Its threads start at first use.
WORKERS = FairPool(2, "aister-prepare")


RUNNING: set["asyncio.Task[None]"] = set()


def keep_running(coroutine: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine to its end, whatever becomes of the caller.

    Asyncio itself keeps only weak references to tasks.
    """
    task = asyncio.create_task(coroutine)
    RUNNING.add(task)
    task.add_done_callback(RUNNING.discard)


async def all_ended(timeout_s: float) -> None:
    """Wait until every request has ended and has its row, for `timeout_s` at most."""
    if RUNNING:
        await asyncio.wait(RUNNING, timeout=timeout_s)


def new_request_id() -> str:
    """Return an id for a request: in its events, the log and its usage row."""
    return f"req_{secrets.token_hex(12)}"


class Response:
    """A request being answered."""

    def __init__(
        self, event_id: str, answer: Answer, *, model_id: str, key_id: int, transport: Transport, emit: Emit
    ) -> None:
        self.event_id = event_id
        self.answer = answer
        self.model_id = model_id
        self.key_id = key_id
        self.transport: Transport = transport
        self.emit = emit
        self.request_id = new_request_id()
        self.received_at = datetime.now(UTC)
        self.received_s = time.monotonic()
        self.started_s: float | None = None
        self.first_token_s: float | None = None
        self.is_cancelled = False
        self.is_created = False
        self.stop: Callable[[], object] = lambda: None
        self.ended: asyncio.Future[Finished | Failed] = asyncio.get_running_loop().create_future()

    def cancel(self) -> None:
        """Ask for an early end; `response.done` follows. Nothing happens when the end is here already."""
        self.is_cancelled = True
        self.stop()

    async def run(self, manager: ModelManager, ledger: Ledger) -> None:
        """See the request through. Raises nothing: whatever goes wrong is an event."""
        try:
            ledger.reserve()
        except AisterError as error:
            self.refuse(error)
            return
        try:
            end = await self.answered(manager)
        except AisterError as error:
            ledger.release()
            self.refuse(error)
        except Exception as fault:
            ledger.release()
            self.refuse(self.unexpected(fault))
        else:
            await self.conclude(end, ledger)

    async def answered(self, manager: ModelManager) -> Finished | Failed:
        """Have the request answered and return its end; raise AisterError when it is refused."""
        async with AsyncExitStack() as leases:
            model = await self.lease(manager, leases)
            if model is None or not await self.submit(model):
                self.hear(Finished(FinishReason.CANCELLED, Usage()))
            return await self.ended

    async def lease(self, manager: ModelManager, leases: AsyncExitStack) -> Model | None:
        """Return the model, leased until `leases` closes; None when the request is cancelled before it is loaded."""
        if self.is_cancelled:
            return None
        loading = asyncio.create_task(leases.enter_async_context(manager.lease(self.model_id)))
        self.stop = loading.cancel
        try:
            await self.tell_loading(manager, loading)
            return await loading
        except asyncio.CancelledError:
            if not self.is_cancelled:
                raise
            return None
        finally:
            self.stop = lambda: None

    async def tell_loading(self, manager: ModelManager, loading: "asyncio.Task[Model]") -> None:
        """Tell the client how its model's load is getting on, at once and then every LOADING_EVERY_S, until it ends."""
        await asyncio.sleep(0)  # by then it has begun
        while not loading.done():
            progress = manager.progress(self.model_id)
            if progress is not None:
                self.emit(self.loading(progress))
            await asyncio.wait([loading], timeout=LOADING_EVERY_S)

    def loading(self, progress: Loading) -> ResponseLoading:
        """Return what the client is told of a load."""
        return ResponseLoading(
            id=self.event_id,
            percent=None if progress.fraction is None else int(100 * progress.fraction),
            waited_s=round(progress.waited_s, 1),
            expected_s=None if progress.expected_s is None else round(progress.expected_s, 1),
        )

    async def submit(self, model: Model) -> bool:
        """Prepare and queue the request, from now on cancelled through the scheduler; False when it is cancelled."""
        key = str(self.key_id)
        request = await asyncio.wrap_future(WORKERS.submit(key, self.answer.prepare, model.engine, key))
        if not self.is_cancelled:
            model.scheduler.submit(request, self.hear)
            self.stop = lambda: model.scheduler.cancel(request)
        return not self.is_cancelled

    # -- what the engine says -----------------------------------------------------------------------------------------

    def hear(self, news: News) -> None:
        """Take one piece of news from the scheduler. An answer that can't take it fails its request."""
        try:
            self.take(news)
        except Exception as fault:
            self.end(Failed(self.unexpected(fault)))
            self.stop()

    def take(self, news: News) -> None:
        """Do what a piece of news asks for."""
        match news:
            case Queued(position):
                self.emit(ResponseQueued(id=self.event_id, position=position))
            case Started():
                self.create()
            case Delta():
                self.tell(self.answer.hear(news))
            case Finished() | Failed():
                self.create()
                self.end(news)

    def end(self, end: Finished | Failed) -> None:
        """Let the request end. The first end counts."""
        if not self.ended.done():
            self.ended.set_result(end)

    def create(self) -> None:
        """Tell the client, once, that the model has taken the request."""
        if self.is_created:
            return
        self.is_created = True
        self.started_s = time.monotonic()
        message_id = self.answer.message_id
        self.emit(
            ResponseCreated(
                id=self.event_id,
                request_id=self.request_id,
                model=self.model_id,
                message_id=UNSET if message_id is None else message_id,
            )
        )
        self.tell(self.answer.begin())

    def tell(self, deltas: Iterable[Delta]) -> None:
        """Pass text on to the client."""
        for delta in deltas:
            if self.first_token_s is None:
                self.first_token_s = time.monotonic()
            item = UNSET if self.answer.task == "chat" else delta.item
            self.emit(ResponseDelta(id=self.event_id, text=delta.text, item=item))

    # -- the end ------------------------------------------------------------------------------------------------------

    def refuse(self, error: AisterError) -> None:
        """End with an error, before anything ran."""
        self.emit(Error(id=self.event_id, request_id=self.request_id, error=error_body(error)))

    async def conclude(self, end: Finished | Failed, ledger: Ledger) -> None:
        """Commit the usage row, let the answer stand, and send the last event, in this order."""
        error = end.error if isinstance(end, Failed) else None
        status = self.status(end)
        timing = self.timing()
        try:
            await ledger.post(self.record(status, error, end.usage, timing))
            result = Result() if status == "failed" else self.answer.conclude(is_cancelled=status == "cancelled")
        except AisterError as refusal:
            status, error, result = "failed", refusal, Result()
        except Exception as fault:
            status, error, result = "failed", self.unexpected(fault), Result()
        self.emit(self.done(status, end, error, result, timing))

    def unexpected(self, fault: Exception) -> AisterError:
        """Log what should not have happened, and return what the client is told of it."""
        log.error("Request %s failed.\n%s", self.request_id, trace(fault))
        return AisterError("internal_error")

    def status(self, end: Finished | Failed) -> Status:
        """Return how it ended. Whichever the engine saw first, its end or the cancelling, decides."""
        if isinstance(end, Failed):
            return "failed"
        return "cancelled" if end.reason is FinishReason.CANCELLED else "completed"

    def timing(self) -> Timing:
        """Return how long things took."""
        return Timing(
            queue_ms=self.since_received_ms(self.started_s) or 0.0,
            first_token_ms=self.since_received_ms(self.first_token_s),
            total_ms=self.since_received_ms(time.monotonic()) or 0.0,
        )

    def since_received_ms(self, moment_s: float | None) -> float | None:
        """Return the milliseconds from reception to a moment."""
        return None if moment_s is None else round((moment_s - self.received_s) * 1000, 1)

    def record(self, status: Status, error: AisterError | None, usage: Usage, timing: Timing) -> UsageRecord:
        """Return the ledger's row."""
        return UsageRecord(
            request_id=self.request_id,
            key_id=self.key_id,
            task=self.answer.task,
            model=self.model_id,
            transport=self.transport,
            status=status,
            error_code=error.code if error else "",
            input_tokens=usage.input_tokens,
            cached_tokens=usage.cached_tokens,
            output_tokens=usage.output_tokens,
            started_at=self.received_at,
            queue_ms=timing.queue_ms,
            first_token_ms=timing.first_token_ms,
            total_ms=timing.total_ms,
        )

    def done(
        self, status: Status, end: Finished | Failed, error: AisterError | None, result: Result, timing: Timing
    ) -> ResponseDone:
        """Return the last event."""
        finish_reason = end.reason.value if isinstance(end, Finished) and status != "failed" else UNSET
        is_chat = self.answer.task == "chat"
        return ResponseDone(
            id=self.event_id,
            request_id=self.request_id,
            status=status,
            finish_reason=finish_reason,
            message=result.message if is_chat else UNSET,
            translations=UNSET if result.translations is None else result.translations,
            error=UNSET if error is None else error_body(error),
            usage=UsageInfo(
                input_tokens=end.usage.input_tokens,
                cached_tokens=end.usage.cached_tokens,
                output_tokens=end.usage.output_tokens,
                truncated=self.answer.truncated,
            ),
            timing=timing,
        )
