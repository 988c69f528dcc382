"""Reads the sealed sets, guide.toml and phrasebook.toml, into typed structs. Any thread; no model, no torch."""

import re
from pathlib import Path
from typing import Literal

import msgspec

HERE = Path(__file__).parent

Ground = Literal["about", "small_talk", "off", "memory"]
"""Aister and its use; pleasantries; everything else; what the user said earlier in the conversation."""

Kind = Literal["likely", "stretch", "outside"]
"""What a phrasebook should know; what it may know, or warn of; free prose, of which it has to warn."""


class Expectation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One message of a user, and what a right answer to it contains.

    Patterns are searched in the answer in lower case: all of `must`, one of `any`, none of `must_not`. `about_itself`
    is a question whose right answer may well say what the model can't do. `note` is for the reader.
    """

    ground: Ground
    text: str
    must: tuple[str, ...] = ()
    any: tuple[str, ...] = ()
    must_not: tuple[str, ...] = ()
    about_itself: bool = False
    note: str = ""

    def __post_init__(self) -> None:
        for pattern in (*self.must, *self.any, *self.must_not):
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"{pattern!r} is no regular expression: {error}.") from None
        if self.ground == "off" and (self.must or self.any or self.about_itself):
            raise ValueError("Off its ground the only right answer says so: no patterns.")
        if self.ground != "off" and not (self.must or self.any):
            raise ValueError("Nothing tells a right answer from a wrong one: give must or any.")


class Question(Expectation, frozen=True, kw_only=True):
    """A message that opens a conversation by itself."""

    id: str


class SealedConversation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Messages of one user, each of which is sent when the one before has been answered."""

    id: str
    turn: tuple[Expectation, ...]


class GuideSet(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """guide.toml, and other sets in its format."""

    question: tuple[Question, ...] = ()
    conversation: tuple[SealedConversation, ...]


class Phrase(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A text to translate; `references` are the translations that count as exact, none for a text outside."""

    id: str
    kind: Kind
    source: str
    target: str
    text: str
    references: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if bool(self.references) == (self.kind == "outside"):
            raise ValueError("A phrase has references, a text outside has none.")


class PhrasebookSet(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """phrasebook.toml."""

    phrase: tuple[Phrase, ...]


def read_guide(path: Path = HERE / "guide.toml") -> GuideSet:
    """Return the questions and conversations. Raises msgspec.ValidationError for a file of another shape."""
    return msgspec.toml.decode(path.read_bytes(), type=GuideSet)


def read_phrasebook(path: Path = HERE / "phrasebook.toml") -> PhrasebookSet:
    """Return the phrases. Raises msgspec.ValidationError for a file of another shape."""
    return msgspec.toml.decode(path.read_bytes(), type=PhrasebookSet)
