"""Grades one translation: whether it is exact, how near it is (chrF), and whether what must stay has stayed. Pure."""

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence

MAX_ORDER = 6
BETA = 2  # recall counts twice, as in chrF2

_PLAIN = str.maketrans({"’": "'", "‘": "'", "“": '"', "”": '"', "\u00a0": " ", "\u202f": " "})  # noqa: RUF001
_KEPT = re.compile(r"\{\w+\}|%[sd]|</?\w[^>]*>|https?://[^\s\"'<>]+|[\w.+-]+@[\w-]+\.\w+")


def normalise(text: str) -> str:
    """Return the text without what typographers differ on: kinds of quotes and spaces, spaces before marks."""
    plain = " ".join(unicodedata.normalize("NFC", text).translate(_PLAIN).split())
    return re.sub(r" (?=[!?:;])", "", plain)


def is_exact(translation: str, references: Sequence[str]) -> bool:
    """Say whether a translation is one of the references, whatever its case and its last mark."""
    return _core(translation) in {_core(reference) for reference in references}


def _core(text: str) -> str:
    return normalise(text).casefold().rstrip(".!").lstrip("¡").strip()


def keeps_marks(source: str, translation: str) -> bool:
    """Say whether placeholders, tags, addresses and URLs of the source are all there, and no others."""
    return Counter(_KEPT.findall(source)) == Counter(_KEPT.findall(translation))


def chrf(translation: str, references: Sequence[str]) -> float:
    """Return the chrF2 of a translation against the nearest reference, 0 to 100.

    Popović 2015: F-score of character n-grams of 1 to 6, white space left out, averaged over the orders that both have.
    """
    return max((_chrf(normalise(translation), normalise(reference)) for reference in references), default=0.0)


def _chrf(translation: str, reference: str) -> float:
    ours, theirs = "".join(translation.split()), "".join(reference.split())
    precisions, recalls = [], []
    for order in range(1, min(MAX_ORDER, len(ours), len(theirs)) + 1):
        a, b = _ngrams(ours, order), _ngrams(theirs, order)
        common = (a & b).total()
        precisions.append(common / a.total())
        recalls.append(common / b.total())
    if not sum(precisions):
        return 0.0
    precision, recall = sum(precisions) / len(precisions), sum(recalls) / len(recalls)
    return 100 * (1 + BETA**2) * precision * recall / (BETA**2 * precision + recall)


def _ngrams(text: str, order: int) -> Counter[str]:
    return Counter(text[place : place + order] for place in range(len(text) - order + 1))
