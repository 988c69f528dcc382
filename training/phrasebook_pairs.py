"""Makes pairs to translate from the phrasebook: any language to any other, written as people write.

Pure functions of a `random.Random`. The model is told the target language only, so a text that two entries share
(French "Bonjour", or Italian and German "Mai") is always translated as the first of them.
"""

import random
import unicodedata
from dataclasses import dataclass

from training.phrasebook_corpus import LANGUAGES, Entry, Phrasebook
from training.talk_words import made_up_word

LOWER, UPPER, NO_ACCENTS, NO_MARK, ADDED_MARK = 0.22, 0.03, 0.08, 0.2, 0.15

SHARES = (0.45, 0.3, 0.25)  # phrases, filled frames, frames with names and numbers: copying needs much practice

Pair = tuple[str, str, str]  # source text, target language, target text


def without_accents(text: str) -> str:
    """Return `text` with its letters stripped of accents; German umlauts lose their dots too."""
    return "".join(c for c in unicodedata.normalize("NFD", text) if not unicodedata.combining(c))


def _mark_added(source: str, target: str, language: str, mark: str) -> tuple[str, str]:
    """Put `mark` behind both texts, as each language writes it."""
    if mark == ".":
        return source + ".", target + "."
    return source + "!", f"¡{target}!" if language == "es" else f"{target} !" if language == "fr" else f"{target}!"


def _marked(source: str, target: str, language: str, rng: random.Random) -> tuple[str, str]:
    """Vary the final mark: a full stop comes and goes on both sides, a forgotten question mark comes back."""
    if source.endswith(".") and target.endswith("."):
        return (source[:-1], target[:-1]) if rng.random() < NO_MARK else (source, target)
    if source.endswith("?") and rng.random() < NO_MARK / 2:
        return source.rstrip("? ").lstrip("¿"), target
    plain = source[-1].isalnum() and target[-1].isalnum()
    if plain and rng.random() < ADDED_MARK:
        return _mark_added(source, target, language, rng.choice(".!"))
    return source, target


def _cased(source: str, rng: random.Random) -> str:
    if rng.random() < NO_ACCENTS:
        source = without_accents(source)
    if rng.random() < LOWER:
        return source.lower()
    return source.upper().replace("<NAME>", "<name>").replace("<NUMBER", "<number") if rng.random() < UPPER else source


@dataclass
class PairMaker:
    """Makes one pair after another; `names` fill the name slot, as do made-up ones."""

    phrasebook: Phrasebook
    names: tuple[str, ...]
    rng: random.Random

    def __post_init__(self) -> None:
        """Find the frames with free slots and, for every text and target language, the first entry that has it."""
        self._free = tuple(entry for entry in self.phrasebook.trained if "<" in entry["en"])
        self._first: dict[tuple[str, str], str] = {}
        for entry in (*self.phrasebook.entries, *self.phrasebook.trained):
            for source in LANGUAGES:
                for target in LANGUAGES:
                    if source != target:
                        self._first.setdefault((_key(entry[source]), target), entry[target])

    def pair(self) -> Pair:
        """Return a random pair: an entry, a filled frame, or a frame with a name or a number."""
        pools = (self.phrasebook.entries, self.phrasebook.trained, self._free)
        return self.typed(self.rng.choice(self.rng.choices(pools, SHARES)[0]))

    def _languages(self) -> tuple[str, str]:
        source, target = self.rng.sample(LANGUAGES, 2)
        if "en" not in (source, target) and self.rng.random() < 0.25:
            return (source, "en") if self.rng.random() < 0.5 else ("en", target)
        return source, target

    def reference(self, text: str, target: str) -> str:
        """Return the translation that training gives to `text`, a text of the phrasebook, with free slots left open."""
        return self._first[_key(text), target]

    def typed(self, entry: Entry) -> Pair:
        """Return `entry` in two languages, the source as somebody may type it, with names and numbers filled in."""
        source_language, language = self._languages()
        source, target = entry[source_language], self.reference(entry[source_language], language)
        source, target = _marked(source, target, language, self.rng)
        source, target = self.filled(_cased(source, self.rng), target)
        return source, language, target

    def filled(self, source: str, target: str, name: str | None = None) -> tuple[str, str]:
        """Fill the free slots of both texts alike."""
        values = {"<name>": name or self._name(), "<number>": self._number(), "<number2>": self._number()}
        for slot, value in values.items():
            source, target = source.replace(slot, value), target.replace(slot, value)
        return source, target

    def _name(self) -> str:
        return self.rng.choice(self.names) if self.rng.random() < 0.5 else made_up_word(self.rng)

    def _number(self) -> str:
        return str(self.rng.randrange(2, 10 ** self.rng.randint(1, 4) + 2))


def _key(text: str) -> str:
    return text.casefold().rstrip(".")
