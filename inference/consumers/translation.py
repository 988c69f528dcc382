"""Translation sessions: many requests at once, each on its own."""

from typing import ClassVar

from inference.catalog import Task
from inference.consumers.session import SessionConsumer
from inference.protocol import (
    TRANSLATION_EVENTS,
    ClientEvent,
    Parser,
    SessionUpdated,
    TranslationCreate,
    TranslationSessionUpdate,
    TranslationSettings,
    updated,
)
from inference.tasks.translation import MAX_TEXT_CHARACTERS, TranslationAnswer


class TranslationConsumer(SessionConsumer):
    """`/v1/translate`."""

    task: ClassVar[Task] = "translation"
    parser = Parser(TRANSLATION_EVENTS)
    text_characters = MAX_TEXT_CHARACTERS

    def __init__(self) -> None:
        super().__init__()
        self.settings: TranslationSettings = TranslationSettings()

    def handle(self, event: ClientEvent) -> None:
        """Do what an event asks for; raise AisterError when it can't be done."""
        match event:
            case TranslationCreate():
                self.translate(event)
            case TranslationSessionUpdate():
                self.settings = updated(self.settings, event.settings)
                self.outbox.put(SessionUpdated(id=event.id, settings=self.settings))
            case _:
                super().handle(event)

    def translate(self, event: TranslationCreate) -> None:
        """Begin to translate; raise AisterError (empty_text, text_too_long, invalid_field)."""
        source = event.source or self.settings.source
        target = event.target or self.settings.target
        self.start(event.id, TranslationAnswer(event.text, source, target))
