"""Gathers what the corpora hold, so that the sealed sets can be compared with it. Pure; the samples are fixed.

All that people may write or say, slots such as {value} as they stand: not the guide's answers, nor what is made while
training, such as synonyms, typing mistakes and filled slots. Phrasings that `talk_holdout` keeps back are there, too.
"""

import random
from collections import defaultdict
from collections.abc import Iterable, Iterator

from training.phrases_corpus import Phrase, Phrases
from training.talk_corpus import Fact, Statement, Talk, lines

SEED = 20261122
OF_EACH = 60
"""Texts of a pattern, and sentences of a frame."""


def talk_texts(talk: Talk) -> Iterator[str]:
    """Yield what people say to the guide, each phrasing by itself, and a sample of what the patterns make."""
    for text in _phrasings(talk):
        yield from lines(text)
    yield from talk.fact_corrections
    yield from _said_in_conversations(talk)
    yield from _made_from_patterns(talk)


def _phrasings(talk: Talk) -> Iterator[str]:
    """Yield the texts that have one phrasing a line."""
    for topic in talk.topics.values():
        yield topic.ask
        yield from (follow.ask for follow in topic.follow)
    yield from (kind.ask for kind in talk.kinds.values())
    yield from (correction.ask for correction in talk.topic_corrections)
    yield from (talk.more.more, talk.statements.about)
    told: tuple[Fact | Statement, ...] = (*talk.facts.values(), *talk.statements.statement)
    for each in told:
        yield from (each.tell, each.ask)
    yield from (together.tell for together in talk.together)


def _said_in_conversations(talk: Talk) -> Iterator[str]:
    """Yield the lines of the person."""
    said = (line for each in talk.conversations for line in lines(each.turns) if line.startswith(">"))
    return (line.removeprefix(">").strip() for line in said)


def _made_from_patterns(talk: Talk) -> Iterator[str]:
    """Yield OF_EACH texts of each pattern: the same ones whatever other patterns there are."""
    for pattern in (pattern for patterns in talk.patterns.values() for pattern in patterns):
        rng = random.Random(SEED)
        yield from (pattern.text(rng) for _ in range(OF_EACH))


def phrases_texts(corpus: Phrases) -> Iterator[str]:
    """Yield the phrases in every language, and a sample of the sentences that frames make for training."""
    for phrase in (*corpus.phrases(), *_of_each_frame(corpus.trained)):
        yield from phrase.texts.values()


def _of_each_frame(sentences: Iterable[Phrase]) -> Iterator[Phrase]:
    """Yield OF_EACH sentences of each frame, or all where it has fewer."""
    by_frame: dict[str, list[Phrase]] = defaultdict(list)
    for sentence in sentences:
        by_frame[sentence.frame].append(sentence)
    for made in by_frame.values():
        yield from random.Random(SEED).sample(made, min(OF_EACH, len(made)))
