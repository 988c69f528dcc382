"""Keeps a development set out of training: some phrasings of every topic and kind, chosen by a hash of their text.

Pure. It serves to choose between trainings, so its figures flatter; `training.sealed` is what decides.
"""

import hashlib
from dataclasses import dataclass

import msgspec

from training.talk_corpus import Talk, lines

PART = 20 / 256


@dataclass(frozen=True)
class Development:
    """Phrasings kept out of training: (text, topic id), and (text, kind id) of what is off the guide's ground."""

    questions: tuple[tuple[str, str], ...]
    off_ground: tuple[tuple[str, str], ...]


def is_held_out(text: str) -> bool:
    """Say whether a phrasing is kept out of training."""
    return hashlib.sha256(text.encode()).digest()[0] / 256 < PART


def _kept(ask: str) -> str:
    """Return the phrasings that train; all of them where none would be left."""
    return "\n".join(line for line in lines(ask) if not is_held_out(line)) or ask


def split(talk: Talk) -> tuple[Talk, Development]:
    """Return what trains, and what is kept out of it."""
    topics = {name: msgspec.structs.replace(each, ask=_kept(each.ask)) for name, each in talk.topics.items()}
    kinds = {name: msgspec.structs.replace(each, ask=_kept(each.ask)) for name, each in talk.kinds.items()}
    held_out = Development(
        tuple((line, each.id) for each in talk.topics.values() for line in lines(each.ask) if is_held_out(line)),
        tuple((line, each.id) for each in talk.kinds.values() for line in lines(each.ask) if is_held_out(line)),
    )
    return msgspec.structs.replace(talk, topics=topics, kinds=kinds), held_out
