"""Asks the models themselves, without a server: the same tasks and engines, driven by one thread, many at a time."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from inference.engines.base import Delta, EngineRequest, Failed
from inference.engines.seq2seq import Seq2SeqEngine
from inference.errors import AisterError
from inference.protocol import ChatSettings, TranslationResult
from inference.tasks.chat import ChatAnswer
from inference.tasks.conversation import Conversation
from inference.tasks.translation import TranslationAnswer
from training.sealed.sets import Phrase

KEY = "sealed"
ROWS = 16
CACHE_BYTES = 256 * 2**20
MAX_TOKENS = 160  # an answer that rambles on past it is cut, and graded as it stands

Hearing = Callable[[Delta], object]


def run(engine: Any, jobs: Sequence[tuple[EngineRequest, Hearing]]) -> None:
    """Have the engine answer all requests, as many at a time as it has room for; each hears its own deltas.

    Raises AisterError of the first that fails.
    """
    waiting, hearing = list(reversed(jobs)), dict(jobs)
    while waiting or not engine.is_idle:
        while waiting and engine.has_room_for(waiting[-1][0]):
            request, _ = waiting.pop()
            engine.check(request)
            engine.admit(request)
        for request, progress in engine.step():
            if isinstance(progress, Failed):
                raise progress.error
            if isinstance(progress, Delta):
                hearing[request](progress)


class Guide:
    """A chat model, asked as a session would ask it."""

    def __init__(self, source: Path, threads: int, dtype: str = "auto", rows: int = ROWS) -> None:
        """Load the model, to answer so many at a time. `dtype` as in AISTER_DTYPE. Raises LoadingError."""
        from inference.engines.decoder import DecoderEngine  # brings torch

        self._engine = DecoderEngine.load(source, threads=threads, max_rows=rows, cache_bytes=CACHE_BYTES, dtype=dtype)

    def converse(self, conversations: Sequence[Sequence[str]]) -> list[list[str]]:
        """Return the answers to the messages of each conversation, in which every answer is of the model's own."""
        open_ones = [Conversation() for _ in conversations]
        for turn in range(max(map(len, conversations), default=0)):
            self._answer([(c, m[turn]) for c, m in zip(open_ones, conversations, strict=True) if turn < len(m)])
        return [[each.text for each in c.messages if each.role == "assistant"] for c in open_ones]

    def _answer(self, asked: Sequence[tuple[Conversation, str]]) -> None:
        settings = ChatSettings(max_tokens=MAX_TOKENS, temperature=0.0)
        answers = [ChatAnswer(each, each.draft_with(text), settings, is_kept=False) for each, text in asked]
        run(self._engine, [(answer.prepare(self._engine, KEY), answer.hear) for answer in answers])
        for answer in answers:
            answer.conclude(is_cancelled=False)


class Phrasebook:
    """A translation model, asked as a session would ask it."""

    def __init__(self, source: Path, threads: int) -> None:
        """Load the model. Raises LoadingError."""
        self._engine = Seq2SeqEngine.load(source, threads=threads)

    def translate(self, phrases: Sequence[Phrase]) -> list[TranslationResult]:
        """Return the translation of each phrase, its source language stated."""
        answers = [TranslationAnswer(phrase.text, phrase.source, phrase.target) for phrase in phrases]
        run(self._engine, [(answer.prepare(self._engine, KEY), answer.hear) for answer in answers])
        return [_only(answer.conclude(is_cancelled=False).translations) for answer in answers]


def _only(translations: list[TranslationResult] | None) -> TranslationResult:
    if not translations:
        raise AisterError("internal_error", "A translation came back without its text.")
    return translations[0]


def is_warned(translation: TranslationResult) -> bool:
    """Say whether the result carries a warning that the text lies outside the model's words."""
    return bool(getattr(translation, "warning", None))
