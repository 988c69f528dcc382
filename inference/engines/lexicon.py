"""The words that a small model knows, and what it is not to touch: read from `lexicon.json` beside its weights.

Only models that bring that file are treated so. Before such a model reads a sentence, everything in it that is to come
through as it is (placeholders, tags, addresses, codes, numbers with their currency, words that the model does not know)
is replaced by marks, single characters that are tokens of its own; afterwards they are put back. A word that is neither
known nor looks like a name is told to the client, as is a word that the model makes up, and that it is unsure of what
it wrote.
No torch here; changed by nothing after loading, any thread.
"""

import math
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Annotated

import msgspec

FILE = "lexicon.json"
# Left as they are, with a mark of the first kind. Characters for private use are the marks' own. An address of mail is
# looked for where it may begin, and not from each of its letters on: that took half a minute for 50,000 of them.
_CODE = r"(?<![^\W_])(?=[A-Z\d-]*\d)(?=[A-Z\d-]*[A-Z])[A-Z\d]+(?:-[A-Z\d]+)*(?![^\W_])"
OPAQUE = re.compile(
    r"https?://[^\s<>\"']*[^\s<>\"'.,;:!?)\]]|www\.[\w./-]*\w|(?<![\w.+-])[\w.+-]+@[\w-]+(?:\.[\w-]+)+"
    r"|</?[a-zA-Z][^<>]*>|\$?\{\{[^{}]*\}\}|\$?\{[^{}]*\}|%\(\w+\)[sdif]|%(?:\d\$)?[sdif](?![^\W_])|&#?\w+;"
    r"|[\ue000-\uf8ff]+|" + _CODE
)
_CURRENCY = r"(?:[€$£¥]|\b(?:EUR|USD|GBP|CHF)\b)"
_GAP = r"[ \u00a0\u202f]?"
_NUMBER = re.compile(rf"(?:{_CURRENCY}{_GAP})?\d+(?:[.,:/-]\d+)*(?:{_GAP}{_CURRENCY})?")
_WORDS = re.compile(r"[^\W\d_]+(?:-[^\W\d_]+)*")
_WORD = re.compile(r"[^\W\d_]+")
_PIECE = re.compile(f"(?P<opaque>{OPAQUE.pattern})|(?P<number>{_NUMBER.pattern})|(?P<word>{_WORDS.pattern})")
_SENTENCE_START = re.compile(r"^\W*$")


def fold(word: str) -> str:
    """Return `word` in small letters without accents: as it is looked up."""
    letters = unicodedata.normalize("NFD", word.casefold())
    return "".join(letter for letter in letters if not unicodedata.combining(letter))


def _words(text: str) -> list[str]:
    """Return the words of `text`, parted at apostrophes and hyphens; tags, addresses, marks and the like hold none."""
    return [found[0] for found in _WORD.finditer(OPAQUE.sub(" ", text))]


@dataclass(frozen=True, slots=True)
class Masked:
    """A sentence with marks, what each stands for, and the words that are neither known nor look like names."""

    text: str
    kept: Mapping[str, str] = field(default_factory=dict)
    unknown: tuple[str, ...] = ()

    @property
    def has_words(self) -> bool:
        """Say whether anything is left to translate."""
        return any(letter.isalpha() for letter in self.text)

    def restore(self, translation: str) -> str:
        """Put back what the marks stand for. A mark that the sentence did not have is left out."""
        return re.sub(r"[\ue000-\uf8ff]", lambda found: self.kept.get(found[0], ""), translation)

    def lost(self, translation: str) -> tuple[str, ...]:
        """Return what stands in the sentence and not exactly once in its translation, which still has the marks."""
        return tuple(kept for mark, kept in self.kept.items() if translation.count(mark) != 1)


@dataclass(frozen=True, slots=True)
class _Span:
    """What is replaced: from where to where, by which kind of mark; `is_word` of those that the model does not know."""

    start: int
    end: int
    is_number: bool = False
    is_word: bool = False
    is_unknown: bool = False


