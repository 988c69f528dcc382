"""The tables: what is counted, and where."""

from typing import Any

from training.sealed.grading import Verdict
from training.sealed.report import Graded, Scored, guide_table, phrasebook_table

RIGHT, DECLINED, WRONG = Verdict.RIGHT, Verdict.DECLINED, Verdict.WRONG


def graded(verdict: Verdict, ground: str = "about", conversation: str | None = None, **fields: Any) -> Graded:
    group = "turns" if conversation else "questions"
    return Graded(
        group=group, id="x", ground=ground, text="?", answer="!", verdict=verdict, conversation=conversation, **fields
    )


def scored(**fields: Any) -> Scored:
    plain = {"id": "x", "kind": "likely", "pair": "en-fr", "text": "a", "translation": "b"}
    return Scored(**{**plain, "is_warned": False, "keeps_marks": True, **fields})


def test_answers_are_counted_by_ground_and_in_all() -> None:
    table = guide_table(
        [
            graded(RIGHT),
            graded(WRONG),
            graded(DECLINED),
            graded(RIGHT),
            graded(RIGHT, "off", points_to_a_bigger_model=True),
            graded(WRONG, "off"),
            graded(RIGHT, "memory", "a"),
            graded(RIGHT, "memory", "b"),
            graded(WRONG, "memory", "b"),
        ]
    )
    assert table.splitlines() == [
        "| asked | count | right | declined | confidently wrong |",
        "|---|---|---|---|---|",
        "| questions: about | 4 | 50.0% | 25.0% | 25.0% |",
        "| questions: off | 2 | 50.0% | 0.0% | 50.0% |",
        "| **questions** | 6 | 50.0% | 16.7% | 33.3% |",
        "| turns: memory | 3 | 66.7% | 0.0% | 33.3% |",
        "| **turns** | 3 | 66.7% | 0.0% | 33.3% |",
        "| **whole conversations** | 2 | 50.0% | | |",
        "",
        "Of 2 answers off its ground, 50.0% also say how to get a bigger model.",
    ]


def test_a_table_without_conversations_or_off_ground_says_none() -> None:
    table = guide_table([graded(RIGHT)])
    assert "| **whole conversations** | 0 | none | | |" in table
    assert "Of 0 answers off its ground, none also say" in table


def test_translations_are_counted_by_kind() -> None:
    table = phrasebook_table(
        [
            scored(is_exact=True, chrf=100.0),
            scored(is_exact=False, chrf=20.0, keeps_marks=False),
            scored(kind="stretch", is_exact=False, chrf=20.0, is_warned=True),
            scored(kind="stretch", is_exact=False, chrf=60.0),
            scored(kind="outside", is_warned=True),
            scored(kind="outside"),
        ]
    )
    assert table.splitlines() == [
        "| kind | count | exact | chrF | placeholders and tags kept | warned | far off, not warned |",
        "|---|---|---|---|---|---|---|",
        "| likely | 2 | 50.0% | 60.0 | 50.0% | 0.0% | 50.0% |",
        "| stretch | 2 | 0.0% | 40.0 | 100.0% | 50.0% | 0.0% |",
        "| outside | 2 |  |  | 100.0% | 50.0% | 50.0% |",
    ]


def test_an_exact_translation_is_never_far_off() -> None:
    assert not scored(is_exact=True, chrf=0.0).is_far_off
    assert scored(is_exact=False, chrf=39.9).is_far_off
    assert not scored(is_exact=False, chrf=40.0).is_far_off
