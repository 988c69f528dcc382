"""Keeps a development set out of training: some phrasings of every topic and kind, chosen by a hash of their text.

Pure. It serves to choose between trainings, so its figures flatter; `training.sealed` is what decides.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

from training.talk_corpus import Conversation, FollowUp, Kind, Talk, Topic, bare, lines

PART = 20 / 256


@dataclass(frozen=True)
class Development:
    """Phrasings kept out of training: (text, topic id), and (text, kind id) of what is off the guide's ground."""

    questions: tuple[tuple[str, str], ...]
    off_ground: tuple[tuple[str, str], ...]

    def texts(self) -> frozenset[str]:
        """Return all of them; only their words, as `bare` has them."""
        return frozenset(bare(text) for text, _ in (*self.questions, *self.off_ground))


def is_held_out(text: str) -> bool:
    """Say whether a phrasing is kept out of training."""
    return hashlib.sha256(text.encode()).digest()[0] / 256 < PART


def _held_out(entries: Iterable[Topic | Kind]) -> tuple[tuple[str, str], ...]:
    """Return the phrasings that don't train, each with its id; none of an entry that would have none left."""
    return tuple(
        (line, each.id)
        for each in entries
        for line in lines(each.ask)
        if is_held_out(line) and not all(map(is_held_out, lines(each.ask)))
    )


def _without(ask: str, apart: frozenset[str]) -> str:
    """Return the phrasings that train; all of them where none would be left."""
    return "\n".join(line for line in lines(ask) if bare(line) not in apart) or ask


def _trained(topic: Topic, apart: frozenset[str]) -> Topic:
    def follow(each: FollowUp) -> FollowUp:
        return msgspec.structs.replace(each, ask=_without(each.ask, apart))

    return msgspec.structs.replace(topic, ask=_without(topic.ask, apart), follow=tuple(map(follow, topic.follow)))


def _trains(script: Conversation, apart: frozenset[str]) -> bool:
    return not any(bare(line[1:]) in apart for line in lines(script.turns) if line.startswith(">"))


def split(talk: Talk) -> tuple[Talk, Development]:
    """Return what trains, and what is kept out of it: out of follow-ups and conversations in full, too."""
    held_out = Development(_held_out(talk.topics.values()), _held_out(talk.kinds.values()))
    apart = held_out.texts()
    topics = {name: _trained(each, apart) for name, each in talk.topics.items()}
    kinds = {name: msgspec.structs.replace(each, ask=_without(each.ask, apart)) for name, each in talk.kinds.items()}
    scripts = tuple(script for script in talk.conversations if _trains(script, apart))
    return msgspec.structs.replace(talk, topics=topics, kinds=kinds, conversations=scripts), held_out
