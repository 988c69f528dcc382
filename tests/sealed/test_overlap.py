"""What of the sealed set stands in a corpus: ids only."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.sealed.overlap import copied_ids, is_copy, sealed_texts, words_of
from training.sealed.sets import read_guide, read_phrasebook

QUESTION = "how do I put the server behind nginx"


@pytest.mark.parametrize(
    "copy",
    [
        QUESTION,
        "How do I put the server behind nginx?",
        "behind nginx: how do I put the server",
        "How do I put this server behind nginx?",
        "so how do I put the server behind nginx",
    ],
)
def test_a_copy_is_found_whatever_its_marks_and_one_other_word(copy: str) -> None:
    assert copied_ids([("a", QUESTION)], ["Good morning", copy]) == ["a"]


@pytest.mark.parametrize("other", ["How do I get TLS?", "how do I put the cat behind bars", "nginx", ""])
def test_another_question_is_no_copy(other: str) -> None:
    assert copied_ids([("a", QUESTION)], [other]) == []


def test_short_texts_are_copies_only_as_a_whole() -> None:
    assert copied_ids([("a", "thanks a lot"), ("b", "thanks")], ["Thanks!", "thanks a bunch"]) == ["b"]


texts = st.lists(st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=8).map(" ".join), max_size=6)


@given(texts, texts)
def test_looking_at_rare_words_only_misses_no_copy(sealed: list[str], corpus: list[str]) -> None:
    named = [(str(place), text) for place, text in enumerate(sealed)]
    found = [name for name, text in named if any(is_copy(words_of(text), words_of(other)) for other in corpus)]
    assert copied_ids(named, corpus) == found


def test_every_sealed_text_is_compared() -> None:
    guide, phrasebook = read_guide(), read_phrasebook()
    everything = list(sealed_texts(guide, phrasebook))
    turns = sum(len(each.turn) for each in guide.conversation)
    assert len(everything) == len(guide.question) + turns + len(phrasebook.phrase)
    assert copied_ids(everything, [text for _, text in everything]) == [name for name, _ in everything]
