"""Reads `corpus/talk`, what `aister-guide` talks about: topics, follow-ups, facts, corrections, what is off its ground.

Pure reading, no randomness. A file that does not follow the format raises ValueError and names the place. One phrasing
a line; README.md there describes the format.
"""

import re
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta, Struct

from training.talk_patterns import Choice, read_file, read_patterns

CORPUS = Path(__file__).parent / "corpus" / "talk"
STATEMENT = "statement"  # the id of the patterns that are no questions

Text = Annotated[str, Meta(min_length=1)]
Table = TypeVar("Table", bound=Struct)
Entry = TypeVar("Entry", "Topic", "Fact", "Kind")


def lines(text: str) -> tuple[str, ...]:
    """Return the phrasings of a text: one a line."""
    return tuple(line.strip() for line in text.splitlines() if line.strip())


def bare(text: str) -> str:
    """Return the words of `text` alone, in small letters; a text without words, such as `:-)`, as it stands."""
    return " ".join(re.findall(r"\w+", text.casefold())) or text.strip()


class Closed(Struct, frozen=True, forbid_unknown_fields=True):
    """A table of the files, which has no other fields than these."""


class FollowUp(Closed, frozen=True):
    """What people ask only after their topic; `see` names the topic whose answer it gets, or `answer` is its own."""

    ask: Text
    answer: str = ""
    see: str = ""


class Topic(Closed, frozen=True):
    """One thing the guide can talk about.

    `answers` follow one another when the topic comes up again in a conversation; the last one is followed by the first.
    Each begins with the `title`, where there is one: "Price: ...". `more` answers "tell me more", or is empty.
    """

    id: Text
    answers: Annotated[tuple[Text, ...], Meta(min_length=1)]
    ask: Text
    title: str = ""
    more: str = ""
    follow: tuple[FollowUp, ...] = ()


class Fact(Closed, frozen=True):
    """Something a person tells about themselves; `{value}` stands for what is to be remembered.

    With `things` it stands for many facts: `{thing}` is one of the values of that name.
    """

    id: Text
    values: Text
    tell: Text
    acknowledge: Text
    corrected: Text
    ask: Text
    answer: Text
    unknown: Text
    things: str = ""

    def key(self, thing: str) -> str:
        """Return what tells this fact from others in one conversation."""
        return f"{self.id} {thing}".strip()


class Statement(Closed, frozen=True):
    """What people say of themselves that is no fact of ours; asked for, it comes back in their own words.

    Slots are named by facts ({name}, {number}...); `{word}` is any word, the same in `tell` and `ask`.
    """

    tell: Text
    ask: Text


class StatementFile(Closed, frozen=True):
    """Statements, and what is answered: `{text}` stands for the person's words.

    `about` asks for a statement by one of its words, `{word}`.
    """

    acknowledge: Text
    answer: Text
    unknown: Text
    about: Text
    statement: tuple[Statement, ...]


class Together(Closed, frozen=True):
    """Several facts in one message: `{name}`, `{home}` and so on stand for their values."""

    acknowledge: Text
    tell: Text


class Togethers(Closed, frozen=True):
    """What is said of several facts in one message: of the name and others, of two others, of three others."""

    named: Together
    two: Together
    three: Together

    def __iter__(self) -> Iterator[Together]:
        yield from (self.named, self.two, self.three)


class Correction(Closed, frozen=True):
    """What people say when they got the answer of topic `said` and wanted that of topic `wanted`."""

    said: Text
    wanted: Text
    ask: Text


class Kind(Closed, frozen=True):
    """A kind of thing that the guide can't help with; an answer is an opening and an ending."""

    id: Text
    openings: Annotated[tuple[Text, ...], Meta(min_length=1)]
    ask: Text


class Conversation(Closed, frozen=True):
    """A conversation in full: lines that begin with `>` are the person's, those with `<` say which answer follows."""

    id: Text
    turns: Text


class _TopicFile(Closed, frozen=True):
    topic: tuple[Topic, ...]


class _FactFile(Closed, frozen=True):
    fact: tuple[Fact, ...]
    together: Togethers


class _CorrectionFile(Closed, frozen=True):
    fact: Text
    topic: tuple[Correction, ...]


class MoreFile(Closed, frozen=True):
    """What people say for "tell me more", and what they get where there is nothing more, or was nothing before."""

    nothing_more: Text
    nothing_before: Text
    more: Text


class _KindFile(Closed, frozen=True):
    kind: tuple[Kind, ...] = ()
    endings: tuple[Text, ...] = ()
    unsure: str = ""


class _ConversationFile(Closed, frozen=True):
    conversation: tuple[Conversation, ...]


class Talk(Struct, frozen=True):
    """All of the corpus. `values` holds the fillings of facts by name, `kept_names` names that no training may use.

    `synonyms` holds what may stand for a text, `around` what people say `before` and `after` a question.
    """

    topics: dict[str, Topic]
    facts: dict[str, Fact]
    together: Togethers
    statements: StatementFile
    kinds: dict[str, Kind]
    endings: tuple[str, ...]
    more: MoreFile
    fact_corrections: tuple[str, ...]
    topic_corrections: tuple[Correction, ...]
    conversations: tuple[Conversation, ...]
    values: dict[str, tuple[str, ...]]
    kept_names: tuple[str, ...]
    patterns: dict[str, tuple[Choice, ...]]
    synonyms: dict[str, tuple[str, ...]]
    around: dict[str, tuple[Choice, ...]]
    unsure: str

    def off_ground_answer(self, kind: Kind, nth: int) -> str:
        """Return what is said to the `nth` thing (from 0) of a conversation that is off the guide's ground."""
        return f"{kind.openings[nth % len(kind.openings)]} {self.endings[nth % len(self.endings)]}"

    def answers(self) -> Iterator[str]:
        """Yield every text that the guide may say, slots as they stand."""
        for topic in self.topics.values():
            yield from topic.answers
            yield from filter(None, [topic.more, *(follow.answer for follow in topic.follow)])
        for fact in self.facts.values():
            yield from (fact.acknowledge, fact.corrected, fact.answer, fact.unknown)
        yield from (together.acknowledge for together in self.together)
        yield from (self.statements.acknowledge, self.statements.answer, self.statements.unknown)
        for kind in self.kinds.values():
            yield from (f"{opening} {ending}" for opening in kind.openings for ending in self.endings)
        yield from (self.more.nothing_more, self.more.nothing_before, self.unsure)


