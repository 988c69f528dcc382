"""Makes pairs to translate from `corpus/phrases`: any of its directions, written as people write.

Pure functions of a `random.Random`. What must come through untouched (placeholders, tags, addresses, names, numbers) is
the same on both sides and varies from pair to pair, so that copying is learnt, not the names of the corpus.
"""

import random
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from training.phrases_corpus import Phrase, Phrases, bare
from training.phrases_grammar import plain
from training.talk_words import made_up_word

LOWER, UPPER, NO_ACCENTS, NO_MARK, ADDED_STOP = 0.22, 0.03, 0.1, 0.2, 0.1
SPELT = 0.3  # in this part of the English sources words are written as `spellings.txt` has them
PHRASES = 0.4  # the share of pairs that are phrases; the rest are filled frames
OPEN_SLOT = 40  # an open slot counts as so many fillings: what stands there is a mark, and copied
BALANCE = 1 / 3  # a frame of a thousand sentences is seen more often than one of eight, but five times, not a hundred
WITH_ENGLISH = 0.25  # so many of the pairs without English are replaced by one with it


class Pair(NamedTuple):
    """A text as somebody types it, the language to translate into, the translation, and the text's own language."""

    source: str
    target_language: str
    target: str
    source_language: str


UNTOUCHED = re.compile(r"\[\w+\]|\{\w+\}|%[sd]|</?\w[^>]*>|https?://\S+")
_PLACEHOLDERS = (
    "name",
    "user",
    "count",
    "n",
    "date",
    "amount",
    "item",
    "x",
    "value",
    "email",
    "userName",
    "total_count",
)
_TAGS = ("b", "i", "em", "strong", "a", "span", "code")


def _number(rng: random.Random) -> str:
    return str(rng.randrange(2, 10 ** rng.randint(1, 4) + 2))


def _time(rng: random.Random) -> str:
    return f"{rng.randrange(2, 24)}:{rng.choice(('00', '15', '30', '45', '05', '20'))}"


def _amount(rng: random.Random) -> str:
    """Return a price, its sign or code before or after it: nothing says how a language writes it, so it stays."""
    figures = rng.choice((f"{rng.randrange(1, 400)}", f"{rng.randrange(1, 100)}.{rng.randrange(100):02}"))
    figures = figures.replace(".", rng.choice(".,"))
    sign = rng.choice(("€", "€", "$", "£", "EUR", "USD"))
    gap = " " if len(sign) > 1 else rng.choice(("", " "))
    return rng.choice((f"{sign}{gap}{figures}", f"{figures}{gap}{sign}"))


def _address(rng: random.Random) -> str:
    return f"{made_up_word(rng).lower()}.{rng.choice(('com', 'org', 'net', 'eu', 'io'))}"


def _url(rng: random.Random) -> str:
    return f"https://{rng.choice(('', 'www.'))}{_address(rng)}{rng.choice(('', '/', '/help', '/a/12', '/?id=7'))}"


def _code(rng: random.Random) -> str:
    return "".join(rng.choice("ABCDEFGHKLMNPRSTUVWXYZ23456789-") for _ in range(rng.randint(4, 10))).strip("-")


VALUES: dict[str, Callable[[random.Random], str]] = {
    "number": _number,
    "time": _time,
    "amount": _amount,
    "email": lambda rng: f"{made_up_word(rng).lower()}@{_address(rng)}",
    "url": _url,
    "code": _code,
}


def _tags_renamed(source: str, target: str, rng: random.Random) -> tuple[str, str]:
    """Exchange the name of a tag without attributes, in both texts alike."""
    tag = rng.choice(_TAGS)
    pattern = re.compile(r"(</?)(?:a|b)(>)")
    return (
        (source, target)
        if "<a " in source
        else (pattern.sub(rf"\1{tag}\2", source), pattern.sub(rf"\1{tag}\2", target))
    )


def _replaced(text: str, values: Mapping[str, str]) -> str:
    return UNTOUCHED.sub(lambda found: values[found[0]], text)


def varied(text: str, change: Callable[[str], str]) -> str:
    """Change what is prose in `text`; placeholders, tags, addresses and open slots stay."""
    found = UNTOUCHED.findall(text)
    pieces = [change(piece) for piece in UNTOUCHED.split(text)]
    return pieces[0] + "".join(kept + piece for kept, piece in zip(found, pieces[1:], strict=True))


def without_accents(text: str) -> str:
    """Return `text` with its letters stripped of accents, capitals kept; sharp s and ligatures stay."""
    return "".join(plain(c).upper() if c.isupper() else plain(c) if c not in "ßœŒ" else c for c in text)


