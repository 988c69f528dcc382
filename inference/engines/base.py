"""What every engine offers its scheduler, and what travels between them. No torch here.

An engine is driven by one thread, its scheduler's: `has_room_for`, `admit`, `step` and `abandon` are called there and
nowhere else. `check` and the tokenising methods of the engines may be called from any thread. A request's
`is_cancelled` may be set from any thread; the engine sees it at its next step.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol, TypeVar

from inference.errors import AisterError


class FinishReason(StrEnum):
    """Why an answer ended, as clients see it."""

    STOP = "stop"
    LENGTH = "length"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Usage:
    """What a request cost, in tokens. `cached_tokens` of the `input_tokens` were not computed again."""

    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0


@dataclass(eq=False, slots=True, kw_only=True)
class EngineRequest:
    """One request as an engine sees it.

    `key` is whose it is: fairness and kept caches go by it. One that `goes_ahead`, of a conversation under way, is
    answered before the key's others.
    """

    key: str
    goes_ahead: bool = False
    is_cancelled: bool = False


@dataclass(frozen=True, slots=True)
class Started:
    """The request has joined the batch."""


@dataclass(frozen=True, slots=True)
class Delta:
    """More text of the request, or of its item number `item`.

    `log_probability` is the natural logarithm of how likely the model thinks its whole output, None where it is not
    asked.
    """

    text: str
    item: int = 0
    log_probability: float | None = None


@dataclass(frozen=True, slots=True)
class Finished:
    """The request has ended. After it the engine says nothing more of it."""

    reason: FinishReason
    usage: Usage


@dataclass(frozen=True, slots=True)
class Failed:
    """The request has failed. After it the engine says nothing more of it."""

    error: AisterError
    usage: Usage = Usage()


R_contra = TypeVar("R_contra", bound=EngineRequest, contravariant=True)
Progress = Started | Delta | Finished | Failed
Output = tuple[EngineRequest, Progress]


class Engine(Protocol[R_contra]):
    """A loaded model that answers requests in batches."""

    def check(self, request: R_contra) -> None:
        """Raise AisterError when the request could never be answered, whatever else is running."""

    def has_room_for(self, request: R_contra) -> bool:
        """Say whether the request could join now, beside what is running."""

    def has_its_share(self, key: str) -> bool:
        """Say whether the key has as much of the engine as one may have, and must leave the rest to others."""

    def admit(self, request: R_contra) -> None:
        """Let the request join. Its outputs, `Started` first, come from the next steps."""

    def step(self) -> list[Output]:
        """Run one step of all that has joined and return what came of it.

        A request at fault fails alone. An exception means that the whole batch is lost: the scheduler then calls
        `abandon`.
        """

    def abandon(self) -> None:
        """Drop everything that has joined, and whatever caches it may have spoilt."""

    @property
    def is_idle(self) -> bool:
        """True when no request has joined and a step would do nothing."""

    @property
    def memory_bytes(self) -> int:
        """Bytes of weights and caches held."""

    def describe(self) -> dict[str, Any]:
        """Return what clients are told of how the model runs. Any thread."""

    def close(self) -> None:
        """Let go of weights and caches. Called once, by the scheduler's thread, with nothing running."""
