"""Says a phrasing in other words: synonyms, words left out; or makes it unclear, so that doubt can be learnt.

Pure; `random.Random` is passed in.
"""

import random
from collections import Counter, defaultdict

from training.talk_corpus import Talk, lines
from training.talk_patterns import spaced
from training.talk_words import made_up_word

SWAP = 0.25  # this part of the synonyms found is replaced
LEAVE_OUT = 0.25  # in this part of the phrasings a word is left out that says little
AROUND = 0.3  # this part of the phrasings has something before or after it that changes nothing
TELLING = 0.12  # a word says something where one topic has more than this part of its uses
NEGATIONS = frozenset(("not", "no", "never", "without", "nothing", "none", "nobody", "neither", "nor", "cannot"))
NEGATED = ("n't", "n\u2019t", "dont", "doesnt", "didnt", "cant", "wont", "isnt", "arent")  # as words end that negate
MARKS = "?.!,"


def _word(text: str) -> str:
    """Return a word as it is looked up: in small letters, without marks."""
    return text.lower().strip(MARKS)


def negates(word: str) -> bool:
    """Say whether a phrasing without `word` may say the opposite."""
    return _word(word) in NEGATIONS or _word(word).endswith(NEGATED)


class Rephrasing:
    """Rephrases what the topics of `talk` are asked with."""

    def __init__(self, talk: Talk, rng: random.Random) -> None:
        self._rng = rng
        self._synonyms = talk.synonyms
        self._longest = max((len(text.split(" ")) for text in talk.synonyms), default=1)
        self._around = talk.around
        self._little = _words_that_say_little(talk)

    def _run(self, words: list[str], at: int) -> tuple[int, tuple[str, ...]]:
        """Return how many words from `at` have synonyms together, the most first, and those; (1, ()) for none."""
        for count in range(min(self._longest, len(words) - at), 0, -1):
            if found := self._synonyms.get(_word(" ".join(words[at : at + count]))):
                return count, found
        return 1, ()

    def swapped(self, text: str) -> str:
        """Return `text` with some words replaced by synonyms."""
        words, made, at = text.split(" "), [], 0
        while at < len(words):
            count, found = self._run(words, at)
            if found and self._rng.random() < SWAP:
                last = words[at + count - 1]
                made.append(self._rng.choice(found) + last[len(last.rstrip(MARKS)) :])
            else:
                made += words[at : at + count]
            at += count
        return " ".join(made)

    def _says_little(self, word: str) -> bool:
        return _word(word) in self._little

    def shortened(self, text: str) -> str:
        """Return `text` without one or two of the words that say little and don't negate."""
        words = text.split(" ")
        dropped = [i for i, word in enumerate(words) if self._says_little(word) and not negates(word)]
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
            text = f"{text.rstrip('.?!') or text} {after.text(self._rng)}"
        return spaced(text)

    def unclear(self, text: str) -> str:
        """Return `text` with made-up words in place of those that say what it is about."""
        words = [word if self._says_little(word) else made_up_word(self._rng).lower() for word in text.split(" ")]
        return " ".join(words)


def _words_that_say_little(talk: Talk) -> frozenset[str]:
    """Return the words that are used for many topics alike; any other may tell what a question is about."""
    uses: dict[str, Counter[str]] = defaultdict(Counter)
    for topic in talk.topics.values():
        for line in lines(topic.ask):
            for word in set(map(_word, line.split(" "))):
                uses[word][topic.id] += 1
    return frozenset(word for word, topics in uses.items() if max(topics.values()) <= TELLING * topics.total())
