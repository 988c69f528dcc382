"""What the guide answers in one conversation: pure state, no randomness.

A `Dialogue` knows what was told, what was asked how often, and what came last; so a checker can ask it, too.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from training.talk_corpus import FollowUp, Talk, Topic, lines

REFERENCE = re.compile(r"@(?P<off>off:)?(?P<id>[a-z][\w-]*)(?P<what>[+!=?~]|/\d)?")
SLOT = re.compile(r"\{(\w+?)(\d?)\}")

Turn = tuple[str, str]
FOLLOWING_JOKES = 2  # a topic with more answers than this goes on with the next one when people want more


@dataclass
class Dialogue:
    """One conversation; each method is one turn and returns the answer."""

    talk: Talk
    told: dict[str, str] = field(default_factory=dict)
    times: Counter[str] = field(default_factory=Counter)
    off_grounds: int = 0
    last: Topic | None = None
    said_more: bool = False
    latest: str = ""  # the key of the fact that was told just now, and nothing else

    def _leave(self) -> None:
        self.last, self.said_more, self.latest = None, False, ""

    def ask(self, topic_id: str) -> str:
        """Answer a topic; the next of its answers when it came up before."""
        topic = self.talk.topics[topic_id]
        nth = self.times[topic_id]
        self.times[topic_id] += 1
        self.last, self.said_more, self.latest = topic, False, ""
        return topic.answers[nth % len(topic.answers)]

    def more(self) -> str:
        """Answer "tell me more"."""
        self.latest = ""
        if self.last is None:
            return self.talk.more.nothing_before
        if len(self.last.answers) > FOLLOWING_JOKES:
            return self.ask(self.last.id)
        said, self.said_more = self.said_more, True
        return self.last.more if self.last.more and not said else self.talk.more.nothing_more

    def follow(self, follow: FollowUp) -> str:
        """Answer a follow-up of the last topic."""
        return self.ask(follow.see) if follow.see else follow.answer

    def off_ground(self, kind_id: str) -> str:
        """Answer something off the guide's ground."""
        self._leave()
        self.off_grounds += 1
        return self.talk.off_ground_answer(self.talk.kinds[kind_id], self.off_grounds - 1)

    def unsure(self) -> str:
        """Answer something that may be about Aister, and isn't clear."""
        self._leave()
        return self.talk.unsure

    def note(self, fact_id: str, value: str, thing: str = "") -> None:
        """Remember a fact."""
        self._leave()
        self.told[self.talk.facts[fact_id].key(thing)] = value

    def tell(self, fact_id: str, value: str, thing: str = "", *, corrects: bool = False) -> str:
        """Acknowledge a fact, or that it `corrects` what was told before."""
        self.note(fact_id, value, thing)
        fact = self.talk.facts[fact_id]
        self.latest = fact.key(thing)
        text = fact.corrected if corrects else fact.acknowledge
        return text.replace("{thing}", thing).replace("{value}", value)

    def recall(self, fact_id: str, thing: str = "") -> str:
        """Answer a question for a fact."""
        self._leave()
        fact = self.talk.facts[fact_id]
        value = self.told.get(fact.key(thing))
        text = fact.answer if value else fact.unknown
        return text.replace("{thing}", thing).replace("{value}", value or "")

    def state(self) -> str:
        """Acknowledge a statement."""
        self._leave()
        return self.talk.statements.acknowledge

    def quote(self, text: str | None) -> str:
        """Answer a question for a statement in the words in which it was made; None when it was not."""
        self._leave()
        return self.talk.statements.answer.replace("{text}", text) if text else self.talk.statements.unknown

    def _resolve(self, found: re.Match[str]) -> str:
        name, what = found["id"], found["what"] or ""
        if found["off"]:
            return self.off_ground(name)
        if what == "+" or name in ("more", "before"):
            return self.more()
        if what.startswith("/"):
            return self.talk.topics[name].follow[int(what[1:])].answer
        if what in ("=", "?"):
            return self.recall(name)
        fact = self.talk.facts.get(name)
        if what and fact:
            return (fact.acknowledge if what == "!" else fact.corrected).replace("{value}", self.told[name])
        return self.ask(name)

    def play(self, turns: str, values: dict[str, str]) -> list[Turn]:
        """Return a scripted conversation with `values` in its slots, such as `name` and `name2`.

        Raises ValueError for lines that don't alternate, and KeyError for what is not in the corpus.
        """
        script = lines(turns)
        said, answered = script[0::2], script[1::2]
        if len(script) % 2 or not all(line.startswith("> ") for line in said):
            raise ValueError(f"the lines don't alternate: {script[0]!r}")
        return [(line[2:], self._scripted(line, then, values)) for line, then in zip(said, answered, strict=True)]

    def _scripted(self, line: str, then: str, values: dict[str, str]) -> str:
        self.told |= {found[1]: values[found[1] + found[2]] for found in SLOT.finditer(line)}
        if not then.startswith("< "):
            raise ValueError(f"an answer begins with '<': {then!r}")
        text = SLOT.sub(lambda found: values[found[1] + found[2]], then[2:])
        return REFERENCE.sub(self._resolve, text)


def recalling(talk: Talk) -> Callable[[str], bool]:
    """Return what says whether an answer gives back what was told, unlike one that acknowledges a correction."""
    facts = talk.facts.values()
    gives_back = _any_of((*(fact.answer for fact in facts), talk.statements.answer))
    corrects = _any_of(fact.corrected for fact in facts)
    return lambda answer: bool(gives_back.fullmatch(answer)) and not corrects.fullmatch(answer)


def _any_of(answers: Iterable[str]) -> re.Pattern[str]:
    """Return a pattern of `answers`, whatever is in their slots."""
    texts = (".+".join(map(re.escape, re.split(r"\{\w+\}", answer))) for answer in answers)
    return re.compile("|".join(texts), re.DOTALL)
