"""How much of the sealed sets stands in the corpora, too. Tells ids, never texts: who writes a corpus may ask.

    python -m training.sealed.overlap          # how many
    python -m training.sealed.overlap --ids    # and which

A sealed question that was trained on, or one that differs from it by a word, shows nothing. Short pleasantries will
meet by chance; questions about Aister should not. Pure but for `main`, which reads and prints.
"""

import argparse
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from training.phrases_corpus import read_corpus
from training.sealed.corpora import phrases_texts, talk_texts
from training.sealed.sets import GuideSet, PhrasebookSet, read_guide, read_phrasebook
from training.talk_corpus import read_talk

NEAR = 0.75
"""Of all words of two texts, how many both have when one is nearly the other."""
FEWEST_WORDS = 4
"""Of a text that may be nearly another; shorter ones are compared as a whole."""

Words = frozenset[str]
ByWord = Mapping[str, set[Words]]
Named = tuple[str, str]  # the id and the text of a question, turn or phrase


class Overlap(msgspec.Struct, frozen=True):
    """Of one group of sealed texts: how many there are, and the ids of those that stand in the corpus too or nearly."""

    group: str
    texts: int
    copied: tuple[str, ...]


def words_of(text: str) -> Words:
    """Return the words of a text, whatever their case, order and the marks between them."""
    return frozenset(re.findall(r"\w+", text.casefold()))


def is_copy(a: Words, b: Words) -> bool:
    """Say whether two texts have the same words, or nearly."""
    if a == b:
        return True
    return min(len(a), len(b)) >= FEWEST_WORDS and len(a & b) >= NEAR * len(a | b)


def question_texts(guide: GuideSet) -> Iterator[Named]:
    """Return the id and text of each question."""
    return ((question.id, question.text) for question in guide.question)


def turn_texts(guide: GuideSet) -> Iterator[Named]:
    """Return the id and text of each turn: the id of its conversation, and its place from 1."""
    numbered = ((each.id, place, turn) for each in guide.conversation for place, turn in enumerate(each.turn, start=1))
    return ((f"{conversation}.{place}", turn.text) for conversation, place, turn in numbered)


def phrase_texts(phrasebook: PhrasebookSet) -> Iterator[Named]:
    """Return the id and text of each phrase."""
    return ((phrase.id, phrase.text) for phrase in phrasebook.phrase)


def copied_ids(sealed: Iterable[Named], corpus: Iterable[str]) -> list[str]:
    """Return the ids of the sealed texts of which a text of the corpus is a copy or nearly one, in their order."""
    (found,) = overlaps({"": sealed}, corpus)
    return list(found.copied)


def overlaps(groups: Mapping[str, Iterable[Named]], corpus: Iterable[str]) -> list[Overlap]:
    """Return how much of each group, by its name, stands in one corpus."""
    by_word = _by_word(corpus)
    return [_overlap(group, list(sealed), by_word) for group, sealed in groups.items()]


def _overlap(group: str, sealed: Sequence[Named], by_word: ByWord) -> Overlap:
    copied = tuple(name for name, text in sealed if _has_copy(words_of(text), by_word))
    return Overlap(group, len(sealed), copied)


def _by_word(corpus: Iterable[str]) -> ByWord:
    """Return the texts that have each word."""
    by_word: dict[str, set[Words]] = defaultdict(set)
    for words in {words_of(text) for text in corpus}:
        for word in words:
            by_word[word].add(words)
    return by_word


def _has_copy(words: Words, by_word: ByWord) -> bool:
    """Look among the texts that share a word; as a near copy has most of them, only the rarest quarter needs a look."""
    rarest_first = sorted(words, key=lambda word: len(by_word.get(word, ())))
    looked_at = rarest_first[: len(words) - int(NEAR * len(words)) + 1]
    return any(is_copy(words, other) for word in looked_at for other in by_word.get(word, ()))


def table(found: Iterable[Overlap]) -> str:
    """Return the counts of each group, as Markdown."""
    rows = [f"| {each.group} | {each.texts} | {len(each.copied)} |" for each in found]
    return "\n".join(["| sealed | count | in the corpus, too |", "|---|---|---|", *rows])


def main(arguments: Sequence[str] | None = None) -> None:
    """Compare, and print the counts; with --ids a line of ids for each group."""
    parser = argparse.ArgumentParser(
        prog="python -m training.sealed.overlap",
        description="Count the sealed texts that stand in the corpora, too, or nearly. Prints no text.",
    )
    parser.add_argument("--ids", action="store_true", help="Print the ids of these, too.")
    options = parser.parse_args(arguments)
    guide, phrasebook = read_guide(), read_phrasebook()
    of_guide = {"guide questions": question_texts(guide), "guide turns": turn_texts(guide)}
    found = overlaps(of_guide, talk_texts(read_talk()))
    found += overlaps({"phrasebook phrases": phrase_texts(phrasebook)}, phrases_texts(read_corpus()))
    print(table(found))
    if options.ids:
        print("\n" + "\n".join(f"{each.group}: {' '.join(each.copied) or 'none'}" for each in found))


if __name__ == "__main__":
    main()
