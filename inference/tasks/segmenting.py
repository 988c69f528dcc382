"""Takes a text apart into sentences and what stands between them, so that the parts, joined, are the text exactly.

Pure functions, any thread. `sentencex` finds the sentences; here is what it leaves to its caller: lines and cells of
a table are never joined, some abbreviations that it lacks, and sentences too long for a model.
"""

import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import sentencex


def _words(listed: str) -> frozenset[str]:
    return frozenset(listed.split())


# Breaks that end a sentence whatever stands around them: lines, paragraphs, pages, cells.
_BREAKS = re.compile("([\n\r\t\v\f\x1c-\x1e\x85\u2028\u2029]+)")
_SPACES = re.compile(r"\s")
_BULLET = re.compile(r"(?:[-*+•–—·‣▪#>]+|\(?\w{1,2}\))\s+(?=\S)")  # noqa: RUF001
_ADDRESS = re.compile(r"(?:https?://|www\.)[!-~]++|[\w.+-]++@[\w-]++(?:\.[\w-]++)++", re.ASCII)
_CLAUSE_END = re.compile(r"[,;:—–)\]，；：、]\s*")  # noqa: RUF001
# What sentencex is given at once. It holds the interpreter meanwhile, and takes the square of the length where `。`
# ends sentences: 50,000 characters stopped all else for a second; so they take 25 times 2 ms.
SEARCHED_CHARACTERS = 2000
# Scripts whose sentences follow one another without a space.
UNSPACED = frozenset(("bo", "dz", "ja", "km", "lo", "my", "th", "yue", "zh"))
_UNSPACED_ENDS = "。！？｡．…」』）"  # noqa: RUF001

# Abbreviations after which sentencex 1.0 breaks. The first go with a number that follows, in any language.
BEFORE_NUMBERS = _words(
    "abb approx aprox bd ca cap chap est fig max min máx mín n no nr num núm p pag pp pág séc tel tél vol"
)
TITLES = {
    "de": _words("dipl evtl geb inkl zzgl"),
    "en": _words("approx capt col dept dr gen hon lt messrs mr mrs ms prof rev sgt st vs"),
    "es": _words("dña ej"),
    "fr": _words("bd c.-à-d dr ex j.-p janv m me mgr mlle mlles mm mme mmes pr st ste"),
    "it": _words("dott dott.ssa egr es gent s sig sig.ra sigg spett"),
    "pt": _words("av eng ex exma exmo gov lda ltda p profa sra srta"),
}


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a text: a sentence to translate, or something to keep as it stands."""

    text: str
    is_sentence: bool


def is_unspaced(language: str) -> bool:
    """Say whether sentences in `language`, a code with or without a script (zh-Hant), follow one another unspaced."""
    return language.partition("-")[0] in UNSPACED


def split_text(text: str, language: str, fits: Callable[[str], bool]) -> list[Part]:
    """Return the parts of a text in `language` (a code; unknown ones do).

    Joined, they are the text. No sentence begins or ends with white space, and all fit that can be made to: one of a
    single character is left as it is. `fits` may be asked often.
    """
    parts: list[Part] = []
    for place, line in enumerate(_BREAKS.split(text)):
        if place % 2:
            parts.append(Part(line, is_sentence=False))
            continue
        bullet = _BULLET.match(line)
        start = bullet.end() if bullet else 0
        parts.append(Part(line[:start], is_sentence=False))
        for sentence in _sentences(line[start:], language):
            parts.extend(_frame(sentence, fits))
    return [part for part in parts if part.text]


def _sentences(line: str, language: str) -> Iterator[str]:
    """Split one line after each sentence and the white space that follows it."""
    pending = ""
    for sentence in _search(line, language):
        if pending and not _is_break(pending, sentence, language):
            pending += sentence
            continue
        if pending:
            yield pending
        pending = sentence
    if pending:
        yield pending


def _search(line: str, language: str) -> Iterator[str]:
    """Split one line where sentencex says so, and in a sentence longer than what it is given at once."""
    place = 0
    while place < len(line):
        end = place + SEARCHED_CHARACTERS
        # sentencex panics at some characters of more than one byte, such as a no-break space after an initial.
        found = sentencex.segment(language, _SPACES.sub(" ", line[place:end]))
        if end < len(line) and len(found) > 1:
            found.pop()  # it may go on
        for sentence in found:
            yield line[place : place + len(sentence)]
            place += len(sentence)


def _is_break(before: str, after: str, language: str) -> bool:
    """Say whether a sentence ends between these two, where sentencex says so."""
    if not before[-1].isspace():
        return before[-1] in _UNSPACED_ENDS
    words = before.rsplit(maxsplit=1)
    if not words or not words[-1].endswith("."):
        return True
    word = words[-1].strip(".([«\"'").casefold()
    goes_on = (
        word in TITLES.get(language, ())
        or (word in BEFORE_NUMBERS and after[:1].isdigit())
        or ("." in word and after[:1].islower())  # 44 av. J.-C. à Rome
    )
    return not goes_on


def _frame(sentence: str, fits: Callable[[str], bool]) -> Iterator[Part]:
    """Keep white space and symbols at both ends, and all of what is no words; split what is too long."""
    start, end = 0, len(sentence)
    while start < end and _is_frame(sentence[start]):
        start += 1
    while end > start and _is_frame(sentence[end - 1]):
        end -= 1
    core = sentence[start:end]
    yield Part(sentence[:start], is_sentence=False)
    if _ADDRESS.fullmatch(core.strip("()[]<>,;.")) or not any(character.isalpha() for character in core):
        yield Part(core, is_sentence=False)
    elif len(core) == 1 or fits(core):
        yield Part(core, is_sentence=True)
    else:
        place = _middle(core)
        yield from _frame(core[:place], fits)
        yield from _frame(core[place:], fits)
    yield Part(sentence[end:], is_sentence=False)


def _is_frame(character: str) -> bool:
    """White space, emoji and other symbols, marks of direction: models lose them, and they need no translating."""
    return (
        character.isspace()
        or unicodedata.category(character) in ("So", "Sk", "Cf", "Cn", "Co")
        or character in "\ufe0f\u20e3"
    )


def _middle(text: str) -> int:
    """Return where to split a long sentence: near its middle, after a clause if one ends there, else at a space."""
    half = len(text) // 2
    clauses = [found.end() for found in _CLAUSE_END.finditer(text, len(text) // 4, len(text) * 3 // 4)]
    spaces = (place for place in (text.rfind(" ", 1, half), text.find(" ", half, -1)) if place > 0)
    places = clauses or list(spaces) or [half]
    return min(places, key=lambda place: abs(place - half))
