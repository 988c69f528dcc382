"""What people tell about themselves in one conversation, and ask for later: facts, corrections, statements.

Pure functions of a `random.Random`. A fact's value is copied into the answer, a statement comes back in the words in
which it was written.
"""

import random
import re
from collections import Counter
from dataclasses import dataclass, field

from training.noise import as_typed
from training.talk_corpus import STATEMENT, Fact, Statement, Talk, lines
from training.talk_dialogue import SLOT, Dialogue, Turn
from training.talk_words import made_up_word

NAME = 0.3  # this part of the facts that are told is the name
RETOLD = 0.25  # this part of the facts that are told alone was told before
RETOLD_AT_ONCE = 0.5  # the same, where one was told just now: that one
STATED = 0.4  # this part of what is told is a statement, the others are facts
TOGETHER = 0.35  # this part of what is told comes two or three in a message
MADE = 0.4  # this part of the statements is made from patterns
BY_WORD = 0.4  # this part of the questions for a statement has one of its words, in place of a question for it alone
SELDOM = 8  # a word tells one statement from others that stands in so many lines or fewer
KNOWN = 0.8  # this part of what is asked for was told before
MADE_UP = 0.5  # this part of the values is made up, so that copying is learnt, not the lists
SMALL_LETTERS = 0.1  # this part of the values is written without capitals
TITLED = 0.06  # this part of the made-up names has a title
TITLES = ("Mr", "Mrs", "Ms", "Dr", "Mr.", "Mrs.", "Dr.", "Professor", "Sir", "Captain")
CAPITALISED = ("name", "home", "pet", "person", "called", "company", "programming", "system")
JOINTS = (" and ", ", and ", ". ", ". ", ", ", " but ", "; ")

_WORD = re.compile(r"\w[\w'-]*")


def frequent_words(talk: Talk) -> frozenset[str]:
    """Return the words that stand in so many statements that they tell none from others."""
    told = [line for statement in talk.statements.statement for line in lines(statement.tell)]
    counts = Counter(word for line in told for word in set(_WORD.findall(line.casefold())))
    return frozenset(word for word, count in counts.items() if count > SELDOM)


@dataclass(frozen=True)
class Told:
    """A statement as it was told: its own `words`, the `place` of its message, what its slots were filled with."""

    statement: Statement
    words: str
    place: int
    values: dict[str, str]


