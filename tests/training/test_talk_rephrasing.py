"""Phrasings said in other words keep what they are about; unclear ones lose it; held-out ones stay out of training."""

import random
from pathlib import Path

import pytest

from training.talk_corpus import Talk, lines, read_talk
from training.talk_holdout import is_held_out, split
from training.talk_rephrasing import Rephrasing, read_synonyms


@pytest.fixture(scope="module")
def talk() -> Talk:
    return read_talk()


@pytest.fixture
def rephrasing(talk: Talk) -> Rephrasing:
    return Rephrasing(talk, random.Random(1))


def test_a_text_in_two_groups_has_the_synonyms_of_both(tmp_path: Path) -> None:
    (tmp_path / "synonyms.txt").write_text("# words\nget, obtain\nget, fetch, pull\n", encoding="utf-8")
    found = read_synonyms(tmp_path / "synonyms.txt")
    assert found["get"] == ("obtain", "fetch", "pull")
    assert found["pull"] == ("get", "fetch")


def test_words_are_replaced_by_synonyms_and_marks_stay(rephrasing: Rephrasing) -> None:
    said = {rephrasing.swapped("How do I revoke a key?") for _ in range(300)}
    assert {"How do I block a key?", "how can i revoke a key?"} <= said
    assert all(text.endswith("?") for text in said)


def test_what_is_left_out_says_little(rephrasing: Rephrasing) -> None:
    said = {rephrasing.shortened("how do I revoke a key") for _ in range(200)}
    assert len(said) > 3
    assert [text for text in said if "revoke" not in text] == []


def test_what_stands_around_a_question_leaves_it_whole(rephrasing: Rephrasing) -> None:
    said = {rephrasing.surrounded("what does it cost") for _ in range(300)}
    assert len(said) > 50
    assert [text for text in said if "what does it cost" not in text] == []


def test_an_unclear_question_has_lost_what_it_was_about(rephrasing: Rephrasing) -> None:
    unclear = rephrasing.unclear("how do I revoke a key")
    assert "revoke" not in unclear
    assert unclear.startswith("how do I ")


def test_held_out_phrasings_are_never_trained(talk: Talk) -> None:
    trained, held_out = split(talk)
    kept = {line for entry in (*trained.topics.values(), *trained.kinds.values()) for line in lines(entry.ask)}
    apart = {text for text, _ in (*held_out.questions, *held_out.off_ground)}
    assert len(apart) > 500
    assert apart & kept == set()
    assert all(map(is_held_out, apart))
