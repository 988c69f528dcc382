"""A session as docs/protocol.md has it, in plain Python: what each frame may be answered with, and when.

The server handles frames in their order and its events come in theirs, so the place of an answer among the events
says what had ended when its frame was handled. The model takes each event in turn and fails on one that it can't
explain. What differs by task is in chat_model.py and translation_model.py.
"""

from collections import deque
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, TypeVar

Event = dict[str, Any]
Fault = tuple[str, str | None]  # an error's code and the field at fault

MOST_INVALID_FRAMES = 10
CLOSING = {"too_many_invalid_frames": 4400, "frame_too_large": 1009}
FAILED: Fault = ("internal_error", None)


@dataclass(frozen=True)
class Frame:
    """What the client sends: `event`, or `data` that is none and is told so with `error` (id, code, field)."""

    event: Event = field(default_factory=dict)
    data: str | bytes = ""
    error: tuple[str | None, str, str | None] | None = None


@dataclass(eq=False, kw_only=True)
class Request:
    """A request that was taken. `faults` are those of which one must refuse it, when it is not cancelled before."""

    id: str
    settings: Event
    faults: set[Fault]
    is_cancelled: bool = False
    request_id: str | None = None
    done: Event = field(default_factory=dict)


R = TypeVar("R", bound=Request)


class SessionModel(Generic[R]):
    """One session. `may_fail` is true while a step of the language model is to fail; `others` says how many requests
    of other keys may have been open at once since this one asked.
    """

    defaults: ClassVar[Event]

    def __init__(self) -> None:
        self.settings: Event = dict(self.defaults)
        self.open: dict[str, R] = {}
        self.ended: list[R] = []
        self.pending: deque[Frame] = deque()
        self.invalid_frames = 0
        self.close_code: int | None = None
        self.may_fail = False
        self.others = 0

    # -- events -------------------------------------------------------------------------------------------------------

    def hear(self, event: Event) -> None:
        """Explain one event of the server."""
        assert self.close_code is None, f"{event} came after the error that ends the session"
        while event["id"] not in self.open:
            assert self.pending, f"nothing was asked that {event} could answer"
            if (answer := self.take(self.pending.popleft())) is not None:
                return self.compare(answer, event)
        return self.progress(self.open[event["id"]], event)

    def compare(self, answer: Event, event: Event) -> None:
        """Check the one event that answers a frame."""
        if event["type"] == "error":
            self.close_code = CLOSING.get(event["error"]["code"])
            event = {"type": "error", "id": event["id"], "error": fault_in(event)}
        assert event == answer

    def progress(self, request: R, event: Event) -> None:
        """Check an event of an open request: loading, queued, created, deltas, done; or one error."""
        is_created = request.request_id is not None
        match event["type"]:
            case "response.loading":
                assert not is_created
                assert event["percent"] is None or 0 <= event["percent"] <= 100
            case "response.queued":
                assert not is_created
                assert event["position"] >= 1
            case "response.created":
                assert not is_created
                request.request_id = event["request_id"]
                self.created(request, event)
            case "response.delta":
                assert is_created
                assert event["text"]
                self.heard(request, event)
            case "response.done":
                assert event["request_id"] == request.request_id
                self.done(request, event)
            case "error":
                assert not is_created
                assert fault_in(event) in self.refusals(request), f"{event} is no end of {request}"
                del self.open[request.id]
            case other:
                raise AssertionError(f"{other} is no event of a request")

    def refusals(self, request: R) -> set[Fault]:
        """Return the errors that a request may end in."""
        return request.faults

    def created(self, request: R, event: Event) -> None:
        """The model has taken the request."""

    def heard(self, request: R, event: Event) -> None:
        """There is more text."""
        raise NotImplementedError

    def done(self, request: R, event: Event) -> None:
        """A request has ended: only one that was cancelled is told so."""
        match event["status"]:
            case "completed":
                assert not request.faults
                assert event["finish_reason"] in ("stop", "length")
                self.completed(request, event)
            case "cancelled":
                assert request.is_cancelled
                assert event["finish_reason"] == "cancelled"
                self.cut_short(request, event)
            case "failed":
                assert self.may_fail
                assert fault_in(event) == FAILED
                assert "finish_reason" not in event
                self.failed(request, event)
            case other:
                raise AssertionError(f"{other} is no status of a request")
        request.done = event
        self.ended.append(self.open.pop(request.id))

    def completed(self, request: R, event: Event) -> None:
        """Check the answer."""
        raise NotImplementedError

    def cut_short(self, request: R, event: Event) -> None:
        """Check what a cancelled request leaves."""
        raise NotImplementedError

    def failed(self, request: R, event: Event) -> None:
        """Check what a failed request leaves."""
        raise NotImplementedError

    # -- frames -------------------------------------------------------------------------------------------------------

    def take(self, frame: Frame) -> Event | None:
        """Do what a frame asks for and return its answer; None for a request that begins."""
        if frame.error is not None:
            return self.take_faulty(*frame.error)
        self.invalid_frames = 0
        event = frame.event
        if event["id"] in self.open:
            return error(None, "duplicate_id", "id")
        if event["type"] == "response.cancel":
            return self.take_cancel(event)
        return self.take_event(event)

    def take_event(self, event: Event) -> Event | None:
        """Do what an event of this task asks for."""
        raise NotImplementedError

    def take_faulty(self, event_id: str | None, code: str, param: str | None) -> Event:
        """A frame that is no event; too many in a row that can't be answered by id end the session."""
        self.invalid_frames += event_id is None
        if self.invalid_frames >= MOST_INVALID_FRAMES:
            return error(None, "too_many_invalid_frames")
        return error(None if event_id in self.open else event_id, code, param)

    def take_cancel(self, event: Event) -> Event:
        """What has ended is not found, which is no error."""
        target = self.open.get(event["target"])
        if target is not None:
            target.is_cancelled = True
        return {"type": "response.cancelled", "id": event["id"], "target": event["target"], "found": target is not None}

    def take_settings(self, event: Event) -> Event:
        """All of it or none of it."""
        self.settings = self.settings | event["settings"]
        return {"type": "session.updated", "id": event["id"], "settings": self.settings}

    def begin(self, request: R) -> None:
        """Take a request."""
        self.open[request.id] = request


def fault_in(event: Event) -> Fault:
    """Return what an event says was wrong."""
    return event["error"]["code"], event["error"]["param"]


def error(event_id: str | None, code: str, param: str | None = None) -> Event:
    """Return an error as `compare` reads one."""
    return {"type": "error", "id": event_id, "error": (code, param)}