@dataclass
class Memory:
    """One conversation's facts and statements.

    `forbidden` holds words that no value may contain, `frequent` those that tell no statement from others; `messages`
    are those that told something.
    """

    talk: Talk
    rng: random.Random
    dialogue: Dialogue
    forbidden: frozenset[str]
    frequent: frozenset[str]
    facts: dict[str, tuple[Fact, str]] = field(default_factory=dict)
    stated: list[Told] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)

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
        words = [made_up_word(self.rng) for _ in range(1 + (self.rng.random() < 0.2))]
        if fact.id == "name" and self.rng.random() < TITLED:
            words.insert(0, self.rng.choice(TITLES))
        text = " ".join(words) if words[0] in TITLES else self.rng.choice((" ", " ", "-")).join(words)
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
        """Tell something: a fact, another value for a fact, a statement, or some of them at once."""
        if self.rng.random() < TOGETHER:
            return self._written(self._tell_together() if self.rng.random() < 0.35 else self._tell_several())
        return self._written(self._state() if self.rng.random() < STATED else self._tell_one())

    def tell_name(self) -> Turn:
        """Tell the name."""
        return self._written(self._tell_this(self.talk.facts["name"], ""))

    def _written(self, turn: Turn) -> Turn:
        self.messages.append(turn[0])
        return turn

    def add(self, text: str) -> str:
        """Add `text` to the message that was written last, and return the whole of it."""
        self.messages[-1] += f" {text}"
        return self.messages[-1]

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
        if self.facts and self.rng.random() < (RETOLD_AT_ONCE if self.dialogue.latest else RETOLD):
            fact, thing = self.facts[self.dialogue.latest or self.rng.choice(list(self.facts))]
        return self._tell_this(fact, thing)

    def _tell_this(self, fact: Fact, thing: str) -> Turn:
        old, value = self.dialogue.told.get(fact.key(thing)), self.value(fact)
        if old and self.rng.random() < 0.6:
            text = as_typed(self._correction(fact.key(thing)), self.rng)
            text = text.replace("{old}", old).replace("{value}", value)
        else:
            text = self._said(fact.tell, thing, value)
        self.facts[fact.key(thing)] = fact, thing
        return text, self.dialogue.tell(fact.id, value, thing, corrects=bool(old))

    def _correction(self, key: str) -> str:
        """Return how a fact is taken back: with what was told before, unless that was said just now."""
        meant = [line for line in self.talk.fact_corrections if key == self.dialogue.latest or "{old}" in line]
        return self.rng.choice(meant)

    def _tell_together(self) -> Turn:
        together = self.rng.choice(list(self.talk.together))
        text = self.rng.choice(lines(together.tell))
        values = self.slots(text)
        for name, value in values.items():
            self._note(self.talk.facts[name], "", value)
        return filled(as_typed(text, self.rng), values), filled(together.acknowledge, values)

    def _tell_several(self) -> Turn:
        """Tell two or three different facts and statements in one message, each in its own words."""
        parts = self.rng.choice((2, 2, 3))
        stated = [self._words() for _ in range(sum(self.rng.random() < STATED for _ in range(parts)))]
        facts = [(fact, thing, self.value(fact)) for fact, thing in self._facts(parts - len(stated))]
        for told in facts:
            self._note(*told)
        for each in stated:
            self._keep(*each)
        texts = [words for _, words, _ in stated] + [self._said(fact.tell, *told) for fact, *told in facts]
        return self._joined(texts), self._acknowledged(facts, bool(stated))

    def _facts(self, count: int) -> list[tuple[Fact, str]]:
        """Choose `count` facts, none of them twice."""
        chosen: dict[str, tuple[Fact, str]] = {}
        while len(chosen) < count:
            fact, thing = self._fact()
            chosen[fact.key(thing)] = fact, thing
        return list(chosen.values())

    def _joined(self, texts: list[str]) -> str:
        """Return `texts` in any order as one message."""
        first, *others = self.rng.sample([text.strip() for text in texts], len(texts))
        return first + "".join(self.rng.choice(JOINTS) + text for text in others)

    def _acknowledged(self, facts: list[tuple[Fact, str, str]], with_statements: bool) -> str:
        """Return what is said to a message with `facts`, and `with_statements` or without."""
        together = self.talk.together
        if names := [value for fact, _, value in facts if fact.id == "name"]:
            return filled(together.named.acknowledge, {"name": names[0]})
        if with_statements:
            return self.dialogue.state()
        return (together.two if len(facts) == 2 else together.three).acknowledge

    def _note(self, fact: Fact, thing: str, value: str) -> None:
        self.dialogue.note(fact.id, value, thing)
        self.facts[fact.key(thing)] = fact, thing

    def _words(self) -> tuple[Statement, str, dict[str, str]]:
        """Return a statement, its words as somebody may type them, and what its slots were filled with."""
        made = self.rng.random() < MADE
        statement = self._made() if made else self.rng.choice(self.talk.statements.statement)
        line = self.rng.choice(lines(statement.tell))
        values = self.slots(line + statement.ask)
        return statement, filled(as_typed(line, self.rng), values).strip(), values

    def _made(self) -> Statement:
        """Return a statement made from a pattern; only its words ask for it."""
        return Statement(tell=self.rng.choice(self.talk.patterns[STATEMENT]).text(self.rng), ask="")

    def _keep(self, statement: Statement, words: str, values: dict[str, str]) -> None:
        """Keep a statement of the message that is being written."""
        told = Told(statement, words, len(self.messages), values)
        self.stated = [each for each in self.stated if each.statement is not statement] + [told]

    def _state(self) -> Turn:
        statement, words, values = self._words()
        self._keep(statement, words, values)
        return words, self.dialogue.state()

    # -- asking -------------------------------------------------------------------------------------------------------

    def recall(self) -> Turn:
        """Ask for something that was told, or that was not."""
        known = len(self.facts) + len(self.stated)
        if known and self.rng.random() < KNOWN:
            place = self.rng.randrange(known)
            if place < len(self.facts):
                return self._ask_for(*list(self.facts.values())[place])
            return self._ask_back(self.stated[place - len(self.facts)])
        if self.rng.random() < STATED:
            return self._ask_for_nothing()
        return self._ask_for(*self._fact())

    def _ask_for(self, fact: Fact, thing: str) -> Turn:
        return self._said(fact.ask, thing, ""), self.dialogue.recall(fact.id, thing)

    def _ask_back(self, told: Told) -> Turn:
        words, asked = self._telling_words(told), lines(told.statement.ask)
        if not words and not asked:
            return self._ask_for_nothing()
        if words and (not asked or self.rng.random() < BY_WORD):
            question = as_typed(self._about(), self.rng).replace("{word}", self.rng.choice(words))
        else:
            question = filled(as_typed(self.rng.choice(asked), self.rng), told.values)
        return question, self.dialogue.quote(self.messages[told.place])

    def _about(self) -> str:
        return self.rng.choice(lines(self.talk.statements.about))

    def _telling_words(self, told: Told) -> list[str]:
        """Return the words of a statement that stand in nothing else that was told."""
        others = " ".join(text for place, text in enumerate(self.messages) if place != told.place).casefold()
        words = (word for word in _WORD.findall(told.words) if len(word) > 2)
        return [word for word in words if word.casefold() not in self.frequent and word.casefold() not in others]

    def _ask_for_nothing(self) -> Turn:
        """Ask for a statement that nobody made."""
        if self.rng.random() < BY_WORD:
            return as_typed(self._about(), self.rng).replace("{word}", self._word()), self.dialogue.quote(None)
        stated = [each.statement for each in self.stated]
        statement = self.rng.choice([each for each in self.talk.statements.statement if each not in stated])
        line = self.rng.choice(lines(statement.ask))
        return filled(as_typed(line, self.rng), self.slots(line)), self.dialogue.quote(None)


def filled(text: str, values: dict[str, str]) -> str:
    """Return `text` with its slots filled."""
    return SLOT.sub(lambda found: values[found[1] + found[2]], text)
