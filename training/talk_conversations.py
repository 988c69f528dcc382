"""Makes conversations for the guide from `corpus/talk`: questions, follow-ups, facts told, corrected and asked for.

Pure functions of a `random.Random`. Has what `train_guide` needs of a Storyteller: `conversation` and `introduction`.
"""

import random
from dataclasses import dataclass, field

from training.noise import as_typed
from training.talk_corpus import Fact, Kind, Talk, Topic, lines
from training.talk_dialogue import SLOT, Dialogue, Turn
from training.talk_rephrasing import Rephrasing
from training.talk_words import made_up_word

SCRIPTED = 0.06  # this part of the conversations is played from conversations.toml
FROM_PATTERNS = 0.5  # this part of the questions is made from patterns, the others are phrasings, said in other words
DOUBT = 0.1  # this part of the clear questions is answered as unclear ones are: see train_guide.py
SYSTEM_PROMPTS = (
    "You are a helpful assistant.",
    "You are aister-guide.",
    "Answer briefly.",
    "Be friendly and concise.",
    "You are the guide to Aister. Help people to get started.",
    "You answer questions about this server.",
)
SEVERAL = ("pet", "friend")  # another one of these takes nothing back
CAPITALISED = ("name", "home", "pet", "friend", "company", "programming", "system")
MADE_UP = 0.5  # this part of the values is made up, so that copying is learnt, not the lists


