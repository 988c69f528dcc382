"""Reads `corpus/phrases`: texts aligned in six languages, frames, their fillings, and what is kept out of training.

Pure reading, no randomness. A line that does not follow the format raises ValueError and names the place.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from inference.engines.lexicon import OPAQUE
from training.phrases_frames import Filling, Forms, Frame, Word, parse_sentence
from training.phrases_grammar import parse_noun

CORPUS = Path(__file__).parent / "corpus" / "phrases"
LANGUAGES = ("en", "fr", "de", "es", "it", "pt")
INTO_ONLY = ">"
HELD_OUT_PART = 25  # one in so many fillings of a frame is kept out of training
_WORD = re.compile(r"[^\W_]+")
_NO_PROSE = re.compile(rf"\[\w+\]|{OPAQUE.pattern}")
Owners = dict[str, Mapping[str, str]]


@dataclass(frozen=True)
class Phrase:
    """The same text in every language; only those in `sources` are translated from; `frame` is what it was made of."""

    texts: Mapping[str, str]
    sources: tuple[str, ...] = LANGUAGES
    frame: str = ""

    def directions(self) -> Iterator[tuple[str, str]]:
        """Yield (source, target) languages."""
        return ((source, target) for source in self.sources for target in LANGUAGES if target != source)


def bare(text: str) -> str:
    """Return `text` as somebody in a hurry types it: small letters, no mark at either end. Accents stay."""
    return text.casefold().lstrip("¿¡ ").rstrip(".!?…: ")


def words_of(text: str) -> list[str]:
    """Return the words of `text` in small letters, parted at apostrophes and hyphens too; numbers are none."""
    return [word for word in _WORD.findall(text.casefold()) if not word.isdigit()]


def words_in_prose(text: str) -> list[str]:
    """Return the words of `text` that are translated: open slots, placeholders, tags and addresses hold none."""
    return words_of(_NO_PROSE.sub(" ", text))


def _lines(path: Path) -> Iterator[tuple[str, str]]:
    """Yield (line, where it stands) for every line that is neither empty nor a comment."""
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if line.strip() and not line.startswith("#"):
            yield line.strip(), f"{path.parent.name}/{path.name}:{number}"


def _cells(line: str, place: str) -> list[str]:
    cells = [cell.strip() for cell in line.split(" | ")]
    if len(cells) != len(LANGUAGES) or not all(cell.strip(INTO_ONLY) for cell in cells):
        raise ValueError(f"{place}: a line needs {len(LANGUAGES)} texts, separated by ' | ', not {len(cells)}")
    return cells


def _phrase(line: str, place: str) -> Phrase:
    cells = dict(zip(LANGUAGES, _cells(line, place), strict=True))
    texts = {language: cell.removeprefix(INTO_ONLY) for language, cell in cells.items()}
    return Phrase(texts, tuple(code for code, cell in cells.items() if not cell.startswith(INTO_ONLY)))


def read_phrases(path: Path) -> list[Phrase]:
    """Read a file of aligned texts."""
    return [_phrase(line, place) for line, place in _lines(path)]


def _word(cell: str, language: str, forms: list[str]) -> Word:
    if not forms:
        return parse_noun(cell, language)
    parts = cell.split(" / ")
    if len(parts) == 1:
        return Forms({}, cell)
    if len(parts) not in (len(forms), len(forms) - (forms[-1] == "n")):
        raise ValueError(f"{cell!r} needs one form or all of these: {', '.join(forms)}")
    return Forms(dict(zip(forms, parts, strict=False)))


def _first_word(line: str) -> str:
    """Return what a filling is called: its first text without plural, forms and marks."""
    return re.split(r",| \| | / ", line)[0].strip(" *")


def read_fillings(directory: Path) -> dict[str, tuple[Filling, ...]]:
    """Read the fillings of every slot. `[place]` opens a slot of nouns, `[country: name, in]` one with named forms."""
    fillings: dict[str, list[Filling]] = {}
    forms: list[str] = []
    slot = ""
    for path in sorted(directory.glob("*.txt")):
        for line, place in _lines(path):
            if line.startswith("["):
                slot, _, names = line.strip("[]").partition(": ")
                forms = names.split(", ") if names else []
                continue
            try:
                words = {c: _word(cell, c, forms) for c, cell in zip(LANGUAGES, _cells(line, place), strict=True)}
            except ValueError as error:
                raise ValueError(f"{place}: {error}") from error
            fillings.setdefault(slot, []).append(Filling(_first_word(line), words))
    return {name: tuple(words) for name, words in fillings.items()}


def read_frames(path: Path, kinds: list[str]) -> list[Frame]:
    """Read a file of frames; `kinds` are the slots that have fillings."""
    frames = []
    for line, place in _lines(path):
        cells = zip(LANGUAGES, _cells(line, place), strict=True)
        try:
            sides = {language: parse_sentence(cell, language, kinds) for language, cell in cells}
        except ValueError as error:
            raise ValueError(f"{place}: {error}") from error
        frames.append(Frame(line.split(" | ")[0], sides))
    return frames


def _hash(frame: str, fillings: tuple[str, ...]) -> int:
    return hashlib.sha256("|".join((frame, *fillings)).encode()).digest()[0]


@dataclass(frozen=True)
class Phrases:
    """The whole corpus.

    `sealed_frames` are never trained; `rare` are fillings that half of the frames never show in training; `spellings`
    say how else English words are written.
    """

    site: Mapping[str, tuple[Phrase, ...]]
    everyday: Mapping[str, tuple[Phrase, ...]]
    frames: tuple[Frame, ...]
    sealed_frames: tuple[Frame, ...]
    fillings: Mapping[str, tuple[Filling, ...]]
    rare: frozenset[str]
    spellings: Mapping[str, str]

    def phrases(self) -> list[Phrase]:
        """Return the aligned texts of all subjects."""
        return [phrase for part in (self.site, self.everyday) for phrases in part.values() for phrase in phrases]

    def is_held_out(self, frame: Frame, fillings: tuple[str, ...]) -> bool:
        """Return whether this frame is never trained with these fillings; decided by the texts alone."""
        if not fillings:
            return False
        value = _hash(frame.text, fillings)
        return value % HELD_OUT_PART == 0 or (value % 2 == 0 and not self.rare.isdisjoint(fillings))

    @cached_property
    def _filled(self) -> tuple[tuple[Phrase, ...], ...]:
        owners: Owners = {}
        for phrase in self.phrases():
            owners |= dict.fromkeys((bare(phrase.texts[source]) for source in phrase.sources), phrase.texts)
        trained: list[Phrase] = []
        held_out: list[Phrase] = []
        for frame in self.frames:
            for fillings, texts in frame.expand(self.fillings):
                (held_out if self.is_held_out(frame, fillings) else trained).extend(_claimed(texts, owners, frame.text))
        sealed: list[Phrase] = []
        for frame in self.sealed_frames:
            for _, texts in frame.expand(self.fillings):
                sealed.extend(_claimed(texts, owners, frame.text))
        return tuple(trained), tuple(held_out), tuple(sealed)

    @property
    def trained(self) -> tuple[Phrase, ...]:
        """The filled frames to train on; free slots are still open."""
        return self._filled[0]

    @property
    def held_out(self) -> tuple[Phrase, ...]:
        """Frames that are trained, with fillings that they are never trained with."""
        return self._filled[1]

    @property
    def sealed(self) -> tuple[Phrase, ...]:
        """The frames that are never trained, filled."""
        return self._filled[2]

    def vocabulary(self, language: str) -> frozenset[str]:
        """Return every word of `language` that training shows, in small letters: what is no such word is not known."""
        texts = {phrase.texts[language] for phrase in (*self.phrases(), *self.trained)}
        texts |= set(self.spellings.values()) if language == "en" else set()
        return frozenset(word for text in texts for word in words_in_prose(text))


def _claimed(texts: Mapping[str, str], owners: Owners, frame: str) -> list[Phrase]:
    """Return the phrase of `texts`, to be translated from only where the text says nothing else: `owners` has the rest.

    A text that a phrase or an earlier frame has already belongs to that one; without any of its own there is no phrase.
    """
    sources = tuple(code for code in LANGUAGES if owners.setdefault(bare(texts[code]), texts) is texts)
    return [Phrase(texts, sources, frame)] if sources else []


def _by_subject(directory: Path) -> dict[str, tuple[Phrase, ...]]:
    return {path.stem: tuple(read_phrases(path)) for path in sorted(directory.glob("*.txt"))}


def read_names(path: Path = CORPUS / "names.txt") -> tuple[str, ...]:
    """Return people's names, which are the same in every language."""
    return tuple(path.read_text(encoding="utf-8").split())


def read_spellings(path: Path) -> dict[str, str]:
    """Return how else English words are written, by the words."""
    rows = [(line.split(" | "), place) for line, place in _lines(path)]
    if wrong := [place for row, place in rows if len(row) != 2]:
        raise ValueError(f"{wrong[0]}: a line needs two texts, separated by ' | '")
    return {text.casefold(): other for (text, other), _ in rows}


def read_corpus(directory: Path = CORPUS) -> Phrases:
    """Read the whole corpus; raises ValueError for a broken line."""
    fillings = read_fillings(directory / "fillings")
    kinds = list(fillings)
    frames = [frame for path in sorted((directory / "frames").glob("*.txt")) for frame in read_frames(path, kinds)]
    sealed = read_frames(directory / "held_out" / "frames.txt", kinds)
    rare = frozenset(line for line, _ in _lines(directory / "held_out" / "fillings.txt"))
    site, everyday = _by_subject(directory / "site"), _by_subject(directory / "everyday")
    spellings = read_spellings(directory / "spellings.txt")
    return Phrases(site, everyday, tuple(frames), tuple(sealed), fillings, rare, spellings)
