"""Makes conversations for the guide from `corpus/talk`: questions, follow-ups, facts told, corrected and asked for.

No files and no clock: what a Storyteller makes up depends on the corpus and on its `random.Random` alone.
"""

import random
from dataclasses import dataclass, field

from training.noise import as_typed
from training.talk_corpus import Kind, Talk, Topic, bare, lines
from training.talk_dialogue import Dialogue, Turn
from training.talk_memory import Memory, filled, frequent_words
from training.talk_rephrasing import Rephrasing

FOLLOWED = 0.3  # this part of the answers about a topic is followed by a question that needs it
SCRIPTED = 0.06  # this part of the conversations is played from conversations.toml
PLAINEST = 0.05  # this part of the questions is the first phrasing of a topic or kind, the plainest
FROM_PATTERNS = 0.5  # of the others, this part is made from patterns; the rest are phrasings, said in other words
SYSTEM_PROMPTS = (
    "You are a helpful assistant.",
    "You are aister-guide.",
    "Answer briefly.",
    "Be friendly and concise.",
    "You are the guide to Aister. Help people to get started.",
    "You answer questions about this server.",
)


@dataclass
class Storyteller:
    """Makes up one conversation after another.

    `forbidden` holds words that no value of a fact may contain, `held_out` the questions that nobody may ask, as `bare`
    has them.
    """

    talk: Talk
    rng: random.Random
    forbidden: frozenset[str] = frozenset()
    held_out: frozenset[str] = frozenset()
    dialogue: Dialogue = field(init=False)
    memory: Memory = field(init=False)
    frequent: frozenset[str] = field(init=False)
    rephrasing: Rephrasing = field(init=False)
    owners: dict[str, str] = field(init=False)  # whose phrasing a text is

    def __post_init__(self) -> None:
        kept = {word for name in self.talk.kept_names for word in name.casefold().replace("-", " ").split()}
        self.forbidden = self.forbidden | kept
        self.frequent = frequent_words(self.talk)
        self._begin()
        self.rephrasing = Rephrasing(self.talk, self.rng)
        entries: tuple[Topic | Kind, ...] = (*self.talk.topics.values(), *self.talk.kinds.values())
        self.owners = {bare(line): each.id for each in entries for line in lines(each.ask)}

    def _begin(self) -> None:
        self.dialogue = Dialogue(self.talk)
        self.memory = Memory(self.talk, self.rng, self.dialogue, self.forbidden, self.frequent)

    def conversation(self, turns: int) -> list[Turn]:
        """Return `turns` pairs of (what the person writes, what the guide answers); a script as long as it is."""
        self._begin()
        if self.rng.random() < SCRIPTED:
            return self._script()
        return [self._turn() for _ in range(turns)]

    def introduction(self, turns: int) -> list[Turn]:
        """Return a conversation of facts and statements alone, so that copying them is learnt early."""
        self._begin()
        tells = (not turn or self.rng.random() < 0.4 for turn in range(turns))
        return [self.memory.tell() if tell else self.memory.recall() for tell in tells]

    def _turn(self) -> Turn:
        if self.dialogue.last and self.rng.random() < FOLLOWED:
            return self._follow()
        kind = self.rng.random()
        if kind < 0.14:
            return self._tell_and_ask() if self.rng.random() < 0.06 else self.memory.tell()
        if kind < 0.28:
            return self.memory.recall()
        if kind < 0.44:
            return self._off_ground()
        if kind < 0.48:
            return self._unclear()
        return self._ask() if kind < 0.99 else self._more()

    def _one_of(self, text: str) -> str:
        """Return one phrasing of `text` as somebody may type it; slots stay as they are."""
        return as_typed(self.rng.choice(lines(text)), self.rng)

    def _question(self, about: Topic | Kind) -> str:
        """Return a question as somebody may type it; none that is held out."""
        while True:
            is_plain = self.rng.random() < PLAINEST
            text = self._typed(lines(about.ask)[0] if is_plain else self._own(about))
            if bare(text) not in self.held_out:
                return text

    def _typed(self, text: str) -> str:
        """Return `text` with what may stand around it, as somebody may type it; mere marks are never typed away."""
        return as_typed(self.rephrasing.surrounded(text), self.rng) or text

    def _own(self, about: Topic | Kind) -> str:
        """Return a question that is neither held out nor a phrasing of another topic or kind."""
        while True:
            text = self._worded(about)
            if bare(text) not in self.held_out and self.owners.get(bare(text), about.id) == about.id:
                return text

    def _worded(self, about: Topic | Kind) -> str:
        """Return a question made from a pattern, or a phrasing in other words."""
        patterns = self.talk.patterns.get(about.id)
        if patterns and self.rng.random() < FROM_PATTERNS:
            return self.rng.choice(patterns).text(self.rng).strip(" ,")
        return self.rephrasing.rephrased(self.rng.choice(lines(about.ask)))

    def _ask(self) -> Turn:
        topic = self.rng.choice(list(self.talk.topics.values()))
        return self._question(topic), self.dialogue.ask(topic.id)

    def _unclear(self) -> Turn:
        """Ask what nobody can answer: a question without the words that say what it is about."""
        while True:
            question = self._own(self.rng.choice(list(self.talk.topics.values())))
            unclear = self.rephrasing.unclear(question)
            if unclear != question:
                return self._typed(unclear), self.dialogue.unsure()

    def _more(self) -> Turn:
        return self._one_of(self.talk.more.more), self.dialogue.more()

    def _follow(self) -> Turn:
        """Ask on after the last topic: what follows it, what was meant instead, or for more."""
        last = self.dialogue.last
        meant = [one for one in self.talk.topic_corrections if last and one.said == last.id]
        if last and last.follow and self.rng.random() < 0.75:
            follow = self.rng.choice(last.follow)
            return self._one_of(follow.ask), self.dialogue.follow(follow)
        if meant and self.rng.random() < 0.5:
            correction = self.rng.choice(meant)
            return self._one_of(correction.ask), self.dialogue.ask(correction.wanted)
        return self._more()

    def _off_ground(self) -> Turn:
        kind = self.rng.choice(list(self.talk.kinds.values()))
        return self._question(kind), self.dialogue.off_ground(kind.id)

    def _tell_and_ask(self) -> Turn:
        """Tell something and ask something in one message."""
        known = self.dialogue.told.get("name")
        if self.rng.random() < 0.5:
            self.memory.tell_name()
        else:
            self.memory.tell()
        question, answer = self._ask() if self.rng.random() < 0.8 else self._off_ground()
        return self.memory.add(question), f"{self._greeting(known)} {answer}"

    def _greeting(self, known: str | None) -> str:
        """Return how an answer begins that acknowledges in passing; `known` is the name that was told before."""
        name = self.dialogue.told.get("name")
        if not name or name == known:
            return "Noted."
        corrected = self.talk.facts["name"].corrected
        return filled(corrected, {"value": name}) if known else f"Nice to meet you, {name}!"

    def _script(self) -> list[Turn]:
        script = self.rng.choice(self.talk.conversations).turns
        slots = self.memory.slots(script)
        turns = self.dialogue.play(script, slots)
        return [(filled(as_typed(question, self.rng), slots), answer) for question, answer in turns]


def length_in_turns(rng: random.Random) -> int:
    """Return how many turns a conversation has: mostly 1 to 5, now and then up to 40."""
    return rng.randint(12, 40) if rng.random() < 0.015 else min(12, 1 + int(rng.expovariate(0.5)))
