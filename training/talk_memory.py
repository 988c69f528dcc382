"""What people tell about themselves in one conversation, and ask for later: facts, corrections, statements.

Pure functions of a `random.Random`. A fact's value is copied into the answer, a statement comes back in the words in
which it was written.
"""

import random
import re
from dataclasses import dataclass, field

from training.noise import as_typed
from training.talk_corpus import Fact, Statement, Talk, lines
from training.talk_dialogue import SLOT, Dialogue, Turn
from training.talk_words import made_up_word

NAME = 0.3  # this part of the facts that are told is the name
STATED = 0.4  # this part of what is told is a statement, the others are facts
TOGETHER = 0.2  # this part of the facts comes two or three in a message
KNOWN = 0.8  # this part of what is asked for was told before
MADE_UP = 0.5  # this part of the values is made up, so that copying is learnt, not the lists
SMALL_LETTERS = 0.1  # this part of the values is written without capitals
CAPITALISED = ("name", "home", "pet", "person", "called", "company", "programming", "system")
JOINTS = (" and ", ", and ", ". ", ", ", " but ", "; ")


@dataclass
class Memory:
    """One conversation's facts and statements; `forbidden` holds words that no value may contain."""

    talk: Talk
    rng: random.Random
    dialogue: Dialogue
    forbidden: frozenset[str]
    facts: dict[str, tuple[Fact, str]] = field(default_factory=dict)
    stated: list[tuple[Statement, str, dict[str, str]]] = field(default_factory=list)

    # -- values -------------------------------------------------------------------------------------------------------

    def value(self, fact: Fact) -> str:
        """Return what a fact is filled with: from its list, or made up."""
        while True:
            listed = self.rng.choice(self.talk.values[fact.values])
            value = self._varied(listed, fact) if self.rng.random() < MADE_UP else listed
            value = value.lower() if self.rng.random() < SMALL_LETTERS else value
            if not self.forbidden & set(value.replace("-", " ").casefold().split()):
                return value

    def _varied(self, listed: str, fact: Fact) -> str:
        """Return `listed` with other figures where it has some, otherwise made-up words."""
        if any(letter.isdigit() for letter in listed):
            return re.sub(r"\d", lambda _: str(self.rng.randrange(10)), listed)
        words = [made_up_word(self.rng) for _ in range(1 + (self.rng.random() < 0.15))]
        text = self.rng.choice((" ", " ", "-")).join(words)
        return text if fact.id in CAPITALISED and self.rng.random() < 0.85 else text.lower()

    def _word(self) -> str:
        """Return a word that tells a statement from others: an ordinary one, or a made-up one."""
        if self.rng.random() < MADE_UP:
            return made_up_word(self.rng).lower()
        return self.rng.choice(self.rng.choice(self.talk.values["things"]).split(" "))

    def slots(self, text: str) -> dict[str, str]:
        """Return a value for each slot of `text`, such as {name}, {name2} or {word}."""
        names = dict.fromkeys(found[1] + found[2] for found in SLOT.finditer(text))
        return {name: self._word() if name.startswith("word") else self._slot(name) for name in names}

    def _slot(self, name: str) -> str:
        return self.value(self.talk.facts[name.rstrip("23456789")])

    # -- telling ------------------------------------------------------------------------------------------------------

    def tell(self) -> Turn:
        """Tell something: a fact, some facts at once, another value for a fact, or a statement."""
        kind = self.rng.random()
        if kind < STATED:
            return self._state()
        if kind < STATED + (1 - STATED) * TOGETHER:
            return self._tell_together()
        return self._tell_one()

    def tell_name(self) -> Turn:
        """Tell the name."""
        return self._tell_this(self.talk.facts["name"], "")

    def _fact(self) -> tuple[Fact, str]:
        """Choose a fact, and its thing where it stands for many."""
        others = [fact for fact in self.talk.facts.values() if fact.id != "name"]
        fact = self.talk.facts["name"] if self.rng.random() < NAME else self.rng.choice(others)
        return fact, self.rng.choice(self.talk.values[fact.things]) if fact.things else ""

    def _said(self, text: str, thing: str, value: str) -> str:
        """Return one of the lines of `text` as somebody may type it, filled."""
        line = self.rng.choice(lines(text)).replace("{thing}", thing)
        return as_typed(line, self.rng).replace("{value}", value)

    def _tell_one(self) -> Turn:
        fact, thing = self._fact()
        if self.facts and self.rng.random() < 0.25:
            fact, thing = self.rng.choice(list(self.facts.values()))
        return self._tell_this(fact, thing)

    def _tell_this(self, fact: Fact, thing: str) -> Turn:
        old, value = self.dialogue.told.get(fact.key(thing)), self.value(fact)
        if old and self.rng.random() < 0.6:
            text = as_typed(self.rng.choice(self.talk.fact_corrections), self.rng)
            text = text.replace("{old}", old).replace("{value}", value)
        else:
            text = self._said(fact.tell, thing, value)
        self.facts[fact.key(thing)] = fact, thing
        return text, self.dialogue.tell(fact.id, value, thing, corrects=bool(old))

    def _tell_together(self) -> Turn:
        if self.rng.random() < 0.5:
            return self._tell_any_two()
        together = self.rng.choice(self.talk.together)
        text = self.rng.choice(lines(together.tell))
        values = self.slots(text)
        for name, value in values.items():
            self._note(self.talk.facts[name], "", value)
        return filled(as_typed(text, self.rng), values), filled(together.acknowledge, values)

    def _tell_any_two(self) -> Turn:
        """Tell two facts in one message, each in its own words."""
        (one, its), (other, others) = self._fact(), self._fact()
        if one.key(its) == other.key(others):
            return self._tell_one()
        texts = []
        for fact, thing in ((one, its), (other, others)):
            value = self.value(fact)
            self._note(fact, thing, value)
            texts.append(self._said(fact.tell, thing, value))
        name = self.dialogue.told.get("name") if "name" in (one.id, other.id) else None
        two, both = self.talk.together[0].acknowledge, self.talk.together[1].acknowledge
        return self.rng.choice(JOINTS).join(texts), two.replace("{name}", name) if name else both

    def _note(self, fact: Fact, thing: str, value: str) -> None:
        self.dialogue.note(fact.id, value, thing)
        self.facts[fact.key(thing)] = fact, thing

    def _state(self) -> Turn:
        statement = self.rng.choice(self.talk.statements.statement)
        line = self.rng.choice(lines(statement.tell))
        values = self.slots(line + statement.ask)
        text = filled(as_typed(line, self.rng), values).strip()
        self.stated = [each for each in self.stated if each[0] is not statement]
        self.stated.append((statement, text, values))
        return text, self.dialogue.state()

    # -- asking -------------------------------------------------------------------------------------------------------

    def recall(self) -> Turn:
        """Ask for something that was told, or that was not."""
        known = len(self.facts) + len(self.stated)
        if known and self.rng.random() < KNOWN:
            place = self.rng.randrange(known)
            if place < len(self.facts):
                return self._ask_for(*list(self.facts.values())[place])
            return self._ask_back(*self.stated[place - len(self.facts)])
        if self.rng.random() < STATED:
            return self._ask_for_nothing()
        return self._ask_for(*self._fact())

    def _ask_for(self, fact: Fact, thing: str) -> Turn:
        return self._said(fact.ask, thing, ""), self.dialogue.recall(fact.id, thing)

    def _ask_back(self, statement: Statement, text: str, values: dict[str, str]) -> Turn:
        question = filled(as_typed(self.rng.choice(lines(statement.ask)), self.rng), values)
        return question, self.dialogue.quote(text)

    def _ask_for_nothing(self) -> Turn:
        """Ask for a statement that nobody made."""
        stated = [each[0] for each in self.stated]
        statement = self.rng.choice([each for each in self.talk.statements.statement if each not in stated])
        line = self.rng.choice(lines(statement.ask))
        return filled(as_typed(line, self.rng), self.slots(line)), self.dialogue.quote(None)


def filled(text: str, values: dict[str, str]) -> str:
    """Return `text` with its slots filled."""
    return SLOT.sub(lambda found: values[found[1] + found[2]], text)
