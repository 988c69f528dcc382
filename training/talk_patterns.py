"""Patterns of `corpus/talk/patterns`: `(a|b|)` is one of its alternatives, `<word>` one of a class; they nest.

Pure; `random.Random` is passed in. A line that does not follow the format raises ValueError, which names the file and
the line's number.
"""

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_TOKEN = re.compile(r"[()|]|<\w+>|[^()|<]+")

Classes = Mapping[str, Sequence[str]]


def spaced(text: str) -> str:
    """Return `text` with one space between words, and none before a mark."""
    return re.sub(r" +([,.?!])", r"\1", re.sub(r"\s+", " ", text)).strip()


@dataclass(frozen=True)
class Choice:
    """One of `options`, each a sequence of plain text and further choices."""

    options: tuple[tuple["str | Choice", ...], ...]

    def text(self, rng: random.Random) -> str:
        """Return one of the texts that the pattern stands for, spaced as people space."""
        return spaced(self._raw(rng))

    def _raw(self, rng: random.Random) -> str:
        parts = rng.choice(self.options)
        return "".join(part if isinstance(part, str) else part._raw(rng) for part in parts)


def parse(pattern: str, classes: Classes) -> Choice:
    """Return a pattern. Raises ValueError for brackets that don't match, and for a class that is not there."""
    tokens = _TOKEN.findall(pattern)
    if "".join(tokens) != pattern:
        raise ValueError(f"{pattern!r}: '<' begins the name of a class")
    tokens.reverse()
    parsed = _choice(tokens, classes, pattern)
    if tokens:
        raise ValueError(f"{pattern!r}: ')' closes nothing")
    return parsed


def _choice(tokens: list[str], classes: Classes, pattern: str) -> Choice:
    """Read options up to the bracket that closes them, or the end."""
    options: list[list[str | Choice]] = [[]]
    while tokens and tokens[-1] != ")":
        token = tokens.pop()
        if token == "|":
            options.append([])
        elif token == "(":
            options[-1].append(_choice(tokens, classes, pattern))
            if not tokens:
                raise ValueError(f"{pattern!r}: '(' is not closed")
            tokens.pop()
        elif token.startswith("<"):
            options[-1].append(_class(token[1:-1], classes, pattern))
        else:
            options[-1].append(token)
    return Choice(tuple(map(tuple, options)))


def _class(name: str, classes: Classes, pattern: str) -> Choice:
    if name not in classes:
        raise ValueError(f"{pattern!r}: there is no class {name!r}")
    return Choice(tuple((word,) for word in classes[name]))


def _read_classes(path: Path) -> dict[str, list[str]]:
    """Return the words of each class: a line `name = word | word`."""
    found: dict[str, list[str]] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if line.strip() and not line.startswith("#"):
            name, equals, words = line.partition("=")
            if not equals:
                raise ValueError(f"{path}, line {number}: a class is written 'name = word | word'")
            found[name.strip()] = [word.strip() for word in words.split("|")]
    return found


def read_patterns(directory: Path) -> dict[str, tuple[Choice, ...]]:
    """Return the patterns of each id: a line with the id, then its patterns, one a line, indented."""
    classes = _read_classes(directory / "classes.txt")
    found: dict[str, tuple[Choice, ...]] = {}
    for path in sorted(directory.glob("*.txt")):
        if path.name != "classes.txt":
            for name, patterns in read_file(path, classes).items():
                found[name] = found.get(name, ()) + patterns
    return found


def read_file(path: Path, classes: Classes) -> dict[str, tuple[Choice, ...]]:
    """Return the patterns of each id in one file."""
    found: dict[str, tuple[Choice, ...]] = {}
    name = ""
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if line[:1].isspace() and line.strip():
            pattern = _read_pattern(line.strip(), classes, name, f"{path}, line {number}")
            found[name] = (*found.get(name, ()), pattern)
        elif line.strip() and not line.startswith("#"):
            name = line.strip()
    return found


def _read_pattern(text: str, classes: Classes, name: str, place: str) -> Choice:
    """Return the pattern `text` of the id `name`; raise ValueError that names its `place`."""
    if not name:
        raise ValueError(f"{place}: a pattern stands below the id that it belongs to")
    try:
        return parse(text, classes)
    except ValueError as error:
        raise ValueError(f"{place}: {error}") from None
