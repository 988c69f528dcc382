"""The phrasebook's corpus is as large as it says, aligned, unambiguous, and keeps its sealed part to itself."""

import re
from collections import Counter

import pytest

from training.phrases_corpus import LANGUAGES, Phrase, Phrases, bare, words_in_prose, words_of
from training.phrases_frames import Forms, kind_of
from training.phrases_grammar import Noun

UNTOUCHED = re.compile(r"\{\w+\}|%[sd]|</?\w[^>]*>|https?://\S+|\[\w+\]|\d+")
INFORMAL = {
    "fr": r"tu|ton|ta|tes|toi|te",
    "de": r"du|dein|deine|deinen|deinem|deiner|dir|dich",
    "es": r"tú|tu|tus|ti|contigo",
    "it": r"tu|tuo|tua|tuoi|tue|te",
    "pt": r"tu|teu|tua|teus|tuas|ti",
}
AMONG_LOVERS = "I love you."


def _texts(corpus: Phrases) -> list[tuple[str, str]]:
    return [(code, text) for phrase in corpus.phrases() for code, text in phrase.texts.items()]


def _everything(corpus: Phrases) -> list[Phrase]:
    return [*corpus.phrases(), *corpus.trained, *corpus.held_out, *corpus.sealed]


def _some(corpus: Phrases) -> list[Phrase]:
    """Return all phrases and every ninth filled frame, some of each: how a frame is written shows in any filling."""
    return [*corpus.phrases(), *[*corpus.trained, *corpus.held_out, *corpus.sealed][::9]]


def test_there_are_a_thousand_texts_of_websites_and_six_hundred_of_every_day(corpus: Phrases) -> None:
    site = {phrase.texts["en"] for phrases in corpus.site.values() for phrase in phrases}
    everyday = {phrase.texts["en"] for phrases in corpus.everyday.values() for phrase in phrases}
    assert len(site) >= 1000
    assert len(everyday) >= 600
    assert site & everyday == set()


def test_the_frames_make_forty_thousand_sentences_to_train_on(corpus: Phrases) -> None:
    assert len({phrase.texts["en"] for phrase in corpus.trained}) >= 40_000


def test_sixty_frames_and_five_thousand_fillings_are_kept_out(corpus: Phrases) -> None:
    assert len(corpus.sealed_frames) >= 60
    assert len(corpus.held_out) >= 5_000


def test_every_phrase_stands_in_all_six_languages(corpus: Phrases) -> None:
    for phrase in _everything(corpus):
        assert tuple(phrase.texts) == LANGUAGES
        assert all(text.strip() == text != "" for text in phrase.texts.values())
        assert phrase.sources


def test_placeholders_tags_addresses_and_numbers_are_the_same_in_all_languages(corpus: Phrases) -> None:
    differ = [
        phrase.texts["en"]
        for phrase in _some(corpus)
        if len({tuple(sorted(UNTOUCHED.findall(text))) for text in phrase.texts.values()}) > 1
    ]
    assert differ == []


def test_many_phrases_have_something_that_must_come_through_untouched(corpus: Phrases) -> None:
    site = [phrase.texts["en"] for phrases in corpus.site.values() for phrase in phrases]
    assert len([text for text in site if UNTOUCHED.search(text)]) >= 150
    kinds = {re.sub(r"[\w/]+", "x", found) for text in site for found in UNTOUCHED.findall(text)}
    assert {"{x}", "%x", "<x>", "x"} <= kinds


def test_no_text_has_two_translations_whatever_its_case_and_final_mark(corpus: Phrases) -> None:
    """Not even in two languages: a model that is told the target alone can't know that `Hier` is French."""
    owners: dict[str, Phrase] = {}
    for phrase in _everything(corpus):
        for source in phrase.sources:
            owner = owners.setdefault(bare(phrase.texts[source]), phrase)
            assert owner is phrase, (phrase.texts, owner.texts, source)


def test_few_texts_are_only_translated_into(corpus: Phrases) -> None:
    into_only = [phrase for phrase in corpus.phrases() if len(phrase.sources) < len(LANGUAGES)]
    assert len(into_only) <= 20
    assert len([phrase for phrase in corpus.trained if len(phrase.sources) < len(LANGUAGES)]) <= 50


def test_every_phrase_is_one_sentence_because_the_server_translates_sentences(corpus: Phrases) -> None:
    assert [text for _, text in _texts(corpus) if re.search(r"[.!?] +[A-ZÀ-Ý¿¡]", text)] == []


def test_a_final_mark_stands_in_all_languages_or_in_none(corpus: Phrases) -> None:
    for phrase in _some(corpus):
        marks = {text[-1] if text[-1] in ".?!:" else "" for text in phrase.texts.values()}
        assert len(marks) == 1, phrase.texts


