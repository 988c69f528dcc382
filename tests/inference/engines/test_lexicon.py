"""What a model with a lexicon is not to touch goes through it as marks; what it does not know is told."""

import math
import time
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.engines.lexicon import FILE, Lexicon, read_lexicon

A, B, C = "\ue000\ue001\ue002"
ONE, TWO = "\ue010\ue011"
KNOWN = Lexicon(
    words={
        "en": ["hello", "my", "name", "is", "and", "from", "to", "costs", "euros", "click", "here", "see", "will", "s"],
        "fr": ["bonjour", "école", "est", "mon", "nom"],
        "de": ["das", "ist", "der", "mein", "freund", "für", "und", "heiße", "ich", "straße"],
    },
    names=["Anna", "Zoë"],
    before_nouns={"de": ["der", "das"]},
    marks=A + B + C,
    number_marks=ONE + TWO,
)


@pytest.mark.parametrize(
    ("text", "masked", "kept"),
    [
        ("Hello {name}, see https://a.org/b?c=1.", f"Hello {A}, see {B}.", ["{name}", "https://a.org/b?c=1"]),
        ("Click <a href='x y'>here</a>", f"Click {A}here{B}", ["<a href='x y'>", "</a>"]),
        ("See %s and %(name)s", f"See {A} and {B}", ["%s", "%(name)s"]),
        ("See {{ user.name }} and ${x}", f"See {A} and {B}", ["{{ user.name }}", "${x}"]),
        ("See a.b+c@d-e.co.uk.", f"See {A}.", ["a.b+c@d-e.co.uk"]),
        ("From 9:30 to 12.5", f"From {ONE} to {TWO}", ["9:30", "12.5"]),
        ("My name is Jean-Luc Picard.", f"My name is {A}.", ["Jean-Luc Picard"]),
        ("See K7-X2 and B12", f"See {A} and {B}", ["K7-X2", "B12"]),
        ("Hello \ue001 and \ue010", f"Hello {A} and {B}", ["\ue001", "\ue010"]),
        ("MY NAME IS ANNA", f"MY NAME IS {A}", ["ANNA"]),
        ("Costs €20 and 5.99 €", f"Costs {ONE} and {TWO}", ["€20", "5.99 €"]),
        ("Costs 20\u202fEUR and CHF 5", f"Costs {ONE} and {TWO}", ["20\u202fEUR", "CHF 5"]),
        ("Costs 20 EUROS", f"Costs {ONE} EUROS", ["20"]),
        ("Costs 5%, ${x}", f"Costs {ONE}%, {A}", ["${x}", "5"]),
        ("Hello", "Hello", []),
    ],
)
def test_what_is_to_stay_becomes_marks_and_comes_back(text: str, masked: str, kept: list[str]) -> None:
    found = KNOWN.mask(text, "en")
    assert (found.text, sorted(found.kept.values())) == (masked, sorted(kept))
    assert found.restore(found.text) == text
    assert found.lost(found.text) == ()


def test_words_are_known_whatever_their_case_and_accents() -> None:
    assert KNOWN.mask("MON ECOLE, mon École", "fr").kept == {}
    assert KNOWN.mask("STRASSE FUR", "de").kept == {}


def test_what_is_beyond_the_marks_stays_in_the_text_and_is_told() -> None:
    found = KNOWN.mask("1 2 3 {a} {b} {c} {d}", "en")
    assert found.text == f"{ONE} {TWO} 3 {A} {B} {C} {{d}}"
    assert found.unknown == ("3", "{d}")


@pytest.mark.parametrize(
    ("text", "language", "unknown"),
    [
        ("My yak is from Tibet and Peru", "en", ("yak",)),
        ("Yak is my name", "en", ("Yak",)),
        ("Anna is my name", "en", ()),
        ("zoe and ZOË", "en", ()),
        ("HELLO ZEBU", "en", ("ZEBU",)),
        ("My name is Ravindra Zoltan", "en", ()),
        ("Ich heiße Ravindra", "de", ()),
        ("Das ist der Waschbär und das Gnu", "de", ("Waschbär", "Gnu")),
        ("yak, yak", "en", ("yak",)),
        ("Hello 日本語", "en", ("日本語",)),
        ("Hello {yak} https://yak.org <yak>", "en", ()),
    ],
)
def test_words_that_are_neither_known_nor_names_are_told(text: str, language: str, unknown: tuple[str, ...]) -> None:
    assert KNOWN.mask(text, language).unknown == unknown


@pytest.mark.parametrize(
    ("text", "language", "unknown"),
    [
        ("Ravindra is here", "en", ()),
        ("ravindra is here", "en", ("ravindra",)),
        ("Freeze my name", "en", ("Freeze",)),
        ("Freeze", "en", ("Freeze",)),
        ("Freeze, is my name here", "en", ("Freeze",)),
        ("RAVINDRA IS HERE", "en", ("RAVINDRA",)),
        ("Voyagez à ici", "fr", ("Voyagez", "ici")),
        ("Ravindra a mon nom", "fr", ()),
        ("Ravindra ist mein Freund", "de", ("Ravindra",)),
    ],
)
def test_a_name_opens_a_sentence_only_before_a_word_that_follows_names(
    text: str, language: str, unknown: tuple[str, ...]
) -> None:
    words = KNOWN.words | {"fr": [*KNOWN.words["fr"], "a", "à"]}
    lexicon = msgspec.structs.replace(KNOWN, words=words, after_names={"en": ["is"], "fr": ["a"]})
    assert lexicon.mask(text, language).unknown == unknown


