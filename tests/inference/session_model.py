"""A chat session as docs/protocol.md has it, in plain Python: what each frame may be answered with, and when.

The server handles frames in their order and its events come in theirs, so the place of an answer among the events says
what had ended when its frame was handled. The model takes each event in turn and fails on one that it can't explain.
"""

from collections import deque
from dataclasses import dataclass, field
from typing import Any

Event = dict[str, Any]
Message = dict[str, Any]

MOST_CHARACTERS = 100_000
MOST_INVALID_FRAMES = 10
CLOSING = {"too_many_invalid_frames": 4400, "frame_too_large": 1009}
DEFAULTS = dict.fromkeys(
    ("system", "temperature", "top_p", "top_k", "repetition_penalty", "max_tokens", "seed", "stop")
)


@dataclass(frozen=True)
class Frame:
    """What the client sends: `event`, or `data` that is none and is told so with `error` (id, code, field)."""

    event: Event = field(default_factory=dict)
    data: str | bytes = ""
    error: tuple[str | None, str, str | None] | None = None


@dataclass
class Request:
    """A request that was taken. The draft's last message has no id before the server tells it."""

    id: str
    draft: list[Message]
    settings: Event
    is_too_long: bool
    is_cancelled: bool = False
    request_id: str | None = None
    parts: list[str] = field(default_factory=list)
    done: Event = field(default_factory=dict)


