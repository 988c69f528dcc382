"""Says a phrasing in other words: synonyms, words left out; or makes it unclear, so that doubt can be learnt.

Pure; `random.Random` is passed in.
"""

import random
import re
from collections import Counter, defaultdict
from pathlib import Path

from training.talk_corpus import CORPUS, Talk, lines
from training.talk_patterns import read_file, spaced
from training.talk_words import made_up_word

_WORD = re.compile(r"[\w'./?=-]*\w")
LONGEST = 4  # words of a synonym
SWAP = 0.25  # this part of the synonyms found is replaced
LEAVE_OUT = 0.25  # in this part of the phrasings a word is left out that says little
AROUND = 0.3  # this part of the phrasings has something before or after it that changes nothing
TELLING = 0.12  # a word says something where one topic has more than this part of its uses


def read_synonyms(path: Path = CORPUS / "synonyms.txt") -> dict[str, tuple[str, ...]]:
    """Return what may stand for each text: a line has texts that may stand for one another, separated by commas."""
    found: dict[str, tuple[str, ...]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.strip() and not line.startswith("#"):
            group = tuple(text.strip() for text in line.split(","))
            for text in group:
                found[text] = (*found.get(text, ()), *(other for other in group if other != text))
    return found


class Rephrasing:
    """Rephrases what the topics of `talk` are asked with."""

    def __init__(self, talk: Talk, rng: random.Random) -> None:
        self._rng = rng
        self._synonyms = read_synonyms()
        self._around = read_file(CORPUS / "around.txt", {})
        self._telling = _telling_words(talk)

    def _run(self, words: list[str], at: int) -> tuple[int, tuple[str, ...]]:
        """Return how many words from `at` have synonyms together, the most first, and those; (1, ()) for none."""
        for count in range(min(LONGEST, len(words) - at), 0, -1):
            if found := self._synonyms.get(" ".join(words[at : at + count]).lower().strip("?.!,")):
                return count, found
        return 1, ()

    def swapped(self, text: str) -> str:
        """Return `text` with some words replaced by synonyms."""
        words, made, at = text.split(" "), [], 0
        while at < len(words):
            count, found = self._run(words, at)
            if found and self._rng.random() < SWAP:
                last = words[at + count - 1]
                made.append(self._rng.choice(found) + last[len(last.rstrip("?.!,")) :])
            else:
                made += words[at : at + count]
            at += count
        return " ".join(made)

    def _says_little(self, word: str) -> bool:
        return word.lower().strip("?.!,") not in self._telling and "{" not in word

    def shortened(self, text: str) -> str:
        """Return `text` without one or two of the words that say little."""
        words = text.split(" ")
        dropped = [i for i, word in enumerate(words) if self._says_little(word)]
        if len(words) < 4 or not dropped:
            return text
        gone = set(self._rng.sample(dropped, min(len(dropped), self._rng.choice((1, 1, 2)))))
        return " ".join(word for i, word in enumerate(words) if i not in gone)

    def rephrased(self, text: str) -> str:
        """Return `text` in other words, or as it is."""
        text = self.swapped(text)
        return self.shortened(text) if self._rng.random() < LEAVE_OUT else text

    def surrounded(self, text: str) -> str:
        """Return `text` with what people say before and after a question, or as it is."""
        before, after = (self._rng.choice(self._around[place]) for place in ("before", "after"))
        draw = self._rng.random() / AROUND
        if draw < 0.6:
            text = f"{before.text(self._rng)} {text[:1].lower() if text[1:2].islower() else text[:1]}{text[1:]}"
        elif draw < 1:
            text = f"{text.rstrip('.?!')} {after.text(self._rng)}"
        return spaced(text)

    def unclear(self, text: str) -> str:
        """Return `text` with made-up words in place of those that say what it is about."""
        words = [word if self._says_little(word) else made_up_word(self._rng).lower() for word in text.split(" ")]
        return " ".join(words)


def _telling_words(talk: Talk) -> frozenset[str]:
    """Return the words that tell topics from one another."""
    uses: dict[str, Counter[str]] = defaultdict(Counter)
    for topic in talk.topics.values():
        for line in lines(topic.ask):
            for word in {word.lower().strip("?.!,") for word in line.split(" ")}:
                uses[word][topic.id] += 1
    return frozenset(word for word, topics in uses.items() if max(topics.values()) > TELLING * topics.total())
