"""The phrasebook's corpus can be read and is whole."""

import random
from pathlib import Path

import pytest

from training.phrasebook_corpus import LANGUAGES, is_held_out, read_phrasebook, slot_of
from training.phrasebook_pairs import PairMaker

NAMES = ("Anna", "Zoë")


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