class ChatModel:
    """One session. `long_text` is a text with more tokens than the model reads."""

    def __init__(self, long_text: str) -> None:
        self.long_text = long_text
        self.messages: list[Message] = []
        self.settings: Event = dict(DEFAULTS)
        self.open: Request | None = None
        self.ended: list[Request] = []
        self.pending: deque[Frame] = deque()
        self.invalid_frames = 0
        self.close_code: int | None = None

    # -- events -------------------------------------------------------------------------------------------------------

    def hear(self, event: Event) -> None:
        """Explain one event of the server."""
        assert self.close_code is None, f"{event} came after the error that ends the session"
        while self.open is None or event["id"] != self.open.id:
            assert self.pending, f"nothing was asked that {event} could answer"
            if (answer := self.take(self.pending.popleft())) is not None:
                return self.compare(answer, event)
        return self.progress(self.open, event)

    def compare(self, answer: Event, event: Event) -> None:
        """Check the one event that answers a frame."""
        if event["type"] == "error":
            error = event["error"]
            event = {"type": "error", "id": event["id"], "error": (error["code"], error["param"])}
            self.close_code = CLOSING.get(error["code"])
        if event["type"] == "conversation" and any(message["id"] is None for message in answer["messages"]):
            for message, told in zip(answer["messages"], event["messages"], strict=True):
                message["id"] = told["id"]
            assert len({message["id"] for message in self.messages}) == len(self.messages)
        assert event == answer

    def progress(self, request: Request, event: Event) -> None:
        """Check an event of the open request: queued, created, deltas, done; or one error."""
        is_created = request.request_id is not None
        match event["type"]:
            case "response.queued":
                assert not is_created
                assert event["position"] >= 1
            case "response.created":
                assert not is_created
                self.created(request, event)
            case "response.delta":
                assert is_created
                assert event["text"]
                request.parts.append(event["text"])
            case "response.done":
                assert event["request_id"] == request.request_id
                self.done(request, event)
            case "error":
                assert not is_created
                assert request.is_too_long
                assert (event["error"]["code"], event["error"]["param"]) == ("text_too_long", "text")
                self.open = None
            case other:
                raise AssertionError(f"{other} is no event of a request")

    def created(self, request: Request, event: Event) -> None:
        """The model has taken the request."""
        request.request_id = event["request_id"]
        asked = request.draft[-1]
        if asked["id"] is None:
            assert event["message_id"] not in {message["id"] for message in self.messages}
            asked["id"] = event["message_id"]
        assert event["message_id"] == asked["id"]

    def done(self, request: Request, event: Event) -> None:
        """A request has ended: only one that was cancelled is told so, and the conversation has what was told."""
        text, usage, status = "".join(request.parts), event["usage"], event["status"]
        assert status == "completed" or (status == "cancelled" and request.is_cancelled)
        assert not (status == "completed" and request.is_too_long)
        assert event["finish_reason"] in (("stop", "length") if status == "completed" else ("cancelled",))
        assert usage["output_tokens"] <= (request.settings["max_tokens"] or 1024)
        assert usage["cached_tokens"] <= usage["input_tokens"] - (status == "completed")  # of a prompt, what was read
        if status == "cancelled" and not text:
            assert event["message"] is None
        else:
            message = {"id": event["message"]["id"], "role": "assistant", "text": text, "status": status}
            assert event["message"] == message
            self.messages = [*request.draft, message]
        request.done = event
        self.ended.append(request)
        self.open = None

    # -- frames -------------------------------------------------------------------------------------------------------

    def take(self, frame: Frame) -> Event | None:
        """Do what a frame asks for and return its answer; None for a request that begins."""
        if frame.error is not None:
            return self.take_faulty(*frame.error)
        self.invalid_frames = 0
        event = frame.event
        if self.open is not None and event["id"] == self.open.id:
            return error(None, "duplicate_id", "id")
        match event["type"]:
            case "response.cancel":
                return self.take_cancel(event)
            case "session.update":
                return self.take_update(event)
            case "conversation.get":
                return {"type": "conversation", "id": event["id"], "messages": self.messages}
            case other:
                return self.take_turn(event, other)

    def take_turn(self, event: Event, kind: str) -> Event | None:
        """What needs the conversation to itself."""
        if self.open is not None:
            return error(event["id"], "conversation_busy")
        return self.take_load(event) if kind == "conversation.load" else self.take_request(event)

    def take_faulty(self, event_id: str | None, code: str, param: str | None) -> Event:
        """A frame that is no event; too many in a row that can't be answered by id end the session."""
        self.invalid_frames += event_id is None
        if self.invalid_frames >= MOST_INVALID_FRAMES:
            return error(None, "too_many_invalid_frames")
        is_of_another = self.open is not None and event_id == self.open.id
        return error(None if is_of_another else event_id, code, param)

    def take_cancel(self, event: Event) -> Event:
        """What has ended is not found, which is no error."""
        found = self.open is not None and event["target"] == self.open.id
        if self.open is not None and found:
            self.open.is_cancelled = True
        return {"type": "response.cancelled", "id": event["id"], "target": event["target"], "found": found}

    def take_update(self, event: Event) -> Event:
        """All of it or none of it."""
        if len(event["settings"].get("system") or "") > MOST_CHARACTERS:
            return error(event["id"], "text_too_long", "settings.system")
        self.settings = self.settings | event["settings"]
        return {"type": "session.updated", "id": event["id"], "settings": self.settings}

    def take_load(self, event: Event) -> Event:
        """All messages or none; the server gives them ids."""
        for position, message in enumerate(event["messages"]):
            if fault := fault_of(message["text"], message["role"]):
                return error(event["id"], fault, f"messages[{position}].text")
        self.messages = [{"status": "completed"} | message | {"id": None} for message in event["messages"]]
        return {"type": "conversation", "id": event["id"], "messages": self.messages}

    def take_request(self, event: Event) -> Event | None:
        """Begin to answer a draft of the conversation, or say why not."""
        users = [n for n, message in enumerate(self.messages) if message["role"] == "user"]
        draft = [*self.messages, {"id": None, "role": "user", "text": event.get("text"), "status": "completed"}]
        if event["type"] == "message.edit":
            place = next((n for n in users if self.messages[n]["id"] == event["message_id"]), None)
            if place is None:
                return error(event["id"], "unknown_message", "message_id")
            draft = [*self.messages[:place], self.messages[place] | {"text": event["text"]}]
        if event["type"] == "response.regenerate":
            if not users:
                return error(event["id"], "nothing_to_answer")
            draft = self.messages[: users[-1] + 1]
        elif fault := fault_of(event["text"], "user"):
            return error(event["id"], fault, "text")
        is_too_long = self.long_text in (draft[-1]["text"], self.settings["system"])
        self.open = Request(event["id"], draft, self.settings, is_too_long)
        return None


def fault_of(text: str, role: str) -> str | None:
    """Return the code of what is wrong with a message's text."""
    if role == "user" and not text.strip():
        return "empty_text"
    return "text_too_long" if len(text) > MOST_CHARACTERS else None


def error(event_id: str | None, code: str, param: str | None = None) -> Event:
    """Return an error as `compare` reads one."""
    return {"type": "error", "id": event_id, "error": (code, param)}
