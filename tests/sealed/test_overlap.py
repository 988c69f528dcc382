"""What of the sealed sets stands in a corpus: ids and counts only. Nor may an assertion that fails show a text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.sealed import overlap
from training.sealed.overlap import (
    Overlap,
    copied_ids,
    is_copy,
    main,
    overlaps,
    phrase_texts,
    question_texts,
    table,
    turn_texts,
    words_of,
)
from training.sealed.sets import (
    Expectation,
    GuideSet,
    Phrase,
    PhrasebookSet,
    Question,
    SealedConversation,
    read_guide,
    read_phrasebook,
)

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


def sealed_counts() -> list[int]:
    """Return how many questions, turns and phrases there are."""
    guide, phrasebook = read_guide(), read_phrasebook()
    return [len(guide.question), sum(len(each.turn) for each in guide.conversation), len(phrasebook.phrase)]


def compared_with_themselves() -> list[Overlap]:
    guide, phrasebook = read_guide(), read_phrasebook()
    named = [list(question_texts(guide)), list(turn_texts(guide)), list(phrase_texts(phrasebook))]
    groups = dict(zip("abc", named, strict=True))
    return overlaps(groups, [text for each in named for _, text in each])


def test_every_sealed_text_is_compared() -> None:
    found = compared_with_themselves()
    assert [each.texts for each in found] == sealed_counts()
    assert [len(set(each.copied)) for each in found] == sealed_counts()


def test_groups_are_counted_each_by_itself() -> None:
    groups = {"questions": [("a", QUESTION), ("b", "Good morning")], "turns": [("c.1", "Thanks!")], "none": []}
    assert overlaps(groups, [QUESTION, "thanks"]) == [
        Overlap("questions", 2, ("a",)),
        Overlap("turns", 1, ("c.1",)),
        Overlap("none", 0, ()),
    ]


def test_the_table_has_a_row_a_group() -> None:
    assert table([Overlap("questions", 3, ("a", "b")), Overlap("turns", 1, ())]).splitlines() == [
        "| sealed | count | in the corpus, too |",
        "|---|---|---|",
        "| questions | 3 | 2 |",
        "| turns | 1 | 0 |",
    ]


def turn(text: str) -> Expectation:
    return Expectation(ground="off", text=text)


GUIDE = GuideSet(
    question=(Question(id="q1", ground="off", text=QUESTION), Question(id="q2", ground="off", text="Sing!")),
    conversation=(SealedConversation(id="c", turn=(turn("Why is the sky blue?"), turn("And the sea, why is it?"))),),
)
PHRASEBOOK = PhrasebookSet(phrase=(Phrase(id="p", kind="outside", source="fr", target="de", text="Il pleut."),))
TABLE = [
    "| sealed | count | in the corpus, too |",
    "|---|---|---|",
    "| guide questions | 2 | 1 |",
    "| guide turns | 2 | 1 |",
    "| phrasebook phrases | 1 | 0 |",
]


@pytest.fixture
def small_sets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put sets and corpora of a few texts in place of the real ones."""
    monkeypatch.setattr(overlap, "read_guide", lambda: GUIDE)
    monkeypatch.setattr(overlap, "read_phrasebook", lambda: PHRASEBOOK)
    monkeypatch.setattr(overlap, "read_talk", lambda: [QUESTION, "and why is the sea it"])
    monkeypatch.setattr(overlap, "read_corpus", lambda: ["Il neige."])
    monkeypatch.setattr(overlap, "talk_texts", iter)
    monkeypatch.setattr(overlap, "phrases_texts", iter)


@pytest.mark.usefixtures("small_sets")
def test_the_command_prints_counts_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    main([])
    assert capsys.readouterr().out.splitlines() == TABLE


@pytest.mark.usefixtures("small_sets")
def test_with_ids_the_command_prints_these_too_and_no_text(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--ids"])
    ids = ["guide questions: q1", "guide turns: c.2", "phrasebook phrases: none"]
    assert capsys.readouterr().out.splitlines() == [*TABLE, "", *ids]


def test_no_text_of_the_real_sets_is_printed_though_all_be_copied(
    small_sets: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    guide, phrasebook = read_guide(), read_phrasebook()
    named = [*question_texts(guide), *turn_texts(guide), *phrase_texts(phrasebook)]
    monkeypatch.setattr(overlap, "read_guide", lambda: guide)
    monkeypatch.setattr(overlap, "read_phrasebook", lambda: phrasebook)
    monkeypatch.setattr(overlap, "read_talk", lambda: [text for _, text in named])
    monkeypatch.setattr(overlap, "read_corpus", lambda: [text for _, text in named])
    main(["--ids"])
    printed = capsys.readouterr().out
    shown = [name for name, text in named if " " in text and text.casefold() in printed.casefold()]
    assert shown == []
    words = set(printed.split())
    missing = [name for name, _ in named if name not in words]
    assert missing == []