@pytest.mark.parametrize(
    ("text", "translation", "language", "made_up"),
    [
        ("Hello", "Bonjour, bonjourette.", "fr", ("bonjourette",)),
        ("Hello", "BONJOUR, Ecole", "fr", ()),
        ("Hello", "Das ist der Freundling", "de", ("Freundling",)),
        ("Hello", "Freund-Straße, Straßen-Freund", "de", ("Straßen",)),
        ("Hello", "l'école d'est", "fr", ("l", "d")),
        ("Hello my name", "yak, Yak, yak, gnu", "fr", ("yak", "Yak", "gnu")),
        ("Hello my name", "HELLO mon nom", "fr", ()),
        ("Hello {name}, see Zoltan 12", f"Bonjour {A}, {B} {ONE}", "fr", ()),
        ("Hello {name}", f"Bonjour {A} {C} <yak> {{gnu}} https://yak.org 7", "fr", ()),
        ("Hello {a} {b} {c} Zoltan", f"Bonjour {A} {B} {C} Zoltan", "fr", ()),
        ("Hello", "Bonjour Anna", "fr", ("Anna",)),
    ],
)
def test_words_of_a_translation_that_come_from_nowhere_are_made_up(
    text: str, translation: str, language: str, made_up: tuple[str, ...]
) -> None:
    assert KNOWN.made_up(translation, language, KNOWN.mask(text, "en")) == made_up


@pytest.mark.parametrize(
    ("below", "probability", "is_unsure"),
    [(0.5, 0.49, True), (0.5, 0.51, False), (0.5, 1e-300, True), (0.0, 0.1, False), (1.0, 0.99, True)],
)
def test_a_translation_that_the_model_holds_to_be_unlikely_is_unsure(
    below: float, probability: float, is_unsure: bool
) -> None:
    assert msgspec.structs.replace(KNOWN, unsure_below=below).is_unsure(math.log(probability)) is is_unsure


def test_without_a_threshold_or_a_probability_nothing_is_unsure() -> None:
    assert not KNOWN.is_unsure(-9.0)
    assert not msgspec.structs.replace(KNOWN, unsure_below=1.0).is_unsure(None)


def test_a_text_of_nothing_but_marks_has_no_words() -> None:
    assert not KNOWN.mask("{a}, 12!", "en").has_words
    assert KNOWN.mask("{a}, hello!", "en").has_words


def test_what_a_translation_lost_or_doubled_is_named_and_foreign_marks_go() -> None:
    found = KNOWN.mask("Hello {a} from 7 to {b}", "en")
    assert found.lost(f"{A} {A} {ONE}") == ("{a}", "{b}")
    assert found.restore(f"{A} {A} {ONE} {TWO}") == "{a} {a} 7 "


def test_the_language_that_knows_most_words_is_closest() -> None:
    assert KNOWN.closest("mon nom est Ravindra", "en") == "fr"
    assert KNOWN.closest("Ravindra", "de") == "de"


def test_without_marks_a_lexicon_only_tells() -> None:
    found = msgspec.structs.replace(KNOWN, marks="", number_marks="").mask("My yak is 12 {a}", "en")
    assert (found.text, found.unknown) == ("My yak is 12 {a}", ("yak",))


@given(st.text(st.sampled_from("ab1 .,-'<>{}%sé\ue000\ue010Zz@/"), max_size=40))
def test_any_text_comes_back_as_long_as_there_are_marks_for_all_of_it(text: str) -> None:
    roomy = msgspec.structs.replace(
        KNOWN, marks="".join(map(chr, range(0xE000, 0xE040))), number_marks="".join(map(chr, range(0xE100, 0xE140)))
    )
    found = roomy.mask(text, "en")
    assert found.restore(found.text) == text


@pytest.mark.parametrize("unit", ["_", "я_", "+", "я", "<a", "{", "&a", "http://"])
def test_the_time_that_a_text_takes_grows_with_its_length_and_not_with_its_square(unit: str) -> None:
    text = "yak, gnu, emu, elk; hello " + unit * (50_000 // len(unit))
    started_s = time.process_time()
    KNOWN.mask(text, "en")
    KNOWN.closest(text, "en")
    assert time.process_time() - started_s < 3


def test_a_lexicon_is_read_from_the_models_directory(tmp_path: Path) -> None:
    assert read_lexicon(tmp_path) is None
    (tmp_path / FILE).write_bytes(msgspec.json.encode(KNOWN))
    assert read_lexicon(tmp_path) == KNOWN
    (tmp_path / FILE).write_text('{"words": {}}')
    with pytest.raises(msgspec.ValidationError, match="names"):
        read_lexicon(tmp_path)


@pytest.mark.parametrize("below", [None, 0.5])
def test_a_lexicon_may_say_when_its_model_is_unsure(tmp_path: Path, below: float | None) -> None:
    lexicon = msgspec.structs.replace(KNOWN, unsure_below=below)
    (tmp_path / FILE).write_bytes(msgspec.json.encode(lexicon))
    assert read_lexicon(tmp_path) == lexicon


def test_a_threshold_that_is_no_probability_is_refused(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(msgspec.json.encode(msgspec.structs.replace(KNOWN, unsure_below=-0.7)))
    with pytest.raises(msgspec.ValidationError, match="unsure_below"):
        read_lexicon(tmp_path)
