"""The guide's broad corpus is as large as it says, varied, unambiguous, and refuses what does not fit its format."""

import itertools
import math
import re
import shutil
from collections import Counter
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from training.check_guide import forbidden_words, read_checks
from training.talk_corpus import CORPUS, Talk, bare, lines, read_talk
from training.talk_dialogue import SLOT

ROOT = Path(__file__).parents[2]
TOKENIZER = ROOT / "inference" / "bundled" / "aister-guide" / "tokenizer.json"
MOST_SHARED = 0.8
MOST_CHARACTERS, MOST_SENTENCES, MOST_TOKENS = 240, 3, 100


@pytest.fixture(scope="module")
def talk() -> Talk:
    return read_talk()


def words_in_order(first: list[str], second: list[str]) -> int:
    """Return the length of the longest common subsequence."""
    row = [0] * (len(second) + 1)
    for word in first:
        before = 0
        for place, other in enumerate(second, 1):
            before, row[place] = row[place], before + 1 if word == other else max(row[place], row[place - 1])
    return row[-1]


def near_copies(asked: str) -> list[tuple[str, str]]:
    """Return the pairs of phrasings that share more than MOST_SHARED of the words of the longer one, in order."""
    split = [(line, bare(line).split()) for line in lines(asked)]
    return [
        (one, other)
        for (one, a), (other, b) in itertools.combinations(split, 2)
        if min(len(a), len(b)) > MOST_SHARED * max(len(a), len(b))
        and words_in_order(a, b) > MOST_SHARED * max(len(a), len(b))
    ]


def test_there_are_a_hundred_and_fifty_topics(talk: Talk) -> None:
    assert len(talk.topics) >= 150


def test_the_counts_in_the_readme_are_true_within_a_tenth(talk: Talk) -> None:
    topics = talk.topics.values()
    counts = {
        "topics": len(topics),
        "phrasings": sum(len(lines(topic.ask)) for topic in topics) / len(topics),
        "follow-ups": sum(len(topic.follow) for topic in topics),
        "things off": sum(len(lines(kind.ask)) for kind in talk.kinds.values()),
        "patterns": sum(map(len, talk.patterns.values())),
        "statements": len(talk.statements.statement),
    }
    readme = " ".join((ROOT / "training" / "README.md").read_text(encoding="utf-8").split())
    told = {name: [int(count.replace(",", "")) for count in re.findall(rf"([\d,]+) {name}", readme)] for name in counts}
    assert told == {name: [pytest.approx(count, rel=0.1)] for name, count in counts.items()}


def test_each_topic_has_forty_phrasings_that_differ_in_more_than_case_and_marks(talk: Talk) -> None:
    counts = {topic.id: len({bare(line) for line in lines(topic.ask)}) for topic in talk.topics.values()}
    assert {name: count for name, count in counts.items() if count < 40} == {}


def test_no_two_phrasings_of_a_topic_are_nearly_the_same(talk: Talk) -> None:
    entries = (*talk.topics.values(), *talk.kinds.values())
    assert [(entry.id, *pair) for entry in entries for pair in near_copies(entry.ask)] == []


def test_a_near_copy_is_found() -> None:
    asked = "how do I get a key for my app\nhow do I get a key for our app\nwhere is my key"
    assert near_copies(asked) == [("how do I get a key for my app", "how do I get a key for our app")]


def test_no_phrasing_leads_to_two_answers(talk: Talk) -> None:
    owners: dict[str, str] = {}
    asked = [(entry.id, entry.ask) for entry in (*talk.topics.values(), *talk.kinds.values())]
    asked += [(f"fact {fact.id}", fact.ask) for fact in talk.facts.values()] + [("more", talk.more.more)]
    asked += [(statement.ask, statement.ask) for statement in talk.statements.statement]
    for name, line in ((name, line) for name, ask in asked for line in lines(ask)):
        assert owners.setdefault(bare(line), name) == name, line


def test_no_fact_is_told_or_asked_for_twice_in_the_same_words(talk: Talk) -> None:
    for fact in talk.facts.values():
        for text in (fact.ask, fact.tell):
            assert len({bare(line) for line in lines(text)}) == len(lines(text)) >= 12, fact.id


def test_a_follow_up_is_no_question_of_another_topic(talk: Talk) -> None:
    owners = {bare(line): topic.id for topic in talk.topics.values() for line in lines(topic.ask)}
    for topic in talk.topics.values():
        for follow in topic.follow:
            for line in lines(follow.ask):
                assert owners.get(bare(line), follow.see or None) == (follow.see or None), line


def test_a_topic_has_no_two_follow_ups_in_the_same_words(talk: Talk) -> None:
    for topic in talk.topics.values():
        asked = [bare(line) for follow in topic.follow for line in lines(follow.ask)]
        asked += [bare(line) for one in talk.topic_corrections if one.said == topic.id for line in lines(one.ask)]
        assert len(set(asked)) == len(asked), topic.id


def test_no_two_titles_begin_with_the_same_word(talk: Talk) -> None:
    first = Counter(bare(topic.title).split()[0] for topic in talk.topics.values() if topic.title)
    assert first
    assert [word for word, count in first.items() if count > 1] == []


