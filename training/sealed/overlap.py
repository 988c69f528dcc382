"""How much of the sealed set stands in a corpus, too. Tells ids, never texts: who writes a corpus may ask. Pure.

A sealed question that was trained on, or one that differs from it by a word, shows nothing. Short pleasantries will
meet by chance; questions about Aister should not.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator

from training.sealed.sets import GuideSet, PhrasebookSet

NEAR = 0.75
"""Of all words of two texts, how many both have when one is nearly the other."""
FEWEST_WORDS = 4
"""Of a text that may be nearly another; shorter ones are compared as a whole."""

Words = frozenset[str]


def words_of(text: str) -> Words:
    """Return the words of a text, whatever their case, order and the marks between them."""
    return frozenset(re.findall(r"\w+", text.casefold()))


def is_copy(a: Words, b: Words) -> bool:
    """Say whether two texts have the same words, or nearly."""
    if a == b:
        return True
    return min(len(a), len(b)) >= FEWEST_WORDS and len(a & b) >= NEAR * len(a | b)


def sealed_texts(guide: GuideSet, phrasebook: PhrasebookSet) -> Iterator[tuple[str, str]]:
    """Return the id and text of each question, turn and phrase."""
    yield from ((question.id, question.text) for question in guide.question)
    for each in guide.conversation:
        yield from ((f"{each.id}.{place}", turn.text) for place, turn in enumerate(each.turn, start=1))
    yield from ((phrase.id, phrase.text) for phrase in phrasebook.phrase)


def copied_ids(sealed: Iterable[tuple[str, str]], corpus: Iterable[str]) -> list[str]:
    """Return the ids of the sealed texts of which a text of the corpus is a copy or nearly one, in their order."""
    by_word: dict[str, set[Words]] = defaultdict(set)
    for words in {words_of(text) for text in corpus}:
        for word in words:
            by_word[word].add(words)
    return [name for name, text in sealed if _has_copy(words_of(text), by_word)]


def _has_copy(words: Words, by_word: dict[str, set[Words]]) -> bool:
    """Look among the texts that share a word; as a near copy has most of them, only the rarest quarter needs a look."""
    rarest_first = sorted(words, key=lambda word: len(by_word.get(word, ())))
    looked_at = rarest_first[: len(words) - int(NEAR * len(words)) + 1]
    return any(is_copy(words, other) for word in looked_at for other in by_word.get(word, ()))
