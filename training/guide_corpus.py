"""Reads what the guide can talk about from `corpus/guide`: topics, facts to remember, things off its ground.

Pure reading, no randomness. A file that does not follow the format raises ValueError and names the place.
"""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CORPUS = Path(__file__).parent / "corpus" / "guide"


@dataclass(frozen=True)
class Topic:
    """One thing the guide can talk about: `ask` are patterns, `more` answers "tell me more" or is empty."""

    id: str
    answer: str
    more: str
    ask: tuple[str, ...]


@dataclass(frozen=True)
class Fact:
    """Something a person tells about themselves; `{value}` stands for what is to be remembered."""

    id: str
    values: tuple[str, ...]
    tell: tuple[str, ...]
    acknowledge: str
    ask: tuple[str, ...]
    answer: str
    unknown: str


@dataclass(frozen=True)
class OffTopic:
    """A kind of thing the guide can't help with: patterns, their fillings, and the answer to all of them."""

    id: str
    answer: str
    ask: tuple[str, ...]
    slots: dict[str, list[str]]


@dataclass(frozen=True)
class GuideCorpus:
    """Everything the guide learns from."""

    topics: tuple[Topic, ...]
    facts: tuple[Fact, ...]
    off_topic: tuple[OffTopic, ...]


def _need(entry: dict[str, Any], name: str, path: Path) -> Any:
    if not entry.get(name):
        raise ValueError(f"{path}: entry {entry.get('id', '?')!r} needs {name!r}")
    return entry[name]


def _topic(entry: dict[str, Any], path: Path) -> Topic:
    ask = tuple(_need(entry, "ask", path))
    return Topic(_need(entry, "id", path), _need(entry, "answer", path), entry.get("more", ""), ask)


def read_values(path: Path) -> tuple[str, ...]:
    """Return the values of a file: separated by commas where it has any, by white space otherwise."""
    text = path.read_text(encoding="utf-8")
    return tuple(value.strip() for value in text.split(",")) if "," in text else tuple(text.split())


def _fact(entry: dict[str, Any], path: Path) -> Fact:
    values = read_values(path.parent / "values" / f"{_need(entry, 'values', path)}.txt")
    tell, ask = tuple(_need(entry, "tell", path)), tuple(_need(entry, "ask", path))
    texts = [_need(entry, name, path) for name in ("acknowledge", "answer", "unknown")]
    if any("{value}" not in text for text in (*tell, *texts[:2])):
        raise ValueError(f"{path}: fact {entry['id']!r} has a text without {{value}}")
    return Fact(entry["id"], values, tell, texts[0], ask, texts[1], texts[2])


def _off_topic(entry: dict[str, Any], ending: str, path: Path) -> OffTopic:
    slots = {name: [value.strip() for value in text.split(",")] for name, text in entry.get("slots", {}).items()}
    answer = f"{_need(entry, 'opening', path)} {ending}"
    return OffTopic(_need(entry, "id", path), answer, tuple(_need(entry, "ask", path)), slots)


def read_corpus(directory: Path = CORPUS) -> GuideCorpus:
    """Read all files of the guide's corpus; raises ValueError for a broken entry or an id that stands twice."""
    topics: list[Topic] = []
    facts: list[Fact] = []
    off_topic: list[OffTopic] = []
    for path in sorted(directory.glob("*.toml")):
        content = tomllib.loads(path.read_text(encoding="utf-8"))
        topics += [_topic(entry, path) for entry in content.get("topic", [])]
        facts += [_fact(entry, path) for entry in content.get("fact", [])]
        off_topic += [_off_topic(entry, content["ending"], path) for entry in content.get("kind", [])]
    ids = [t.id for t in topics] + [fact.id for fact in facts] + [kind.id for kind in off_topic]
    if len(ids) != len(set(ids)):
        raise ValueError(f"{directory}: an id stands twice: {sorted(i for i in ids if ids.count(i) > 1)[0]!r}")
    return GuideCorpus(tuple(topics), tuple(facts), tuple(off_topic))
