"""A chat session as docs/protocol.md has it: one conversation, which is what was told, and one answer at a time."""

from dataclasses import dataclass, field
from typing import Any, ClassVar

from tests.inference.session_model import Event, Request, SessionModel, error

Message = dict[str, Any]

MOST_CHARACTERS = 100_000


@dataclass(eq=False, kw_only=True)
class ChatRequest(Request):
    """A message to answer. The draft's last one has no id before the server tells it."""

    draft: list[Message] = field(default_factory=list)
    parts: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """The answer so far."""
        return "".join(self.parts)


class ChatModel(SessionModel[ChatRequest]):
    """One chat session. `long_text` is a text with more tokens than the model reads."""

    defaults: ClassVar[Event] = dict.fromkeys(
        ("system", "temperature", "top_p", "top_k", "repetition_penalty", "max_tokens", "seed", "stop")
    )

    def __init__(self, long_text: str) -> None:
        super().__init__()
        self.long_text = long_text
        self.messages: list[Message] = []

    # -- events -------------------------------------------------------------------------------------------------------

    def compare(self, answer: Event, event: Event) -> None:
        """Check the one event that answers a frame; the server gives ids to the messages of a new conversation."""
        if event["type"] == "conversation" and any(message["id"] is None for message in answer["messages"]):
            for message, told in zip(answer["messages"], event["messages"], strict=True):
                message["id"] = told["id"]
            assert len({message["id"] for message in self.messages}) == len(self.messages)
        super().compare(answer, event)

    def created(self, request: ChatRequest, event: Event) -> None:
        """The server says which message it answers."""
        asked = request.draft[-1]
        if asked["id"] is None:
            assert event["message_id"] not in {message["id"] for message in self.messages}
            asked["id"] = event["message_id"]
        assert event["message_id"] == asked["id"]

    def heard(self, request: ChatRequest, event: Event) -> None:
        assert "item" not in event
        request.parts.append(event["text"])

    def completed(self, request: ChatRequest, event: Event) -> None:
        assert event["usage"]["cached_tokens"] < event["usage"]["input_tokens"]  # the last token is always read
        self.adopt(request, event)

    def cut_short(self, request: ChatRequest, event: Event) -> None:
        assert event["usage"]["cached_tokens"] <= event["usage"]["input_tokens"]
        if request.text:
            self.adopt(request, event)
        else:
            assert event["message"] is None

    def failed(self, request: ChatRequest, event: Event) -> None:
        """The conversation is as it was."""
        assert event["message"] is None

    def adopt(self, request: ChatRequest, event: Event) -> None:
        """The conversation has what was told."""
        assert event["usage"]["output_tokens"] <= (request.settings["max_tokens"] or 1024)
        message_id = event["message"]["id"]
        message = {"id": message_id, "role": "assistant", "text": request.text, "status": event["status"]}
        assert event["message"] == message
        self.messages = [*request.draft, message]

    # -- frames -------------------------------------------------------------------------------------------------------

    def take_event(self, event: Event) -> Event | None:
        match event["type"]:
            case "session.update":
                if len(event["settings"].get("system") or "") > MOST_CHARACTERS:
                    return error(event["id"], "text_too_long", "settings.system")
                return self.take_settings(event)
            case "conversation.get":
                return {"type": "conversation", "id": event["id"], "messages": self.messages}
        if self.open:
            return error(event["id"], "conversation_busy")
        return self.take_load(event) if event["type"] == "conversation.load" else self.take_request(event)

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
        faults = {("text_too_long", "text")} if is_too_long else set()
        self.begin(ChatRequest(id=event["id"], settings=self.settings, faults=faults, draft=draft))
        return None


def fault_of(text: str, role: str) -> str | None:
    """Return the code of what is wrong with a message's text."""
    if role == "user" and not text.strip():
        return "empty_text"
    return "text_too_long" if len(text) > MOST_CHARACTERS else None
