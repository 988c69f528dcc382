"""The corpus can be read, is whole, and holds nothing that the checks ask."""

import itertools
import random
from pathlib import Path

import pytest

from training.check_guide import forbidden_words, read_checks
from training.guide_conversations import Storyteller
from training.guide_corpus import read_corpus
from training.patterns import expand, slots
from training.phrasebook_corpus import LANGUAGES, is_held_out, read_phrasebook, slot_of
from training.phrasebook_pairs import PairMaker

NAMES = ("Anna", "Zoë")


def _plain(text: str) -> str:
    return "".join(letter for letter in text.casefold() if letter.isalnum() or letter == " ").strip()


def test_the_guide_talks_about_forty_topics_in_fifteen_phrasings_or_more() -> None:
    corpus = read_corpus()
    assert len(corpus.topics) >= 40
    assert [topic.id for topic in corpus.topics if len(topic.ask) < 15] == []


def test_the_guide_knows_two_hundred_things_that_are_off_its_ground() -> None:
    assert len({text for kind in read_corpus().off_topic for pattern in kind.ask for text in expand(pattern)}) >= 200


def test_every_slot_of_an_off_topic_question_has_fillings() -> None:
    for kind in read_corpus().off_topic:
        named = {name for pattern in kind.ask for name in slots(pattern)}
        assert named - {"n"} <= kind.slots.keys() | {"n"}
        assert "n" not in named or "n" in kind.slots


def test_no_question_leads_to_two_answers() -> None:
    corpus, seen = read_corpus(), {}
    for topic in corpus.topics:
        for text in itertools.chain.from_iterable(map(expand, topic.ask)):
            key = text.casefold().strip()
            assert seen.setdefault(key, topic.id) == topic.id, text


def test_held_out_questions_stand_nowhere_in_the_corpus() -> None:
    corpus = read_corpus()
    patterns = [p for entry in (*corpus.topics, *corpus.off_topic, *corpus.facts) for p in entry.ask]
    trained = {_plain(text) for pattern in patterns for text in expand(pattern)}
    asked = {_plain(question) for questions in read_checks().questions.values() for question in questions}
    assert asked & trained == set()


def test_held_out_names_are_never_told_in_training() -> None:
    storyteller = Storyteller(read_corpus(), random.Random(3), forbidden_words())
    told = set()
    for _ in range(500):
        storyteller.conversation(6)
        told |= {word.casefold() for value in storyteller.told.values() for word in value.replace("-", " ").split()}
    assert len(told) > 300
    assert told & forbidden_words() == set()


def test_every_held_out_question_belongs_to_a_topic() -> None:
    corpus = read_corpus()
    known = {topic.id for topic in corpus.topics} | {kind.id for kind in corpus.off_topic}
    assert read_checks().questions.keys() <= known


def test_a_topic_without_an_answer_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "broken.toml").write_text('[[topic]]\nid = "lonely"\nask = ["Why?"]\n', encoding="utf-8")
    with pytest.raises(ValueError, match="entry 'lonely' needs 'answer'"):
        read_corpus(tmp_path)


def test_every_phrase_stands_in_all_six_languages() -> None:
    phrasebook = read_phrasebook()
    for entry in (*phrasebook.entries, *phrasebook.frames, *phrasebook.trained, *phrasebook.held_out):
        assert tuple(entry) == LANGUAGES
        assert all(entry.values())


def test_every_frame_has_fillings_and_the_same_slots_in_all_languages() -> None:
    phrasebook = read_phrasebook()
    assert {slot_of(frame) for frame in phrasebook.frames} - {None} == phrasebook.fillings.keys()


def test_a_phrase_that_lacks_a_language_is_refused_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "short.txt").write_text("# words\nYes | Oui | Ja\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"short\.txt:2: an entry needs 6 texts"):
        read_phrasebook(tmp_path)


def test_held_out_fillings_stand_nowhere_in_training() -> None:
    phrasebook = read_phrasebook()
    trained = {text for entry in (*phrasebook.trained, *phrasebook.entries) for text in entry.items()}
    assert len(phrasebook.held_out) >= 10
    assert [entry["en"] for entry in phrasebook.held_out if ("en", entry["en"]) in trained] == []


def test_what_is_held_out_is_decided_by_its_text_alone() -> None:
    frame = {"en": "Where is <place>?"}
    assert is_held_out(frame, {"en": "the train station"})
    assert not is_held_out(frame, {"en": "the church"})


def test_a_held_out_sentence_that_is_also_a_phrase_is_trained() -> None:
    phrasebook = read_phrasebook()
    assert "Where is the train station?" in {entry["en"] for entry in phrasebook.entries}
    assert "Where is the train station?" not in {entry["en"] for entry in phrasebook.held_out}


def test_pairs_never_leave_a_slot_open() -> None:
    maker = PairMaker(read_phrasebook(), NAMES, random.Random(5))
    assert [pair for pair in (maker.pair() for _ in range(3000)) if "<" in pair[0] + pair[2]] == []


def test_a_name_is_the_same_on_both_sides() -> None:
    phrasebook = read_phrasebook()
    maker = PairMaker(phrasebook, NAMES, random.Random(5))
    frame = next(entry for entry in phrasebook.trained if entry["en"] == "My name is <name>.")
    for _ in range(50):
        source, _, target = maker.typed(frame)
        assert any(word.strip(".!?¡").casefold() in target.casefold() for word in source.split()[-1:])
