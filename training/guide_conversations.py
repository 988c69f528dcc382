"""Makes conversations for the guide from its corpus: questions in any order, facts told and asked for later.

Pure functions of a `random.Random`. Names that the checks use are never made up here (see `Storyteller.forbidden`).
"""

import random
from dataclasses import dataclass, field

from training.guide_corpus import Fact, GuideCorpus, Topic
from training.noise import as_typed
from training.patterns import choose, fill
from training.talk_words import made_up_word

SYSTEM_PROMPTS = (
    "You are a helpful assistant.",
    "You are aister-guide.",
    "Answer briefly.",
    "Be friendly and concise.",
    "You are the guide to Aister. Help people to get started.",
    "You answer questions about this server.",
)
MORE = (
    "Tell me more[|.| about it| about that| please]",
    "[More|Go on|And|Continue][?|.| please]",
    "[Can you|Could you] [explain more|say more|give more details]?",
    "more details[| please]",
    "What else[| about it]?",
)
Turn = tuple[str, str]


@dataclass
class Storyteller:
    """Makes up one conversation after another; `forbidden` holds words that no training text may contain."""

    corpus: GuideCorpus
    rng: random.Random
    forbidden: frozenset[str] = frozenset()
    told: dict[str, str] = field(default_factory=dict)
    last_topic: Topic | None = None

    def conversation(self, turns: int) -> list[Turn]:
        """Return `turns` pairs of (what the user writes, what the guide answers)."""
        self.told, self.last_topic = {}, None
        return [self._turn() for _ in range(turns)]

    def introduction(self, turns: int) -> list[Turn]:
        """Return a conversation about nothing but facts, so that copying them is learnt early."""
        self.told, self.last_topic = {}, None
        return [self._tell() if not turn or self.rng.random() < 0.4 else self._ask() for turn in range(turns)]

    def _turn(self) -> Turn:
        kind = self.rng.random()
        if self.last_topic and self.last_topic.more and kind < 0.25:
            return self._more(self.last_topic)
        self.last_topic = None
        if kind < 0.20:
            return self._tell()
        if kind < 0.40:
            return self._ask()
        if kind < 0.53:
            return self._off_topic()
        return self._talk()

    def _talk(self) -> Turn:
        """Ask about a topic, the more often the more phrasings it has."""
        weights = [len(topic.ask) for topic in self.corpus.topics]
        topic = self.last_topic = self.rng.choices(self.corpus.topics, weights)[0]
        return as_typed(choose(self.rng.choice(topic.ask), self.rng), self.rng), topic.answer

    def _more(self, topic: Topic) -> Turn:
        self.last_topic = None
        return as_typed(choose(self.rng.choice(MORE), self.rng), self.rng), topic.more

    def _off_topic(self) -> Turn:
        kind = self.rng.choice(self.corpus.off_topic)
        question = fill(choose(self.rng.choice(kind.ask), self.rng), kind.slots, self.rng)
        return as_typed(question, self.rng), kind.answer

    def _fact(self) -> Fact:
        """Choose a fact, the name as often as all others together."""
        names = self.rng.random() < 0.5
        return self.rng.choice([fact for fact in self.corpus.facts if (fact.id == "name") == names])

    def _value(self, fact: Fact) -> str:
        while True:
            value = self.rng.choice(fact.values) if self.rng.random() < 0.5 else self._made_up(fact)
            if not self.forbidden & set(value.replace("-", " ").casefold().split()):
                return value

    def _made_up(self, fact: Fact) -> str:
        word = made_up_word(self.rng)
        if self.rng.random() < 0.12:
            word = f"{word}{self.rng.choice([' ', '-'])}{made_up_word(self.rng)}"
        small = fact.id not in ("name", "home", "pet") or self.rng.random() < 0.15
        return word.lower() if small else word

    def _tell(self) -> Turn:
        fact = self._fact()
        value = self.told[fact.id] = self._value(fact)
        told = as_typed(self.rng.choice(fact.tell), self.rng).replace("{value}", value)
        if fact.id == "name" and self.rng.random() < 0.15:
            question, answer = self._talk()
            return f"{told} {question}", f"Nice to meet you, {value}! {answer}"
        return told, fact.acknowledge.replace("{value}", value)

    def _ask(self) -> Turn:
        known = [fact for fact in self.corpus.facts if fact.id in self.told]
        fact = self.rng.choice(known) if known and self.rng.random() < 0.85 else self._fact()
        question = as_typed(choose(self.rng.choice(fact.ask), self.rng), self.rng)
        value = self.told.get(fact.id)
        return question, fact.answer.replace("{value}", value) if value else fact.unknown


def length_in_turns(rng: random.Random) -> int:
    """Return how many turns a conversation has: mostly 2 to 6, now and then up to 40."""
    return rng.randint(12, 40) if rng.random() < 0.015 else min(12, 2 + int(rng.expovariate(0.4)))
