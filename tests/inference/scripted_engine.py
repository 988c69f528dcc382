"""An engine whose answers the test decides, for what belongs to the scheduler and the manager alone."""

from dataclasses import dataclass, field
from threading import Event
from typing import Any

from inference.engines.base import Delta, EngineRequest, Finished, FinishReason, Output, Started, Usage
from inference.errors import AisterError
from inference.fairness import share_of


@dataclass(eq=False, slots=True, kw_only=True)
class ScriptedRequest(EngineRequest):
    """Says each of `words`, one a step."""

    words: list[str] = field(default_factory=lambda: ["a"])
    is_too_long: bool = False
    fails_to_join: bool = False


class ScriptedEngine:
    """Runs up to `rows` requests at once. `gate`, while it is clear, holds its thread inside a step."""

    def __init__(self, *, rows: int = 1, memory_bytes: int = 100) -> None:
        self.rows = rows
        self.memory_bytes = memory_bytes
        self.running: list[ScriptedRequest] = []
        self.new: list[ScriptedRequest] = []
        self.order: list[str] = []
        self.gate = Event()
        self.gate.set()
        self.in_step = Event()
        self.faults: list[BaseException] = []
        self.late_faults: list[BaseException] = []
        self.is_closed = False

    def check(self, request: ScriptedRequest) -> None:
        if request.is_too_long:
            raise AisterError("text_too_long")

    def has_room_for(self, request: ScriptedRequest) -> bool:
        return len(self.running) < self.rows

    def has_its_share(self, key: str) -> bool:
        return sum(request.key == key for request in self.running) >= share_of(self.rows)

    def admit(self, request: ScriptedRequest) -> None:
        if request.fails_to_join:
            raise RuntimeError("no")
        self.order.append(request.key)
        self.running.append(request)
        self.new.append(request)

    def step(self) -> list[Output]:
        self.in_step.set()
        assert self.gate.wait(10)
        outputs: list[Output] = [(request, Started()) for request in self.new]
        self.new = []
        if self.faults:
            raise self.faults.pop()
        for request in list(self.running):
            outputs += self.advance(request)
        if self.late_faults:
            raise self.late_faults.pop()
        return outputs

    def advance(self, request: ScriptedRequest) -> list[Output]:
        if request.is_cancelled or not request.words:
            self.running.remove(request)
            reason = FinishReason.CANCELLED if request.is_cancelled else FinishReason.STOP
            return [(request, Finished(reason, Usage(output_tokens=1)))]
        return [(request, Delta(request.words.pop(0)))]

    def abandon(self) -> None:
        self.running, self.new = [], []

    @property
    def is_idle(self) -> bool:
        return not self.running

    def describe(self) -> dict[str, Any]:
        return {"path": "scripted"}

    def close(self) -> None:
        self.is_closed = True
