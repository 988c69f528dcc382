"""Patterns of the corpus: `[a|b|]` stands for one of its alternatives, `{slot}` for a filling.

Pure functions; `random.Random` is passed in, so that the same seed gives the same text.
"""

import itertools
import random
import re
from collections.abc import Mapping, Sequence

_CHOICE = re.compile(r"\[([^\[\]]*)\]")
_SLOT = re.compile(r"\{(\w+)\}")


def _parts(pattern: str) -> list[list[str]]:
    """Split a pattern into its plain pieces (one alternative each) and its choices."""
    pieces = _CHOICE.split(pattern)
    return [piece.split("|") if index % 2 else [piece] for index, piece in enumerate(pieces)]


def expand(pattern: str) -> list[str]:
    """Return every text that the choices of `pattern` allow; slots stay as they are."""
    return ["".join(pieces) for pieces in itertools.product(*_parts(pattern))]


def choose(pattern: str, rng: random.Random) -> str:
    """Return one text of `pattern`, each alternative equally likely; slots stay as they are."""
    return "".join(rng.choice(alternatives) for alternatives in _parts(pattern))


def slots(pattern: str) -> list[str]:
    """Return the names of the slots in `pattern`, in their order."""
    return _SLOT.findall(pattern)


def fill(pattern: str, fillings: Mapping[str, Sequence[str]], rng: random.Random) -> str:
    """Fill each slot that `fillings` knows with one of its values; others stay as they are."""

    def one(match: re.Match[str]) -> str:
        values = fillings.get(match[1])
        return rng.choice(values) if values else match[0]

    return _SLOT.sub(one, pattern)