@dataclass
class Storyteller:
    """Makes up one conversation after another; `forbidden` holds words that no training text may contain."""

    talk: Talk
    rng: random.Random
    forbidden: frozenset[str] = frozenset()
    doubt: float = DOUBT
    dialogue: Dialogue = field(init=False)
    rephrasing: Rephrasing = field(init=False)

    def __post_init__(self) -> None:
        kept = {word for name in self.talk.kept_names for word in name.casefold().replace("-", " ").split()}
        self.forbidden = self.forbidden | kept
        self.dialogue = Dialogue(self.talk)
        self.rephrasing = Rephrasing(self.talk, self.rng)

    def conversation(self, turns: int) -> list[Turn]:
        """Return `turns` pairs of (what the person writes, what the guide answers); a script as long as it is."""
        self.dialogue = Dialogue(self.talk)
        if self.rng.random() < SCRIPTED:
            return self._script()
        return [self._turn() for _ in range(turns)]

    def introduction(self, turns: int) -> list[Turn]:
        """Return a conversation about nothing but facts, so that copying them is learnt early."""
        self.dialogue = Dialogue(self.talk)
        return [self._tell() if not turn or self.rng.random() < 0.4 else self._recall() for turn in range(turns)]

    def _turn(self) -> Turn:
        kind = self.rng.random()
        if self.dialogue.last and kind < 0.25:
            return self._follow()
        if kind < 0.11:
            return self._tell()
        if kind < 0.22:
            return self._recall()
        if kind < 0.42:
            return self._off_ground()
        if kind < 0.46:
            return self._unclear()
        return self._ask() if kind < 0.99 else self._more()

    def _one_of(self, text: str) -> str:
        """Return one phrasing of `text` as somebody may type it; slots stay as they are."""
        return as_typed(self.rng.choice(lines(text)), self.rng)

    def _question(self, about: Topic | Kind) -> str:
        """Return a question made from a pattern, or a phrasing in other words."""
        patterns = self.talk.patterns.get(about.id)
        if patterns and self.rng.random() < FROM_PATTERNS:
            text = self.rng.choice(patterns).text(self.rng)
        else:
            text = self.rephrasing.rephrased(self.rng.choice(lines(about.ask)))
        return as_typed(self.rephrasing.surrounded(text), self.rng)

    def _ask(self) -> Turn:
        topic = self.rng.choice(list(self.talk.topics.values()))
        question = self._question(topic)
        if self.rng.random() < self.doubt:
            return question, self.dialogue.unsure()
        return question, self.dialogue.ask(topic.id)

    def _unclear(self) -> Turn:
        """Ask what nobody can answer: a question without the words that say what it is about."""
        while True:
            question = self._question(self.rng.choice(list(self.talk.topics.values())))
            unclear = self.rephrasing.unclear(question)
            if unclear != question:
                return unclear, self.dialogue.unsure()

    def _more(self) -> Turn:
        return self._one_of(self.talk.more.more), self.dialogue.more()

    def _follow(self) -> Turn:
        """Ask on after the last topic: what follows it, what was meant instead, or for more."""
        last = self.dialogue.last
        meant = [one for one in self.talk.topic_corrections if last and one.said == last.id]
        if last and last.follow and self.rng.random() < 0.6:
            follow = self.rng.choice(last.follow)
            return self._one_of(follow.ask), self.dialogue.follow(follow)
        if meant and self.rng.random() < 0.5:
            correction = self.rng.choice(meant)
            return self._one_of(correction.ask), self.dialogue.ask(correction.wanted)
        return self._more()

    def _off_ground(self) -> Turn:
        kind = self.rng.choice(list(self.talk.kinds.values()))
        return self._question(kind), self.dialogue.off_ground(kind.id)

    def _fact(self) -> Fact:
        """Choose a fact, the name as often as all others together."""
        others = [fact for fact in self.talk.facts.values() if fact.id != "name"]
        return self.talk.facts["name"] if self.rng.random() < 0.5 else self.rng.choice(others)

    def _value(self, fact: Fact) -> str:
        while True:
            value = (
                self._made_up(fact) if self.rng.random() < MADE_UP else self.rng.choice(self.talk.values[fact.values])
            )
            if not self.forbidden & set(value.replace("-", " ").casefold().split()):
                return value

    def _made_up(self, fact: Fact) -> str:
        if fact.id == "number":
            return str(self.rng.randrange(10 ** self.rng.randint(1, 6)))
        word = made_up_word(self.rng)
        if self.rng.random() < 0.12:
            word = f"{word}{self.rng.choice([' ', '-'])}{made_up_word(self.rng)}"
        return word if fact.id in CAPITALISED and self.rng.random() < 0.85 else word.lower()

    def _tell(self) -> Turn:
        if self.rng.random() < 0.15:
            return self._tell_together()
        fact = self._fact()
        old = self.dialogue.told.get(fact.id)
        takes_back = bool(old) and self.rng.random() < 0.6
        correction = self.rng.choice(self.talk.fact_corrections)
        value = self._value(fact)
        text = as_typed(correction, self.rng) if takes_back else self._one_of(fact.tell)
        text = text.replace("{old}", old or "").replace("{value}", value)
        if fact.id == "name" and not old and self.rng.random() < 0.15:
            return self._tell_and_ask(text, value)
        corrects = takes_back or (bool(old) and fact.id not in SEVERAL)
        return text, self.dialogue.tell(fact.id, value, corrects=corrects)

    def _tell_and_ask(self, text: str, name: str) -> Turn:
        self.dialogue.told["name"] = name
        question, answer = self._ask() if self.rng.random() < 0.8 else self._off_ground()
        return f"{text} {question}", f"Nice to meet you, {name}! {answer}"

    def _tell_together(self) -> Turn:
        together = self.rng.choice(self.talk.together)
        text = self._one_of(together.tell)
        values = {found[1]: self._value(self.talk.facts[found[1]]) for found in SLOT.finditer(text)}
        self.dialogue.told |= values
        self.dialogue.last = None
        return _filled(text, values), _filled(together.acknowledge, values)

    def _recall(self) -> Turn:
        known = [self.talk.facts[name] for name in self.dialogue.told]
        fact = self.rng.choice(known) if known and self.rng.random() < 0.85 else self._fact()
        return self._one_of(fact.ask), self.dialogue.recall(fact.id)

    def _script(self) -> list[Turn]:
        script = self.rng.choice(self.talk.conversations).turns
        slots = {found[1] + found[2]: self._value(self.talk.facts[found[1]]) for found in SLOT.finditer(script)}
        turns = self.dialogue.play(script, slots)
        return [(_filled(as_typed(question, self.rng), slots), answer) for question, answer in turns]


def _filled(text: str, values: dict[str, str]) -> str:
    return SLOT.sub(lambda found: values[found[1] + found[2]], text)


def length_in_turns(rng: random.Random) -> int:
    """Return how many turns a conversation has: mostly 1 to 5, now and then up to 40."""
    return rng.randint(12, 40) if rng.random() < 0.015 else min(12, 1 + int(rng.expovariate(0.5)))
