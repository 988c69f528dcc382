"""Reads the phrasebook from `corpus/phrasebook`: entries aligned in six languages, frames with slots, fillings.

Pure reading, no randomness. A line that does not follow the format raises ValueError and names the place.
"""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

CORPUS = Path(__file__).parent / "corpus" / "phrasebook"
LANGUAGES = ("en", "fr", "de", "es", "it", "pt")
FREE_SLOTS = ("name", "number", "number2")
HELD_OUT_PART = 25  # one in so many (frame, filling) pairs is kept out of training

Entry = dict[str, str]
_SLOT = re.compile(r"<(\w+)>")


@dataclass(frozen=True)
class Phrasebook:
    """Entries by language; frames are entries with slots; fillings by slot.

    `trained` and `held_out` are frames already filled, except for the free slots (names and numbers).
    """

    entries: tuple[Entry, ...]
    frames: tuple[Entry, ...]
    fillings: dict[str, tuple[Entry, ...]]
    trained: tuple[Entry, ...]
    held_out: tuple[Entry, ...]


def _entry(line: str, place: str) -> Entry:
    texts = [text.strip() for text in line.split(" | ")]
    if len(texts) != len(LANGUAGES) or not all(texts):
        raise ValueError(f"{place}: an entry needs {len(LANGUAGES)} texts, separated by ' | ', not {len(texts)}")
    return dict(zip(LANGUAGES, texts, strict=True))


def _lines(path: Path) -> list[tuple[str, str]]:
    """Return (line, where it stands) for every line that is neither empty nor a comment."""
    lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    return [(line, f"{path.name}:{i}") for i, line in enumerate(lines, 1) if line and not line.startswith("#")]


def _read_entries(path: Path) -> list[Entry]:
    return [_entry(line, place) for line, place in _lines(path)]


def _read_fillings(path: Path) -> dict[str, tuple[Entry, ...]]:
    fillings: dict[str, list[Entry]] = {}
    slot = ""
    for line, place in _lines(path):
        if line.startswith("["):
            slot = line.strip("[]")
        else:
            fillings.setdefault(slot, []).append(_entry(line, place))
    return {name: tuple(entries) for name, entries in fillings.items()}


def slot_of(frame: Entry) -> str | None:
    """Return the slot of `frame` that fillings fill, or None; ValueError when the languages disagree or it has two."""
    named = {language: set(_SLOT.findall(text)) for language, text in frame.items()}
    if any(names != named["en"] for names in named.values()):
        raise ValueError(f"frame {frame['en']!r}: the slots differ between languages")
    slots = sorted(named["en"] - set(FREE_SLOTS))
    if len(slots) > 1:
        raise ValueError(f"frame {frame['en']!r}: more than one slot with fillings")
    return slots[0] if slots else None


def _filled(frame: Entry, slot: str, filling: Entry) -> Entry:
    texts = {language: text.replace(f"<{slot}>", filling[language]) for language, text in frame.items()}
    return {language: text[:1].upper() + text[1:] for language, text in texts.items()}


def is_held_out(frame: Entry, filling: Entry) -> bool:
    """Return whether this pair is kept out of training; decided by its text, so that a longer corpus changes little."""
    digest = hashlib.sha256(f"{frame['en']}|{filling['en']}".encode()).digest()
    return digest[0] % HELD_OUT_PART == 0


def read_phrasebook(directory: Path = CORPUS) -> Phrasebook:
    """Read the phrasebook; raises ValueError for a broken line."""
    special = {"frames.txt", "fillings.txt"}
    paths = [path for path in sorted(directory.glob("*.txt")) if path.name not in special]
    entries = tuple(entry for path in paths for entry in _read_entries(path))
    frames = tuple(_read_entries(directory / "frames.txt"))
    fillings = _read_fillings(directory / "fillings.txt")
    phrases = {entry["en"] for entry in entries}
    trained: list[Entry] = []
    held_out: list[Entry] = []
    for frame in frames:
        slot = slot_of(frame)
        if slot is None:
            trained.append(frame)
        else:
            for filling in fillings[slot]:
                filled = _filled(frame, slot, filling)
                kept_out = is_held_out(frame, filling) and filled["en"] not in phrases
                (held_out if kept_out else trained).append(filled)
    return Phrasebook(entries, frames, fillings, tuple(trained), tuple(held_out))