def _like(old: str, new: str) -> str:
    """Return `new` with a capital where `old` has one."""
    return new[:1].upper() + new[1:] if old[:1].isupper() else new


def _openness(phrase: Phrase) -> int:
    return OPEN_SLOT if "[" in phrase.texts["en"] else 1


@dataclass
class PairMaker:
    """Makes one pair after another; `names` fill the name slots, as do made-up ones."""

    corpus: Phrases
    names: tuple[str, ...]
    rng: random.Random

    def __post_init__(self) -> None:
        """Sort the sentences by frame, and find the texts that only their accents tell apart."""
        by_frame: dict[str, list[Phrase]] = {}
        for phrase in self.corpus.trained:
            by_frame.setdefault(phrase.frame, []).append(phrase)
        self._phrases = self.corpus.phrases()
        self._frames: Sequence[list[Phrase]] = list(by_frame.values())
        self._weights = [(len(phrases) * _openness(phrases[0])) ** BALANCE for phrases in self._frames]
        said = {
            bare(phrase.texts[code]) for phrase in (*self._phrases, *self.corpus.trained) for code in phrase.sources
        }
        self._spelt = re.compile(rf"\b(?:{'|'.join(map(re.escape, self.corpus.spellings))})\b", re.I)
        self._accents_matter = {text for text, count in Counter(map(plain, said)).items() if count > 1}

    def pair(self) -> Pair:
        """Return a random pair: a phrase, or a filled frame."""
        if self.rng.random() < PHRASES:
            return self.typed(self.rng.choice(self._phrases))
        return self.typed(self.rng.choice(self.rng.choices(self._frames, self._weights)[0]))

    def typed(self, phrase: Phrase) -> Pair:
        """Return `phrase` in one of its directions, the source as somebody may type it, all open slots filled."""
        source, target = self._direction(phrase)
        text, wanted = self._marked(phrase.texts[source], phrase.texts[target])
        if source == "en" and self.rng.random() < SPELT:
            text = varied(text, self.respelt)
        return self.filled(Pair(self._cased(text), target, wanted, source))

    def _direction(self, phrase: Phrase) -> tuple[str, str]:
        source, target = self.rng.choice(list(phrase.directions()))
        if "en" not in (source, target) and self.rng.random() < WITH_ENGLISH:
            return (source, "en") if self.rng.random() < 0.5 or "en" not in phrase.sources else ("en", target)
        return source, target

    def _marked(self, source: str, target: str) -> tuple[str, str]:
        """Vary the final mark: a full stop comes and goes on both sides, a forgotten question mark comes back."""
        if source.endswith(".") and self.rng.random() < NO_MARK:
            return source[:-1], target[:-1]
        if source.endswith(("?", "!")) and self.rng.random() < NO_MARK / 2:
            return source.rstrip("?! ").lstrip("¿¡"), target
        if source[-1].isalpha() and target[-1].isalpha() and self.rng.random() < ADDED_STOP:
            return source + ".", target + "."
        return source, target

    def respelt(self, text: str) -> str:
        """Return English in its other spelling: "I'd like" for "I would like"."""
        return self._spelt.sub(lambda found: _like(found[0], self.corpus.spellings[found[0].casefold()]), text)

    def _cased(self, text: str) -> str:
        if self.rng.random() < NO_ACCENTS and plain(bare(text)) not in self._accents_matter:
            text = varied(text, without_accents)
        if self.rng.random() < LOWER:
            return varied(text, str.lower)
        return varied(text, str.upper) if self.rng.random() < UPPER else text

    def filled(self, pair: Pair) -> Pair:
        """Return the pair with values for all that comes through untouched, the same on both sides."""
        source, target = _tags_renamed(pair.source, pair.target, self.rng)
        values = self._values(list(dict.fromkeys(UNTOUCHED.findall(source))))
        return pair._replace(source=_replaced(source, values), target=_replaced(target, values))

    def _values(self, found: list[str]) -> dict[str, str]:
        """Return what stands for each: a value for an open slot, else another placeholder or address of its kind."""
        names = iter(self.rng.sample(_PLACEHOLDERS, len(found)))
        return {each: self._value(each, f"{{{name}}}") for each, name in zip(found, names, strict=True)}

    def _value(self, found: str, placeholder: str) -> str:
        kind = found.strip("[]0123456789")
        if found.startswith("["):
            return self._name() if kind == "name" else VALUES[kind](self.rng)
        if found.startswith("{"):
            return placeholder
        if found.startswith("%"):
            return self.rng.choice(("%s", "%d"))
        return _url(self.rng) if found.startswith("http") else found

    def _name(self) -> str:
        return self.rng.choice(self.names) if self.rng.random() < 0.5 else made_up_word(self.rng)
