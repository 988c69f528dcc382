"""Pairs of the new phrasebook: every direction, copied things alike on both sides, nothing that is kept out."""

import random
import re
from collections import Counter

import pytest

from training.phrasebook_masks import make_lexicon
from training.phrases_corpus import LANGUAGES, Phrase, Phrases, bare
from training.phrases_grammar import plain
from training.phrases_pairs import Pair, PairMaker, varied, without_accents

NAMES = ("Anna", "Zoë")
COPIED = re.compile(r"\{\w+\}|%[sd]|</?\w[^>]*>|https?://[^\s<]+[\w/]|[\w.]+@[\w.]+\w|\d[\d:]*")


@pytest.fixture(scope="module")
def maker(corpus: Phrases) -> PairMaker:
    return PairMaker(corpus, NAMES, random.Random(7))


@pytest.fixture(scope="module")
def pairs(maker: PairMaker) -> list[Pair]:
    return [maker.pair() for _ in range(8000)]


def test_pairs_go_into_every_language_and_never_leave_a_slot_open(pairs: list[Pair]) -> None:
    assert {language for _, language, _, _ in pairs} == set(LANGUAGES)
    assert [pair for pair in pairs if re.search(r"\[\w+\]", pair[0] + pair[2])] == []


def test_what_is_to_come_through_untouched_is_the_same_on_both_sides(pairs: list[Pair]) -> None:
    for source, _, target, _ in pairs:
        assert Counter(COPIED.findall(source)) == Counter(COPIED.findall(target)), (source, target)


def test_placeholders_vary_so_that_copying_is_learnt(pairs: list[Pair]) -> None:
    seen = {found for source, _, _, _ in pairs for found in COPIED.findall(source)}
    assert {"{userName}", "{total_count}", "<em>", "</strong>", "%d", "%s"} <= seen
    assert len({found for found in seen if found.startswith("http")}) > 30


def test_two_placeholders_of_a_text_never_become_one(maker: PairMaker) -> None:
    phrase = Phrase(dict.fromkeys(LANGUAGES, "The value must be between {min} and {max}."))
    for _ in range(100):
        source, _, target, _ = maker.typed(phrase)
        assert len(set(COPIED.findall(target))) == 2, source


def test_a_sentence_is_also_written_small_in_capitals_and_without_its_mark(maker: PairMaker) -> None:
    phrase = Phrase(dict.fromkeys(LANGUAGES, "Öffnen Sie die Datei {name}, bitte."))
    sources = {re.sub(r"\{\w+\}", "{}", maker.typed(phrase)[0]) for _ in range(2000)}
    assert {
        *("Öffnen Sie die Datei {}, bitte.", "öffnen sie die datei {}, bitte.", "ÖFFNEN SIE DIE DATEI {}, BITTE."),
        *("Öffnen Sie die Datei {}, bitte", "Offnen Sie die Datei {}, bitte."),
    } <= sources


def test_english_is_also_written_with_its_other_spellings(maker: PairMaker) -> None:
    phrase = Phrase({**dict.fromkeys(LANGUAGES, "Ich"), "en": "I would like an email to {email}."}, ("en",))
    sources = {re.sub(r"\{\w+\}", "{}", maker.typed(phrase)[0]) for _ in range(500)}
    assert {"I would like an email to {}.", "I'd like an e-mail to {}.", "i'd like an e-mail to {}"} <= sources
    assert maker.respelt("IT IS WHAT IT IS: A COLOURFUL COLOUR") == "It's WHAT It's: A COLOURFUL Color"


def test_no_other_spelling_is_a_text_with_another_translation(corpus: Phrases, maker: PairMaker) -> None:
    everything = [*corpus.phrases(), *corpus.trained]
    owners = {bare(phrase.texts[code]): phrase for phrase in everything for code in phrase.sources}
    respelt = [(bare(maker.respelt(phrase.texts["en"])), phrase) for phrase in everything if "en" in phrase.sources]
    assert [text for text, phrase in respelt if owners.get(text, phrase) is not phrase] == []


def test_an_amount_keeps_its_currency(corpus: Phrases, maker: PairMaker) -> None:
    phrase = next(phrase for phrase in corpus.trained if phrase.texts["en"] == "It costs [amount].")
    lexicon = make_lexicon(corpus, NAMES)
    for _ in range(200):
        pair = maker.typed(phrase)
        (amount,) = lexicon.mask(pair.source, pair.source_language).kept.values()
        assert re.search(r"[€$£]|eur|usd", amount, re.I), pair
        assert amount in pair.target or amount.upper() in pair.target, pair


def test_a_full_stop_is_taken_from_both_sides_and_a_question_mark_from_the_source_alone(maker: PairMaker) -> None:
    statement = Phrase(dict.fromkeys(LANGUAGES, "Der Hund bellt."))
    assert {(s[-1] == ".") == (t[-1] == ".") for s, _, t, _ in (maker.typed(statement) for _ in range(200))} == {True}
    question = Phrase(dict.fromkeys(LANGUAGES, "¿Dónde está?"))
    asked = {
        (source.strip("¿?") == source, target) for source, _, target, _ in (maker.typed(question) for _ in range(200))
    }
    assert asked == {(True, "¿Dónde está?"), (False, "¿Dónde está?")}


def test_accents_stay_where_two_texts_differ_by_nothing_else(corpus: Phrases, maker: PairMaker) -> None:
    push, search = (next(p for p in corpus.phrases() if p.texts["en"] == text) for text in ("Push", "Advanced search"))
    typed = [
        {bare(maker.typed(Phrase(p.texts, (code,)))[0]) for _ in range(300)}
        for p, code in ((push, "de"), (search, "fr"))
    ]
    assert typed[0] == {"drücken"}
    assert typed[1] == {"recherche avancée", "recherche avancee"}


def test_nothing_that_is_kept_out_is_trained(corpus: Phrases, pairs: list[Pair]) -> None:
    kept = {plain(bare(p.texts[code])) for p in (*corpus.held_out, *corpus.sealed) for code in p.sources}
    assert [source for source, _, _, _ in pairs if plain(bare(source)) in kept] == []


def test_a_text_that_is_only_translated_into_is_never_a_source(maker: PairMaker) -> None:
    phrase = Phrase({**dict.fromkeys(LANGUAGES, "A"), "en": "B"}, ("en",))
    assert {bare(maker.typed(phrase)[0]) for _ in range(100)} == {"b"}


def test_only_prose_is_changed() -> None:
    text = 'Hi [name], see <a href="{url}">Page</a> %s at https://Example.com/A'
    assert varied(text, str.upper) == 'HI [name], SEE <a href="{url}">PAGE</a> %s AT https://Example.com/A'
    assert without_accents("Ça été Straße Œuvre") == "Ca ete Straße Œuvre"