class Lexicon(msgspec.Struct, frozen=True, dict=True, kw_only=True):
    """What the file holds.

    `words` are known, by language; `names` are words that are never reported; after one of `before_nouns` a capital
    makes no name, in the languages where nouns have one; at the start of a sentence it makes one only before one of
    `after_names`. `marks` and `number_marks` are the model's own characters.
    The model is unsure of a translation whose probability it holds to be under `unsure_below`, 0 to 1.
    """

    words: dict[str, list[str]]
    names: list[str]
    before_nouns: dict[str, list[str]]
    after_names: dict[str, list[str]] = msgspec.field(default_factory=dict)
    marks: str
    number_marks: str
    unsure_below: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None

    @cached_property
    def _known(self) -> dict[str, frozenset[str]]:
        return {language: frozenset(map(fold, words)) for language, words in self.words.items()}

    @cached_property
    def _names(self) -> frozenset[str]:
        return frozenset(map(fold, self.names))

    def knows(self, word: str, language: str) -> bool:
        """Say whether the model knows the word, however it is written."""
        return fold(word) in self._known.get(language, ())

    def closest(self, text: str, language: str) -> str:
        """Return the language that knows most of the text's words; of those that know as many, `language` itself.

        For a language that was guessed: a guess at two words may be wrong where the lexicon can't be.
        """
        words = _words(text)
        others = [other for other in self.words if other != language]
        return max((language, *others), key=lambda each: sum(self.knows(word, each) for word in words))

    def made_up(self, translation: str, language: str, source: Masked) -> tuple[str, ...]:
        """Return the words of a translation into `language`, which still has the marks, that come from nowhere.

        They are neither words of that language nor copied from the source: a small model that is led astray puts words
        together from pieces. No right translation of its corpus has such a word.
        """
        copied = set(map(fold, _words(source.text)))
        words = [word for word in _words(translation) if not self.knows(word, language) and fold(word) not in copied]
        return tuple(dict.fromkeys(words))

    def is_unsure(self, log_probability: float | None) -> bool:
        """Say whether the model is unsure of an output with this natural logarithm of its probability.

        Of one that has none, as a beam search's, that can't be said.
        """
        if self.unsure_below is None or log_probability is None:
            return False
        return math.exp(log_probability) < self.unsure_below

    def mask(self, text: str, language: str) -> Masked:
        """Replace what the model is not to touch.

        With more of it than there are marks, the rest stays in the text, and counts as unknown if there are any.
        """
        kept: dict[str, str] = {}
        unused = {True: iter(self.number_marks), False: iter(self.marks)}
        parts, end = [], 0
        spans = list(self._spans(text, language))
        unknown = [text[span.start : span.end] for span in spans if span.is_unknown]
        for span in _joined(spans, text):
            mark = next(unused[span.is_number], None)
            if mark is None:
                unknown += [text[span.start : span.end]] if self.marks and not span.is_word else []
                continue
            parts += [text[end : span.start], mark]
            kept[mark] = text[span.start : span.end]
            end = span.end
        return Masked("".join([*parts, text[end:]]), kept, tuple(dict.fromkeys(unknown)))

    def _spans(self, text: str, language: str) -> Iterator[_Span]:
        for found in _PIECE.finditer(text):
            if found.lastgroup == "word":
                yield from self._unknown_words(text, found.start(), found.end(), language)
            else:
                yield _Span(found.start(), found.end(), is_number=found.lastgroup == "number")

    def _unknown_words(self, text: str, start: int, end: int, language: str) -> Iterator[_Span]:
        """Yield what is not known of a word or of several with hyphens between them: `Jean-Luc` is one."""
        words = [(start + found.start(), start + found.end()) for found in _WORD.finditer(text[start:end])]
        unknown = [(i, k) for i, k in words if not self.knows(text[i:k], language)]
        if unknown and all(text[i].isupper() for i, _ in words):
            unknown = [(start, end)]
        for first, last in unknown:
            is_unknown = not self._is_name(text, first, last, language)
            yield _Span(first, last, is_word=True, is_unknown=is_unknown)

    def _is_name(self, text: str, start: int, end: int, language: str) -> bool:
        """Say whether an unknown word looks like a name: it has a capital that nothing else explains."""
        if all(fold(word) in self._names for word in _WORD.findall(text[start:end])):
            return True
        if not text[start].isupper() or text.isupper():
            return False
        if _SENTENCE_START.match(text[:start]):
            return self._is_before_verb(text[end:], language)
        before = text[:start].split()[-1:]
        return not before or fold(before[0]) not in self.before_nouns.get(language, ())

    def _is_before_verb(self, rest: str, language: str) -> bool:
        """Say whether what follows a name that opens a sentence follows here: "Vuk likes", not "Freeze the"."""
        after = _WORD.match(rest.removeprefix(" "))
        return after is not None and after[0].casefold() in self.after_names.get(language, ())


def _joined(spans: Iterable[_Span], text: str) -> Iterator[_Span]:
    """Join words that nothing but a space parts and that are both names or both none: `Anna Schmidt` is one thing."""
    last: _Span | None = None
    for span in spans:
        alike = last and last.is_word and span.is_word and last.is_unknown == span.is_unknown
        if last and alike and text[last.end : span.start] == " ":
            last = _Span(last.start, span.end, is_word=True, is_unknown=last.is_unknown)
            continue
        if last:
            yield last
        last = span
    if last:
        yield last


def read_lexicon(directory: Path) -> Lexicon | None:
    """Return the lexicon of the model in `directory`, None when it has none.

    Raises OSError or msgspec.MsgspecError when it can't be read.
    """
    file = directory / FILE
    return msgspec.json.decode(file.read_bytes(), type=Lexicon) if file.is_file() else None
