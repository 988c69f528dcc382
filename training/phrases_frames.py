"""Frames: sentences with slots in square brackets, which the words of `corpus/phrases/fillings` go into.

    [the place]            article and noun; also a, this, my, your
    [à the place]          a preposition of the language before it, contracted where it must be
    [the place acc]        German case (acc, dat, gen); `pl` is the plural
    [a the place at]       the same, but where the noun has its own way to say where one is, that: "in banca"
    [country in]           the form `in` of a filling that has named forms
    [place2]               another filling of the same slot
    [ouvert / ouverte as place]      agrees with the gender of `place`: masculine / feminine (/ neuter)
    [job as person]        the form of `job` (m, f) that agrees with `person`
    [name] [number] ...    stays open: any name or number, unchanged

Pure functions. What does not follow the format raises ValueError and quotes the frame.
"""

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from training.phrases_grammar import CASES, DETERMINERS, GENDERS, Noun, noun_phrase, with_preposition

FREE_SLOTS = ("name", "name2", "number", "number2", "time", "time2", "amount", "email", "url", "code")
_BRACKETS = re.compile(r"\[([^\[\]]+)\]")
_FIRST_LETTER = re.compile(r"^((?:<\w+>)?[¿¡]?)(\w)")


@dataclass(frozen=True, slots=True)
class Forms:
    """A filling that is no noun: its forms by name; `only` where one serves for all."""

    forms: Mapping[str, str]
    only: str = ""


Word = Noun | Forms


@dataclass(frozen=True)
class Filling:
    """One line of the fillings: the same thing in every language; `text` is the line's first column."""

    text: str
    words: Mapping[str, Word]


Chosen = Mapping[str, Filling]


@dataclass(frozen=True, slots=True)
class Part:
    """What a pair of brackets asks for: alternatives to agree with `slot`, or the word of `slot` in some form."""

    slot: str
    alternatives: tuple[str, ...] = ()
    agrees_with: str = ""
    preposition: str = ""
    determiner: str | None = None
    flags: tuple[str, ...] = ()


def kind_of(slot: str) -> str:
    """Return the name under which the fillings of `slot` stand: `place2` is filled like `place`."""
    return slot.rstrip("0123456789")


def _parse_agreement(inside: str) -> Part:
    text, _, slot = inside.rpartition(" as ")
    if " / " in text:
        return Part(slot, alternatives=tuple(text.split(" / ")))
    return Part(text, agrees_with=slot)


def parse_part(inside: str, kinds: Sequence[str]) -> Part:
    """Read what stands in brackets; `kinds` are the slots that have fillings."""
    if " as " in inside:
        return _parse_agreement(inside)
    words = inside.split(" ")
    at = next((i for i, word in enumerate(words) if kind_of(word) in kinds), None)
    if at is None:
        raise ValueError(f"[{inside}] names no slot that the fillings know")
    before, determiner = words[:at], None
    if before and before[-1] in DETERMINERS:
        determiner = before.pop()
    return Part(words[at], preposition=" ".join(before), determiner=determiner, flags=tuple(words[at + 1 :]))


