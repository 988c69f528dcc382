"""What the phrasebook reads in place of numbers, placeholders, addresses and names: the marks of its lexicon.

Pure functions of a `random.Random`. Sources are masked by the very code that serves clients; their translations by
looking for the same strings there.
"""

import random
import re
from collections.abc import Iterable

from inference.engines.lexicon import Lexicon, Masked
from training.phrases_corpus import LANGUAGES, Phrases
from training.phrases_pairs import Pair

MARKS = "".join(map(chr, range(0xE000, 0xE008)))
NUMBER_MARKS = "".join(map(chr, range(0xE010, 0xE016)))
UNSURE_BELOW = 0.7  # so that of frames never seen six in ten that are wrong get a warning, of phrases one in fifty
ANY_MARKS = 0.3  # so often other marks than the first ones, which are all that short sentences need
_AFTER_NAME = re.compile(r"\[name\] ([^\W\d_]+)\b(?! \[name2\])")
# After these a German word with a capital is a noun.
GERMAN_DETERMINERS = """
    der die das den dem des ein eine einen einem einer eines kein keine keinen keinem keiner keines
    mein meine meinen meinem meiner meines ihr ihre ihren ihrem ihrer ihres dieser diese dieses diesen diesem
    unser unsere jeder jede jedes jeden alle viele mehr welcher welche welches zum zur im am vom beim ins ans
"""


def make_lexicon(corpus: Phrases, names: Iterable[str]) -> Lexicon:
    """Return what goes beside the weights: every word that training shows, and names that need no report."""
    return Lexicon(
        words={language: sorted(corpus.vocabulary(language)) for language in LANGUAGES},
        names=sorted(names),
        before_nouns={"de": GERMAN_DETERMINERS.split()},
        after_names={language: after_names(corpus, language) for language in LANGUAGES},
        marks=MARKS,
        number_marks=NUMBER_MARKS,
        unsure_below=UNSURE_BELOW,
    )


def after_names(corpus: Phrases, language: str) -> list[str]:
    """Return the words that follow a name which opens a sentence, in order; but "and", which verbs have, too."""
    texts = (phrase.texts[language] for phrase in corpus.trained)
    return sorted({found[1].casefold() for text in texts if (found := _AFTER_NAME.match(text))})


def masked(pair: Pair, lexicon: Lexicon, rng: random.Random) -> Pair:
    """Return the pair with marks on both sides."""
    source = lexicon.mask(pair.source, pair.source_language)
    marks = _other_marks(source, lexicon, rng) if rng.random() < ANY_MARKS else str.maketrans({})
    target = _target(pair.target, source)
    return pair._replace(source=source.text.translate(marks), target=target.translate(marks))


def _target(text: str, source: Masked) -> str:
    """Replace in a translation what was replaced in its source; what stands there twice has two marks."""
    if not source.kept:
        return text
    marks: dict[str, list[str]] = {}
    for mark, kept in source.kept.items():
        marks.setdefault(kept, []).append(mark)
    longest_first = sorted(marks, key=len, reverse=True)
    return re.sub("|".join(map(_standing_alone, longest_first)), lambda found: _next(marks[found[0]]), text)


def _standing_alone(kept: str) -> str:
    """Return a pattern for `kept` where it is no part of a word or number: the 5 of 15 is not meant."""
    before = r"(?<![^\W_])" if kept[0].isalnum() else ""
    after = r"(?![^\W_])" if kept[-1].isalnum() else ""
    return before + re.escape(kept) + after


def _next(marks: list[str]) -> str:
    """Return the first of the marks that is left; the last one stays."""
    return marks.pop(0) if len(marks) > 1 else marks[0]


def _other_marks(source: Masked, lexicon: Lexicon, rng: random.Random) -> dict[int, int]:
    """Return which marks stand in for those of `source`: others of their kinds, in the same order."""
    table: dict[int, int] = {}
    for kind in (lexicon.marks, lexicon.number_marks):
        used = [mark for mark in kind if mark in source.kept]
        chosen = sorted(rng.sample(kind, len(used)))
        table |= {ord(mark): ord(other) for mark, other in zip(used, chosen, strict=True)}
    return table
