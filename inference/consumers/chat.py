"""Chat sessions: one conversation, one answer at a time."""

from functools import partial
from typing import TYPE_CHECKING, ClassVar, cast

from inference.apps import manager
from inference.catalog import Task
from inference.consumers.session import SessionConsumer
from inference.errors import AisterError
from inference.protocol import (
    CHAT_EVENTS,
    ChatSessionUpdate,
    ChatSettings,
    ClientEvent,
    ConversationGet,
    ConversationLoad,
    Message,
    MessageCreate,
    MessageEdit,
    Parser,
    ResponseRegenerate,
    SessionUpdated,
    updated,
)
from inference.protocol import Conversation as ConversationEvent
from inference.tasks.chat import ChatAnswer
from inference.tasks.conversation import MAX_TEXT_CHARACTERS, Conversation, checked_text

if TYPE_CHECKING:
    from inference.engines.decoder import DecoderEngine  # brings torch


class ChatConsumer(SessionConsumer):
    """`/v1/chat`."""

    task: ClassVar[Task] = "chat"
    parser = Parser(CHAT_EVENTS)
    text_characters = MAX_TEXT_CHARACTERS

    def __init__(self) -> None:
        super().__init__()
        self.conversation = Conversation()
        self.settings: ChatSettings = ChatSettings()

    def handle(self, event: ClientEvent) -> None:
        """Do what an event asks for; raise AisterError when it can't be done."""
        match event:
            case MessageCreate():
                self.check_not_busy()
                self.answer(event.id, self.conversation.draft_with(event.text))
            case MessageEdit():
                self.check_not_busy()
                self.answer(event.id, self.conversation.draft_edited(event.message_id, event.text))
            case ResponseRegenerate():
                self.check_not_busy()
                self.answer(event.id, self.conversation.draft_regenerated())
            case ChatSessionUpdate():
                self.update(event)
            case ConversationLoad():
                self.check_not_busy()
                self.conversation.load(event.messages)
                self.tell_conversation(event.id)
            case ConversationGet():
                self.tell_conversation(event.id)
            case _:
                super().handle(event)

    def check_not_busy(self) -> None:
        """Raise AisterError (conversation_busy) while a message is being answered."""
        if self.open:
            raise AisterError("conversation_busy")

    def answer(self, event_id: str, draft: list[Message]) -> None:
        """Begin to answer the last message of a draft."""
        self.start(event_id, ChatAnswer(self.conversation, draft, self.settings))

    def update(self, event: ChatSessionUpdate) -> None:
        """Change the settings of later requests; raise AisterError (text_too_long) and change nothing."""
        system = event.settings.system
        if isinstance(system, str) and system:
            checked_text(system, "settings.system")
        self.settings = updated(self.settings, event.settings)
        self.outbox.put(SessionUpdated(id=event.id, settings=self.settings))

    def tell_conversation(self, event_id: str) -> None:
        """Send the conversation as it stands."""
        self.outbox.put(ConversationEvent(id=event_id, messages=self.conversation.messages))

    def forget(self) -> None:
        """Free the KV cache of the conversation, which ends with its session."""
        model = manager().loaded(self.entry.id) if hasattr(self, "entry") else None
        if model is not None:
            forget = cast("DecoderEngine", model.engine).forget
            model.scheduler.call(partial(forget, self.conversation.id))