@dataclass(frozen=True)
class Sentence:
    """One language's side of a frame: plain text and parts, in turn.

    `written` remembers what a part became, by the ids of the part and its fillings (which it keeps, so that no other
    gets their ids): a frame of two slots writes each of its words some fifty times.
    """

    language: str
    pieces: tuple[str | Part, ...]
    written: dict[tuple[int, int, int], tuple[str, Filling, Filling]] = field(
        default_factory=dict, compare=False, repr=False
    )

    def slots(self) -> list[str]:
        """Return the slots whose words stand in the sentence, in their order, each once."""
        return list(dict.fromkeys(p.slot for p in self.pieces if isinstance(p, Part) and not p.alternatives))

    def fill(self, chosen: Chosen) -> str:
        """Return the sentence with each slot's filling, beginning with a capital."""
        texts = (piece if isinstance(piece, str) else self._part(piece, chosen) for piece in self.pieces)
        return _FIRST_LETTER.sub(lambda found: found[1] + found[2].upper(), "".join(texts))

    def _part(self, part: Part, chosen: Chosen) -> str:
        if part.slot not in chosen or (part.agrees_with and part.agrees_with not in chosen):
            raise ValueError(f"the {self.language} text asks for the slot {part.slot!r}, the first text does not")
        filling = chosen[part.slot]
        model = chosen[part.agrees_with] if part.agrees_with else filling
        key = (id(part), id(filling), id(model))
        if key not in self.written:
            text = self._write(part, filling.words[self.language], model.words[self.language])
            self.written[key] = text, filling, model
        return self.written[key][0]

    def _write(self, part: Part, word: Word, model: Word) -> str:
        if part.alternatives:
            return _by_gender(part.alternatives, word)
        if part.agrees_with:
            return _form(word, _gender(model))
        if isinstance(word, Forms):
            text = _form(word, *part.flags)
        elif word.at and "at" in part.flags:
            return word.at
        else:
            text = self._noun(word, part)
        is_aspirated = isinstance(word, Noun) and word.odd and part.determiner is None
        return with_preposition(part.preposition, text, self.language, not is_aspirated) if part.preposition else text

    def _noun(self, noun: Noun, part: Part) -> str:
        unknown = [flag for flag in part.flags if flag not in (*CASES, "pl", "at")]
        if unknown:
            raise ValueError(f"{unknown[0]!r} is neither a case nor 'pl' nor 'at'")
        case = next((flag for flag in part.flags if flag in CASES), "nom")
        return noun_phrase(noun, self.language, part.determiner, "pl" if "pl" in part.flags else "sg", case)


def _gender(word: Word) -> str:
    if not isinstance(word, Noun):
        raise ValueError(f"{word.forms} has no gender to agree with")
    return word.gender or "m"


def _by_gender(alternatives: tuple[str, ...], word: Word) -> str:
    at = GENDERS.index(_gender(word))
    if at >= len(alternatives):
        raise ValueError(f"{' / '.join(alternatives)!r} lacks the neuter")
    return alternatives[at]


def _form(word: Word, *wanted: str) -> str:
    if isinstance(word, Noun):
        raise ValueError(f"{word.singular!r} is a noun and has no form {wanted}")
    if word.only:
        return word.only
    name = wanted[0] if wanted else next(iter(word.forms))
    if name not in word.forms:
        raise ValueError(f"{word.forms} has no form {name!r}")
    return word.forms[name]


def parse_sentence(text: str, language: str, kinds: Sequence[str]) -> Sentence:
    """Read one side of a frame; free slots stay as text."""
    pieces: list[str | Part] = []
    for index, piece in enumerate(_BRACKETS.split(text)):
        if index % 2 == 0:
            pieces.append(piece)
        else:
            pieces.append(f"[{piece}]" if piece in FREE_SLOTS else parse_part(piece, kinds))
    return Sentence(language, tuple(pieces))


@dataclass(frozen=True)
class Frame:
    """A sentence with slots in all languages; `text` is its first side as it was written."""

    text: str
    sides: Mapping[str, Sentence]

    def slots(self) -> list[str]:
        """Return the slots to fill. Raises ValueError when two languages disagree."""
        slots = [side.slots() for side in self.sides.values()]
        if any(set(named) != set(slots[0]) for named in slots):
            raise ValueError(f"frame {self.text!r}: the slots differ between languages")
        return slots[0]

    def fill(self, chosen: Chosen) -> dict[str, str]:
        """Return the sentence in every language."""
        try:
            return {language: side.fill(chosen) for language, side in self.sides.items()}
        except ValueError as error:
            raise ValueError(f"frame {self.text!r} with {[f.text for f in chosen.values()]}: {error}") from error

    def expand(self, fillings: Mapping[str, Sequence[Filling]]) -> Iterator[tuple[tuple[str, ...], dict[str, str]]]:
        """Yield (the fillings' texts, the sentence in every language) for every combination of different fillings."""
        slots = self.slots()
        for words in itertools.product(*(fillings[kind_of(slot)] for slot in slots)):
            if len({(kind_of(s), w.text) for s, w in zip(slots, words, strict=True)}) == len(slots):
                chosen = dict(zip(slots, words, strict=True))
                yield tuple(word.text for word in words), self.fill(chosen)
