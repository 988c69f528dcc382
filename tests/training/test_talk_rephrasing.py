"""Phrasings said in other words keep what they are about; unclear ones lose it; held-out ones stay out of training."""

import random
import shutil
from pathlib import Path

import msgspec
import pytest

from training.talk_corpus import CORPUS, Talk, bare, lines, read_synonyms, read_talk
from training.talk_holdout import is_held_out, split
from training.talk_rephrasing import Rephrasing


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


def test_a_long_text_is_replaced_by_synonyms_too(rephrasing: Rephrasing) -> None:
    said = {rephrasing.swapped("is there a way to see it") for _ in range(300)}
    assert {"can i see it", "is it possible to see it"} <= said


def test_another_directory_has_its_own_synonyms_and_surroundings(tmp_path: Path) -> None:
    shutil.copytree(CORPUS, tmp_path / "talk")
    (tmp_path / "talk" / "synonyms.txt").write_text("key, clef\n", encoding="utf-8")
    (tmp_path / "talk" / "around.txt").write_text("before\n  alors,\nafter\n  , merci\n", encoding="utf-8")
    rephrasing = Rephrasing(read_talk(tmp_path / "talk"), random.Random(1))
    assert {rephrasing.swapped("revoke a key") for _ in range(100)} == {"revoke a key", "revoke a clef"}
    said = {rephrasing.surrounded("what is a key") for _ in range(100)}
    assert said == {"what is a key", "alors, what is a key", "what is a key, merci"}


def test_surroundings_in_other_places_are_refused(tmp_path: Path) -> None:
    shutil.copytree(CORPUS, tmp_path / "talk")
    (tmp_path / "talk" / "around.txt").write_text("before\n  well,\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"around\.txt: it has 'before' and 'after'"):
        read_talk(tmp_path / "talk")


@pytest.mark.parametrize(
    ("text", "kept"),
    [("how do I make sushi", "sushi"), ("how big is Peru", "Peru"), ("is the model unsafe", "unsafe")],
)
def test_words_that_no_topic_uses_are_not_left_out(rephrasing: Rephrasing, text: str, kept: str) -> None:
    said = {rephrasing.shortened(text) for _ in range(200)}
    assert len(said) > 1
    assert [text for text in said if kept not in text.split(" ")] == []


@pytest.mark.parametrize(
    "negation", ["not", "no", "never", "without", "nothing", "can't", "doesn't", "isn't", "won\u2019t", "dont", "No,"]
)
def test_negations_are_not_left_out(rephrasing: Rephrasing, monkeypatch: pytest.MonkeyPatch, negation: str) -> None:
    monkeypatch.setattr(Rephrasing, "_says_little", lambda *_: True)
    said = {rephrasing.shortened(f"my key does {negation} work here") for _ in range(200)}
    assert len(said) > 5
    assert [text for text in said if negation not in text.split(" ")] == []


def test_negations_say_little_so_that_the_exemption_matters(rephrasing: Rephrasing) -> None:
    assert all(map(rephrasing._says_little, ("not", "no", "never", "without", "can't", "doesn't", "isn't")))


def test_what_is_left_out_says_little(rephrasing: Rephrasing) -> None:
    said = {rephrasing.shortened("how do I revoke a key") for _ in range(200)}
    assert len(said) > 3
    assert [text for text in said if "revoke" not in text] == []


def test_what_stands_around_a_question_leaves_it_whole(rephrasing: Rephrasing) -> None:
    said = {rephrasing.surrounded("what does it cost") for _ in range(2000)}
    assert len(said) > 50
    assert [text for text in said if "what does it cost" not in text] == []
    assert {"dear guide, what does it cost", "what does it cost, please explain"} <= said


def test_a_text_of_mere_marks_keeps_them(rephrasing: Rephrasing) -> None:
    assert [text for text in {rephrasing.surrounded("???") for _ in range(300)} if "???" not in text] == []


def test_an_unclear_question_has_lost_what_it_was_about(rephrasing: Rephrasing) -> None:
    unclear = rephrasing.unclear("how do I revoke a key")
    assert "revoke" not in unclear
    assert unclear.startswith("how do I ")
    assert "quotas" not in rephrasing.unclear("what are the quotas")


def test_held_out_phrasings_are_never_trained(talk: Talk) -> None:
    trained, held_out = split(talk)
    asks = [entry.ask for entry in (*trained.topics.values(), *trained.kinds.values())]
    asks += [follow.ask for topic in trained.topics.values() for follow in topic.follow]
    kept = {line for ask in asks for line in lines(ask)}
    kept |= {line[2:] for script in trained.conversations for line in lines(script.turns) if line.startswith("> ")}
    apart = {text for text, _ in (*held_out.questions, *held_out.off_ground)}
    assert len(apart) > 500
    assert held_out.texts() == set(map(bare, apart))
    assert held_out.texts() & set(map(bare, kept)) == set()
    assert len(trained.conversations) > 0.9 * len(talk.conversations)
    assert all(map(is_held_out, apart))


def test_what_would_have_no_phrasing_left_trains_with_all_of_them(talk: Talk) -> None:
    apart = next(line for topic in talk.topics.values() for line in lines(topic.ask) if is_held_out(line))
    kind = msgspec.structs.replace(talk.kinds["maths"], ask=apart)
    trained, held_out = split(msgspec.structs.replace(talk, topics={}, kinds={"maths": kind}))
    assert trained.kinds["maths"].ask == apart
    assert held_out.texts() == set()