def test_a_thousand_things_are_off_its_ground(talk: Talk) -> None:
    asked = [bare(line) for kind in talk.kinds.values() for line in lines(kind.ask)]
    assert len(talk.kinds) >= 20
    assert len(set(asked)) == len(asked) >= 1_200


def test_every_answer_off_its_ground_says_what_it_is_what_it_knows_and_how_to_get_a_bigger_model(talk: Talk) -> None:
    for kind in talk.kinds.values():
        said = {talk.off_ground_answer(kind, nth) for nth in range(60)}
        assert len(said) == math.lcm(len(kind.openings), len(talk.endings)) >= 6
        for text in said:
            for part in ("small demonstration model", "Aister", "AISTER_CHAT_MODEL", "bigger model"):
                assert part in text, text


def test_answers_are_short(talk: Talk) -> None:
    tokenizer = Tokenizer.from_file(str(TOKENIZER))
    for text in talk.answers():
        assert len(text) <= MOST_CHARACTERS, text
        assert len(re.findall(r"[.!?](?= |$)", text)) <= MOST_SENTENCES, text
        assert len(tokenizer.encode(text).ids) <= MOST_TOKENS, text


def test_every_value_told_comes_back_in_the_answer(talk: Talk) -> None:
    for fact in talk.facts.values():
        for text in (*lines(fact.tell), fact.acknowledge, fact.corrected, fact.answer):
            assert text.count("{value}") == 1, text
        for text in (*lines(fact.tell), *lines(fact.ask), fact.answer, fact.unknown):
            assert text.count("{thing}") == bool(fact.things), text
        assert "{value}" not in fact.unknown + fact.ask


def test_a_statement_is_told_with_the_same_slots_however_it_is_told(talk: Talk) -> None:
    for statement in talk.statements.statement:
        slots = [set(SLOT.findall(line)) for line in lines(statement.tell)]
        assert all(each == slots[0] for each in slots), statement.tell
        assert {name for name, _ in slots[0]} <= talk.facts.keys() | {"word"}
        assert {name for name, _ in SLOT.findall(statement.ask)} <= {"word"}


def test_no_question_for_a_statement_fits_two_of_them(talk: Talk) -> None:
    asked = [bare(line) for statement in talk.statements.statement for line in lines(statement.ask)]
    told = [bare(line) for statement in talk.statements.statement for line in lines(statement.tell)]
    assert len(talk.statements.statement) >= 300
    assert len(set(asked)) == len(asked)
    assert len(set(told)) == len(told)


def test_facts_told_together_are_known_facts(talk: Talk) -> None:
    for together in talk.together:
        for line in lines(together.tell):
            named = re.findall(r"\{(\w+)\}", line)
            assert len(named) == len(set(named)) >= 2
            assert set(named) <= talk.facts.keys()
            assert set(re.findall(r"\{(\w+)\}", together.acknowledge)) <= set(named)


def test_there_are_six_hundred_names_and_a_quarter_of_them_are_not_plain_ascii(talk: Talk) -> None:
    names = talk.values["names"]
    assert len(set(names)) == len(names) >= 600
    assert len([name for name in names if not name.isascii()]) >= 150


def test_names_kept_for_testing_share_no_word_with_those_of_training(talk: Talk) -> None:
    def words(names: tuple[str, ...]) -> set[str]:
        return {word for name in names for word in name.casefold().replace("-", " ").split()}

    assert len(talk.kept_names) >= 80
    values = tuple(value for name, values in talk.values.items() for value in values)
    assert words(talk.kept_names) & words(values) == set()


def test_questions_of_the_checks_stand_nowhere_in_the_corpus(talk: Talk) -> None:
    entries = (*talk.topics.values(), *talk.kinds.values(), *talk.facts.values())
    trained = {bare(line) for entry in entries for line in lines(entry.ask)}
    asked = {bare(question) for questions in read_checks().questions.values() for question in questions}
    assert asked & trained == set()
    assert forbidden_words()


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        (
            "topics/about.toml",
            'id = "what-is-aister"',
            'name = "what"',
            "missing required field `id`|unknown field `name`",
        ),
        ("topics/about.toml", 'id = "how-it-works"', 'id = "what-is-aister"', "the id 'what-is-aister' stands twice"),
        ("topics/about.toml", 'see = "install"', 'see = "installing"', "there is no topic 'installing'"),
        ("topics/about.toml", 'see = "install"', 'see = "install"\nanswer = "Yes."', "needs either 'see' or 'answer'"),
        ("corrections.toml", 'wanted = "get-key"', 'wanted = "got-key"', "there is no topic 'got-key'"),
        ("facts.toml", 'values = "jobs"', 'values = "trades"', r"there is no values/trades\.txt"),
        ("facts.toml", "[[fact]]", "[[fact]", r"facts\.toml: "),
    ],
)
def test_what_does_not_fit_the_format_is_refused(tmp_path: Path, file: str, old: str, new: str, message: str) -> None:
    shutil.copytree(CORPUS, tmp_path / "talk")
    path = tmp_path / "talk" / file
    path.write_text(path.read_text(encoding="utf-8").replace(old, new, 1), encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        read_talk(tmp_path / "talk")
