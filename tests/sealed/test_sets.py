"""The shape of the sealed sets: how many, of what, each telling right from wrong.

Ids and numbers are compared here, no texts: a test that fails shows what it compares, and those who write the corpus
are not to see the sets.
"""

import re
from collections import Counter
from collections.abc import Hashable, Iterable
from itertools import permutations
from pathlib import Path

import msgspec
import pytest

from training.sealed.grading import contains
from training.sealed.sets import Expectation, read_guide, read_phrasebook
from training.sealed.translations import is_exact, keeps_marks, normalise

GUIDE = read_guide()
PHRASES = read_phrasebook().phrase
LANGUAGES = ("en", "fr", "de", "es", "it", "pt")

ALL_EXPECTATIONS: list[Expectation] = [
    *GUIDE.question,
    *(turn for conversation in GUIDE.conversation for turn in conversation.turn),
]


def repeated(named: Iterable[tuple[str, Hashable]]) -> list[str]:
    """Return the ids of what stands there a second time."""
    first: dict[Hashable, str] = {}
    return [name for name, what in named if first.setdefault(what, name) != name]


def test_there_are_enough_questions_of_each_ground() -> None:
    counts = Counter(question.ground for question in GUIDE.question)
    assert counts["about"] >= 200
    assert counts["small_talk"] >= 60
    assert counts["off"] >= 60
    assert counts.total() >= 320
    assert "memory" not in counts


def test_there_are_enough_conversations_of_three_to_seven_turns() -> None:
    assert len(GUIDE.conversation) >= 64
    assert all(3 <= len(conversation.turn) <= 7 for conversation in GUIDE.conversation)


def test_conversations_ask_for_what_was_told_and_leave_the_ground() -> None:
    grounds = Counter(turn.ground for conversation in GUIDE.conversation for turn in conversation.turn)
    assert grounds["memory"] >= 40
    assert grounds["off"] >= 10
    assert all(conversation.turn[0].ground != "memory" for conversation in GUIDE.conversation)


def test_no_id_is_used_twice() -> None:
    ids = [each.id for each in (*GUIDE.question, *GUIDE.conversation)]
    assert len(set(ids)) == len(ids)
    assert len({phrase.id for phrase in PHRASES}) == len(PHRASES)


def test_no_question_is_asked_twice() -> None:
    again = repeated((each.id, normalise(each.text).casefold()) for each in GUIDE.question)
    assert again == []


@pytest.mark.parametrize("useless", ["", "...", "zzz"])
def test_no_expectation_is_met_by_an_answer_that_says_nothing(useless: str) -> None:
    met = sum(contains(useless, each) for each in ALL_EXPECTATIONS if each.ground != "off")
    assert met == 0


def test_no_question_passes_by_being_echoed_unless_its_subject_is_its_answer() -> None:
    """An echo may hold the one word that is asked for, but not so often that echoing would be a strategy."""
    echoed = sum(each.ground == "about" and contains(each.text, each) for each in GUIDE.question)
    asked = len(GUIDE.question)
    assert echoed < 0.2 * asked


def test_patterns_are_written_in_lower_case_as_they_are_searched_in_lower_case() -> None:
    patterns = [p for each in ALL_EXPECTATIONS for p in (*each.must, *each.any, *each.must_not)]
    letters = [re.sub(r"\\.", "", pattern) for pattern in patterns]  # \W and its like are no letters
    in_capitals = sum(each != each.lower() for each in letters)
    assert in_capitals == 0


def test_there_are_enough_phrases_of_each_kind() -> None:
    counts = Counter(phrase.kind for phrase in PHRASES)
    assert counts["likely"] + counts["stretch"] >= 240
    assert counts["likely"] >= 120
    assert counts["outside"] >= 60


def test_phrases_go_in_all_directions() -> None:
    pairs = Counter((phrase.source, phrase.target) for phrase in PHRASES if phrase.kind != "outside")
    assert set(pairs) == set(permutations(LANGUAGES, 2))
    assert min(pairs.values()) >= 6


def test_no_text_stands_twice_in_one_direction() -> None:
    again = repeated((each.id, (each.source, each.target, normalise(each.text).casefold())) for each in PHRASES)
    assert again == []


def test_references_keep_placeholders_and_tags_and_are_exact_translations_of_themselves() -> None:
    for phrase in PHRASES:
        for reference in phrase.references:
            whole = keeps_marks(phrase.text, reference) and is_exact(reference, phrase.references)
            assert whole, phrase.id


HEAD = "[[question]]\nid = 'q'\ntext = 'x'\n"
TAIL = "[[conversation]]\nid = 'c'\nturn = []\n"


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ("ground = 'about'\n", "give must or any"),
        ("ground = 'about'\nmust_not = ['y']\n", "give must or any"),
        ("ground = 'off'\nany = ['y']\n", "no patterns"),
        ("ground = 'about'\nany = ['(']\n", "no regular expression"),
        ("ground = 'elsewhere'\nany = ['y']\n", "Invalid enum value 'elsewhere'"),
        ("ground = 'about'\nany = ['y']\nanswer = 'y'\n", "unknown field `answer`"),
    ],
)
def test_a_question_that_could_not_be_graded_is_refused(tmp_path: Path, fields: str, complaint: str) -> None:
    path = tmp_path / "guide.toml"
    path.write_text(HEAD + fields + TAIL)
    with pytest.raises(msgspec.ValidationError, match=complaint):
        read_guide(path)


@pytest.mark.parametrize("fields", ["kind = 'likely'\n", "kind = 'outside'\nreferences = ['y']\n"])
def test_a_phrase_has_references_unless_it_lies_outside(tmp_path: Path, fields: str) -> None:
    path = tmp_path / "phrasebook.toml"
    path.write_text("[[phrase]]\nid = 'p'\nsource = 'en'\ntarget = 'fr'\ntext = 'x'\n" + fields)
    with pytest.raises(msgspec.ValidationError, match="A phrase has references, a text outside has none"):
        read_phrasebook(path)
