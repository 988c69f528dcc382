"""What every task offers to whoever runs a request: how it is prepared, heard and concluded."""

from collections.abc import Sequence
from typing import Any, ClassVar, Protocol

import msgspec

from inference.catalog import Task
from inference.engines.base import Delta, EngineRequest
from inference.protocol import Message, TranslationResult


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What `response.done` holds of the answer itself."""

    message: Message | None = None
    translations: list[TranslationResult] | None = None


class Answer(Protocol):
    """One request on its way through a task."""

    task: ClassVar[Task]
    truncated: int
    message_id: str | None

    def prepare(self, engine: Any, key: str) -> EngineRequest:
        """Return what the engine is to do for the holder of `key`.

        Runs on a worker thread: it may take a while, and touches nothing that the event loop changes. Raises
        AisterError.
        """

    def begin(self) -> Sequence[Delta]:
        """Return what the client is told before the engine has said anything. Event loop, once."""

    def hear(self, delta: Delta) -> Sequence[Delta]:
        """Take what the engine said and return what the client is told. Event loop."""

    def conclude(self, *, is_cancelled: bool) -> Result:
        """Return what the last event holds, and make it stand. Event loop; once, and not for a request that failed."""