def _read(path: Path, table: type[Table]) -> Table:
    """Return a file as `table`; raise ValueError that names the file, and the place in it."""
    try:
        return msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), table)
    except (msgspec.ValidationError, tomllib.TOMLDecodeError) as error:
        raise ValueError(f"{path}: {error}") from None


def _read_values(path: Path) -> tuple[str, ...]:
    """Return the values of a file: separated by commas or line ends."""
    return tuple(value.strip() for value in re.split(r"[,\n]", path.read_text(encoding="utf-8")) if value.strip())


def read_synonyms(path: Path) -> dict[str, tuple[str, ...]]:
    """Return what may stand for each text: a line has texts that may stand for one another, separated by commas."""
    found: dict[str, tuple[str, ...]] = {}
    for line in lines(path.read_text(encoding="utf-8")):
        group = () if line.startswith("#") else tuple(text.strip() for text in line.split(","))
        for text in group:
            found[text] = (*found.get(text, ()), *(other for other in group if other != text))
    return found


def _read_around(path: Path) -> dict[str, tuple[Choice, ...]]:
    """Return what people say before and after a question."""
    found = read_file(path, {})
    if found.keys() != {"before", "after"}:
        raise ValueError(f"{path}: it has 'before' and 'after', and nothing else")
    return found


def _unsure(kind_files: Iterable[_KindFile], directory: Path) -> str:
    """Return what is said to an unclear message; one of the files has it."""
    for file in kind_files:
        if file.unsure:
            return file.unsure
    raise ValueError(f"{directory}: no file of off_ground has 'unsure'")


def _by_id(entries: Iterable[Entry], directory: Path) -> dict[str, Entry]:
    found: dict[str, Entry] = {}
    for entry in entries:
        if found.setdefault(entry.id, entry) is not entry:
            raise ValueError(f"{directory}: the id {entry.id!r} stands twice")
    return found


def _titled(topic: Topic) -> Topic:
    """Return the topic with its title before each answer."""
    title = f"{topic.title}: " if topic.title else ""
    return msgspec.structs.replace(topic, answers=tuple(title + answer for answer in topic.answers))


def _check_references(talk: Talk, directory: Path) -> None:
    """Raise ValueError for a topic or a file of values that is named and not there."""
    follows = [follow for topic in talk.topics.values() for follow in topic.follow]
    named = {follow.see for follow in follows if follow.see}
    named |= {name for correction in talk.topic_corrections for name in (correction.said, correction.wanted)}
    if missing := sorted(named - talk.topics.keys()):
        raise ValueError(f"{directory}: there is no topic {missing[0]!r}")
    if unclear := [follow.ask for follow in follows if bool(follow.see) == bool(follow.answer)]:
        raise ValueError(f"{directory}: a follow-up needs either 'see' or 'answer': {lines(unclear[0])[0]!r}")
    if astray := sorted(talk.patterns.keys() - talk.topics.keys() - talk.kinds.keys() - {STATEMENT}):
        raise ValueError(f"{directory}: patterns for {astray[0]!r}, which is neither a topic nor a kind")
    files = {file for fact in talk.facts.values() for file in (fact.values, fact.things) if file}
    if unknown := sorted(files - talk.values.keys()):
        raise ValueError(f"{directory}: there is no values/{unknown[0]}.txt")


def read_talk(directory: Path = CORPUS) -> Talk:
    """Read all files of the corpus; raises ValueError for what does not fit the format or names what is not there."""
    topic_files = [_read(path, _TopicFile) for path in sorted(directory.glob("topics/*.toml"))]
    kind_files = [_read(path, _KindFile) for path in sorted(directory.glob("off_ground/*.toml"))]
    facts = _read(directory / "facts.toml", _FactFile)
    corrections = _read(directory / "corrections.toml", _CorrectionFile)
    talk = Talk(
        topics=_by_id((_titled(topic) for file in topic_files for topic in file.topic), directory),
        facts=_by_id(facts.fact, directory),
        together=facts.together,
        statements=_read(directory / "statements.toml", StatementFile),
        kinds=_by_id((kind for file in kind_files for kind in file.kind), directory),
        endings=tuple(ending for file in kind_files for ending in file.endings),
        more=_read(directory / "follow_ups.toml", MoreFile),
        fact_corrections=lines(corrections.fact),
        topic_corrections=corrections.topic,
        conversations=_read(directory / "conversations.toml", _ConversationFile).conversation,
        values={path.stem: _read_values(path) for path in sorted(directory.glob("values/*.txt"))},
        kept_names=_read_values(directory / "values" / "kept_for_testing" / "names.txt"),
        patterns=read_patterns(directory / "patterns"),
        synonyms=read_synonyms(directory / "synonyms.txt"),
        around=_read_around(directory / "around.txt"),
        unsure=_unsure(kind_files, directory),
    )
    _check_references(talk, directory)
    return talk