def test_french_elides_before_vowels(corpus: Phrases) -> None:
    """But for "yaourt" and "hamac", whose first sound is none, "oui", and what follows "puis-je"."""
    missed = re.compile(r"(?<!-)\b(?:de|que|je|ne|le|la|se) (?!oui|yaourt|hamac)[aeiouyhâàéèêëîïôöùû]", re.I)
    texts = (phrase.texts["fr"] for phrase in _everything(corpus))
    assert sorted({text for text in texts if missed.search(text)}) == []


def test_spanish_questions_and_exclamations_are_opened(corpus: Phrases) -> None:
    for phrase in _some(corpus):
        text = phrase.texts["es"]
        assert (text.count("¿"), text.count("¡")) == (text.count("?"), text.count("!")), text


def test_french_puts_a_space_before_high_marks_and_the_others_do_not(corpus: Phrases) -> None:
    for code, text in _texts(corpus):
        prose = UNTOUCHED.sub("x", text).replace("9:00", "")
        spaced, tight = re.findall(r" [?!;:]", prose), re.findall(r"\w[?!;]|[a-zé]:(?= |$)", prose)
        assert not (tight if code == "fr" else spaced), text


def test_people_are_addressed_formally_in_every_language(corpus: Phrases) -> None:
    for phrase in _some(corpus):
        for code, words in INFORMAL.items():
            informal = re.search(rf"\b({words})\b(?!-)", phrase.texts[code], re.IGNORECASE)
            assert not informal or phrase.texts["en"] == AMONG_LOVERS, phrase.texts[code]


def _singular(word: Noun | Forms) -> str:
    return word.singular if isinstance(word, Noun) else word.only or next(iter(word.forms.values()))


def test_the_fillings_of_a_slot_differ_in_every_language(corpus: Phrases) -> None:
    for slot, fillings in corpus.fillings.items():
        for code in LANGUAGES:
            counts = Counter(_singular(filling.words[code]).casefold() for filling in fillings)
            assert [text for text, count in counts.items() if count > 1] == [], (slot, code)


def test_every_slot_is_used_by_a_frame_that_is_trained(corpus: Phrases) -> None:
    assert {kind_of(slot) for frame in corpus.frames for slot in frame.slots()} == corpus.fillings.keys()


def test_the_rare_fillings_exist_and_are_trained_in_some_frames_but_not_in_all(corpus: Phrases) -> None:
    assert corpus.rare <= {filling.text for fillings in corpus.fillings.values() for filling in fillings}
    for word in ("hammock", "Venice", "mustard", "wash the car"):
        for part in (corpus.trained, corpus.held_out):
            assert any(word in phrase.texts["en"] for phrase in part)


def _skeleton(text: str) -> str:
    """Return the frame without what stands in its slots, so that near-copies look alike."""
    return re.sub(r"\[[^]]+\]", "#", text)


def test_no_sealed_frame_is_a_trained_one_with_other_slots(corpus: Phrases) -> None:
    trained = {_skeleton(frame.text) for frame in corpus.frames}
    assert [frame.text for frame in corpus.sealed_frames if _skeleton(frame.text) in trained] == []


def test_what_is_kept_out_stands_nowhere_in_training(corpus: Phrases) -> None:
    trained = {(code, bare(t)) for p in (*corpus.phrases(), *corpus.trained) for code, t in p.texts.items()}
    for phrase in (*corpus.held_out, *corpus.sealed):
        assert [code for code in phrase.sources if (code, bare(phrase.texts[code])) in trained] == []


@pytest.mark.parametrize("code", LANGUAGES)
def test_what_is_kept_out_is_made_of_words_that_training_shows(corpus: Phrases, code: str) -> None:
    known = corpus.vocabulary(code)
    kept_out = {word for phrase in (*corpus.held_out, *corpus.sealed) for word in words_in_prose(phrase.texts[code])}
    assert 1000 < len(known) < 4000
    assert kept_out - known == set()


def test_a_word_is_known_in_any_case_and_behind_an_apostrophe(corpus: Phrases) -> None:
    assert words_of("L'ÉCOLE est-elle à 10:30, {name} ?") == ["l", "école", "est", "elle", "à", "name"]
    assert {"école", "est", "elle"} <= corpus.vocabulary("fr")
    assert "zèbre" not in corpus.vocabulary("fr")


def test_a_filled_frame_says_which_frame_it_is(corpus: Phrases) -> None:
    assert {phrase.frame for phrase in corpus.sealed} == {frame.text for frame in corpus.sealed_frames}
    assert {phrase.frame for phrase in corpus.held_out} < {frame.text for frame in corpus.frames}


def test_what_is_held_out_is_decided_by_its_text_alone(corpus: Phrases) -> None:
    frame = next(frame for frame in corpus.frames if frame.text == "Where is [the place]?")
    kept = [f.text for f in corpus.fillings["place"] if corpus.is_held_out(frame, (f.text,))]
    assert kept == [text for text in kept if corpus.is_held_out(frame, (text,))]
    assert 0 < len(kept) < 10
    assert not corpus.is_held_out(frame, ())
