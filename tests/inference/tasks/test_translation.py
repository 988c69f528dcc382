"""From a client's texts to what the engine takes, and back, with a small real model behind it."""

import math
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from inference.engines.base import Delta, Finished
from inference.engines.lexicon import FILE, Lexicon
from inference.engines.seq2seq import Seq2SeqEngine, SequenceRequest
from inference.errors import AisterError
from inference.protocol import TranslationResult, TranslationWarning
from inference.tasks.detection import Detection
from inference.tasks.segmenting import split_text
from inference.tasks.translation import (
    MAX_TEXT_CHARACTERS,
    MAX_TEXTS,
    MAX_TOTAL_CHARACTERS,
    Assembler,
    Item,
    PreparedTranslation,
    TranslationAnswer,
    check_texts,
    prepare,
)
from tests.inference.engines.small_translators import save_m2m100, save_marian, save_t5

ENGLISH = Detection("en", 1.0, is_uncertain=False)
NAMES = "en, fr, de, zh"


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Seq2SeqEngine:
    directory = save_marian(tmp_path_factory.mktemp("models") / "marian", targets=("en", "fr", "de", "zh"))
    (directory / "aister.json").write_text('{"languages": ["en", "fr", "de", "zh"]}', encoding="utf-8")
    return Seq2SeqEngine.load(directory, threads=1)


def made(engine: Seq2SeqEngine, text: str | list[str], source: str = "en", target: str = "fr") -> PreparedTranslation:
    return prepare(engine, text, source, target, key="k")


def refused(engine: Seq2SeqEngine, *arguments: Any) -> tuple[str, str, str | None]:
    with pytest.raises(AisterError) as refusal:
        made(engine, *arguments)
    return refusal.value.code, refusal.value.message, refusal.value.param


def sources_read(engine: Seq2SeqEngine, prepared: PreparedTranslation) -> list[str]:
    return [engine.text._codec.decode(sequence.tokens) for sequence in prepared.request.sequences]


def joined(deltas: list[Delta], item: int) -> str:
    return "".join(delta.text for delta in deltas if delta.item == item)


# -- the engine's part ------------------------------------------------------------------------------------------------


def test_a_text_becomes_a_sequence_for_each_sentence(engine: Seq2SeqEngine) -> None:
    prepared = made(engine, "Good morning, how are you today? The station is near the hotel.\n\tGood morning.")
    assert sources_read(engine, prepared) == [
        "Good morning, how are you today?",
        "The station is near the hotel.",
        "Good morning.",
    ]
    assert prepared.items[0].parts == (0, " ", 1, "\n\t", 2)
    assert (prepared.request.key, prepared.request.num_beams) == ("k", 1)


def test_sequences_of_a_list_are_numbered_through(engine: Seq2SeqEngine) -> None:
    prepared = made(engine, ["Good morning", " ", "Good day. Good morning. "])
    assert [item.parts for item in prepared.items] == [(0,), (" ",), (1, " ", 2, " ")]


def test_a_sentence_too_long_for_the_model_is_split(engine: Seq2SeqEngine) -> None:
    prepared = made(engine, "the hotel is near the station, " * 20)
    assert len(prepared.request.sequences) > 1
    assert all(len(sequence.tokens) <= engine.max_source_tokens for sequence in prepared.request.sequences)


def test_a_text_in_the_target_language_stays_as_it_is(engine: Seq2SeqEngine) -> None:
    prepared = made(engine, "Bonjour, comment allez-vous ?", "fr", "fr")
    assert prepared.request.sequences == ()
    assert Assembler(prepared.items).translations() == [
        TranslationResult(text="Bonjour, comment allez-vous ?", source="fr", confidence=1.0, uncertain=False)
    ]


def test_each_text_of_a_list_is_detected_by_itself(engine: Seq2SeqEngine) -> None:
    texts = [
        "Where is the train station?",
        "Wo ist bitte der Bahnhof?",
        "Où est la gare, s'il vous plaît ?",
        "ok",
        "12",
    ]
    items = made(engine, texts, "auto", "fr").items
    assert [item.source.language for item in items[:3]] == ["en", "de", "fr"]
    assert [item.source.is_uncertain for item in items] == [False, False, False, True, True]
    assert items[2].parts == (texts[2],)
    assert items[4].parts == ("12",)


def test_auto_may_be_written_in_capitals(engine: Seq2SeqEngine) -> None:
    assert made(engine, "Where is the train station?", "AUTO", "fr").items[0].source.language == "en"


def test_languages_may_be_named_as_clients_do(engine: Seq2SeqEngine) -> None:
    expected = made(engine, "Good morning", "en", "fr").request.sequences
    assert made(engine, "Good morning", "EN-us", "fra").request.sequences == expected


def test_sentences_of_unspaced_scripts_get_a_space_between_them(engine: Seq2SeqEngine) -> None:
    assert made(engine, "你好。我叫李。", "zh", "en").items[0].parts == (0, " ", 1)
    assert made(engine, "Good day. Good morning.", "en", "zh").items[0].parts == (0, " ", 1)


def test_text_forges_no_target_language(engine: Seq2SeqEngine) -> None:
    german = engine.text.encode("x", "en", "de").tokens[0]
    for sequence in made(engine, ">>de<< Good morning </s> >>de<<", "en", "fr").request.sequences:
        assert german not in sequence.tokens
        assert sequence.tokens.count(0) == 1


# -- refusals ---------------------------------------------------------------------------------------------------------


def test_empty_texts_are_refused(engine: Seq2SeqEngine) -> None:
    message = "The text is empty. Send some text."
    assert refused(engine, "") == ("empty_text", message, "text")
    assert refused(engine, ["a", ""]) == ("empty_text", message, "text[1]")
    assert refused(engine, []) == ("empty_text", "The list has no texts. Send at least one.", "text")


def test_too_much_text_is_refused(engine: Seq2SeqEngine) -> None:
    long = "a" * (MAX_TEXT_CHARACTERS + 1)
    message = "The text has 50001 characters; at most 50000 go. Split it."
    assert refused(engine, long) == ("text_too_long", message, "text")
    assert refused(engine, ["a", long]) == ("text_too_long", message, "text[1]")
    message = "The list has more than 128 texts. Send several lists."
    assert refused(engine, ["a"] * (MAX_TEXTS + 1)) == ("text_too_long", message, "text")
    message = "The texts together have more than 100000 characters. Send several lists."
    half = "a" * MAX_TEXT_CHARACTERS
    assert refused(engine, [half, half, "a"]) == ("text_too_long", message, "text")
    assert check_texts([half, half]) == [half, half]
    assert len(half) * 2 == MAX_TOTAL_CHARACTERS


def test_unknown_languages_are_refused(engine: Seq2SeqEngine) -> None:
    message = f"The model does not know this target language. It knows: {NAMES}."
    assert refused(engine, "a", "en", "ja") == ("unknown_language", message, "target")
    assert refused(engine, "a", "en", "auto") == ("unknown_language", message, "target")
    message = f"The model does not know this source language. It knows: {NAMES}."
    assert refused(engine, "a", "klingon", "en") == ("unknown_language", message, "source")


def test_pairs_that_a_model_lacks_are_refused(tmp_path: Path) -> None:
    engine = Seq2SeqEngine.load(save_t5(tmp_path / "t5"), threads=1)
    message = "The model does not translate from fr to de."
    assert refused(engine, "a", "fr", "de") == ("unsupported_pair", message, "target")
    message = "The model does not translate into en."
    for source in ("fr", "en", "auto"):
        assert refused(engine, "a", source, "en") == ("unsupported_pair", message, "target")
    assert made(engine, "Good morning", "auto", "de").items[0].source == ENGLISH


def test_a_model_that_does_not_translate_refuses(engine: Seq2SeqEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine._model, "text", None)
    assert refused(engine, "a")[0] == "wrong_task"


# -- putting together -------------------------------------------------------------------------------------------------


def test_sentences_in_any_order_make_a_text_that_grows_from_the_front() -> None:
    assembler = Assembler([Item(("  ", 0, " ", 1, "\n"), ENGLISH), Item((2,), ENGLISH), Item(("\t",), ENGLISH)])
    assert assembler.begin() == [Delta("  ", 0), Delta("\t", 2)]
    assert assembler.feed(Delta("two", 1)) == []
    assert assembler.feed(Delta("three", 2)) == [Delta("three", 1)]
    assert assembler.feed(Delta("one", 0)) == [Delta("one two\n", 0)]
    assert [each.text for each in assembler.translations()] == ["  one two\n", "three", "\t"]


def test_a_cancelled_translation_is_as_far_as_it_came() -> None:
    assembler = Assembler([Item((0, " ", 1), ENGLISH), Item(("\n", 2), ENGLISH)])
    assembler.feed(Delta("one", 0))
    assert [each.text for each in assembler.translations()] == ["one ", "\n"]


def test_a_sentence_without_a_translation_leaves_what_stands_around_it() -> None:
    assembler = Assembler([Item(("(", 0, ")"), ENGLISH)])
    assert assembler.begin() == [Delta("(", 0)]
    assert assembler.feed(Delta("", 0)) == [Delta(")", 0)]


@given(
    st.lists(st.text(st.sampled_from("aB .!?\n\t\r😀1,é\u2028"), min_size=1, max_size=40), min_size=1, max_size=5),
    st.randoms(),
)
def test_white_space_comes_back_exactly(engine: Seq2SeqEngine, texts: list[str], shuffler: Any) -> None:
    """With every sentence translated to itself, the texts come back, streamed and at the end."""
    prepared = made(engine, texts, "en", "fr")
    assembler = Assembler(prepared.items)
    parts = [part for text in texts for part in split_text(text, "en", lambda _: True)]
    sentences = [part.text for part in parts if part.is_sentence]
    deltas = assembler.begin()
    for number in shuffler.sample(range(len(sentences)), len(sentences)):
        deltas += assembler.feed(Delta(sentences[number], number))
    assert [each.text for each in assembler.translations()] == texts
    assert [joined(deltas, item) for item in range(len(texts))] == texts


# -- all of it --------------------------------------------------------------------------------------------------------


def run(engine: Seq2SeqEngine, answer: TranslationAnswer) -> tuple[list[Delta], list[TranslationResult]]:
    request: SequenceRequest = answer.prepare(engine, "k")
    deltas = [*answer.begin()]
    engine.admit(request)
    ended = False
    while not ended:
        for _, said in engine.step():
            deltas += answer.hear(said) if isinstance(said, Delta) else []
            ended = ended or isinstance(said, Finished)
    return deltas, answer.conclude(is_cancelled=False).translations or []


def test_an_answer_streams_what_its_result_holds(engine: Seq2SeqEngine) -> None:
    texts = ["  Good morning. The station is near the hotel.\n", "12 😀", "\t\n", "Der Bahnhof ist beim Hotel."]
    deltas, translations = run(engine, TranslationAnswer(texts, None, "fr"))
    assert [joined(deltas, item) for item in range(4)] == [each.text for each in translations]
    assert [each.source for each in translations] == ["en", "en", "en", "de"]
    assert [each.uncertain for each in translations] == [False, True, True, False]
    assert translations[0].text.startswith("  ")
    assert translations[0].text.endswith("\n")
    assert [each.text for each in translations[1:3]] == ["12 😀", "\t\n"]


def test_an_answer_needs_a_target(engine: Seq2SeqEngine) -> None:
    with pytest.raises(AisterError) as refusal:
        TranslationAnswer("a", None, None).prepare(engine, "k")
    assert (refusal.value.code, refusal.value.param) == ("invalid_field", "target")
    assert refusal.value.message == "Name the language to translate into."


def test_a_model_of_many_languages_is_told_both(tmp_path: Path) -> None:
    engine = Seq2SeqEngine.load(save_m2m100(tmp_path / "m2m100"), threads=1)
    sequence = made(engine, "Good morning", "en", "fr").request.sequences[0]
    assert (sequence.tokens[0], sequence.first_token) == tuple(
        engine.text._codec.id_of(token) for token in ("__en__", "__fr__")
    )
    _, translations = run(engine, TranslationAnswer("Good morning", "en", "fr"))
    assert len(translations) == 1


# -- a model with a lexicon -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def knowing(tmp_path_factory: pytest.TempPathFactory) -> Seq2SeqEngine:
    """A model of random weights that knows a few words; its marks are letters, which it at least can read."""
    directory = save_marian(tmp_path_factory.mktemp("models") / "knowing", targets=("en", "fr", "de"))
    (directory / "aister.json").write_text('{"languages": ["en", "fr", "de"]}', encoding="utf-8")
    words = {"en": ["good", "morning", "hello"], "fr": ["bonjour"], "de": ["guten", "morgen"]}
    lexicon = Lexicon(words=words, names=["Anna"], before_nouns={}, marks="\ue000\ue001", number_marks="\ue010")
    (directory / FILE).write_bytes(msgspec.json.encode(lexicon))
    return Seq2SeqEngine.load(directory, threads=1)


def told(prepared: PreparedTranslation, *outputs: str) -> list[TranslationResult]:
    assembler = Assembler(prepared.items, prepared.target, prepared.masked, prepared.lexicon)
    for place, text in enumerate(outputs):
        assembler.feed(Delta(text, place))
    return assembler.translations()


def test_what_is_not_to_be_touched_goes_around_the_model(knowing: Seq2SeqEngine) -> None:
    prepared = made(knowing, "Good morning, {name}! Hello 12 Anna.")
    assert [masked.text for masked in prepared.masked] == ["Good morning, \ue000!", "Hello \ue010 \ue000."]
    (result,) = told(prepared, "Bonjour, \ue000 !", "\ue000 \ue010.")
    assert (result.text, result.warning) == ("Bonjour, {name} ! Anna 12.", UNSET)


def test_a_sentence_without_words_is_not_read_by_the_model(knowing: Seq2SeqEngine) -> None:
    prepared = made(knowing, "{name} {other}")
    assert prepared.request.sequences == ()
    assert told(prepared)[0].text == "{name} {other}"


def test_words_that_the_model_does_not_know_are_told_with_the_text_that_has_them(knowing: Seq2SeqEngine) -> None:
    prepared = made(knowing, ["Good morning, yak! Hello gnu yak.", "Hello", "Zebu"])
    first, second, third = told(prepared, "bonjour \ue000", "bonjour \ue000 \ue001", "bonjour")
    message = "The model does not know these words, so the translation may be wrong: yak, gnu."
    assert first.warning == TranslationWarning(code="outside_vocabulary", message=message, words=["yak", "gnu"])
    assert second.warning is UNSET
    assert (third.text, third.warning.words if third.warning else None) == ("Zebu", ["Zebu"])


def test_a_warning_names_twenty_words_at_most(knowing: Seq2SeqEngine) -> None:
    words = [f"y{'a' * count}k" for count in range(22)]
    (result,) = told(made(knowing, ", ".join(words)))
    assert result.warning
    assert result.warning.words == words[:20]
    assert result.warning.message.endswith("yaaaaaaaaaaaaaaaaaaak and 2 more.")


def test_words_that_the_model_makes_up_are_told_with_the_text_that_has_them(knowing: Seq2SeqEngine) -> None:
    prepared = made(knowing, ["Good morning! Hello.", "Hello", "Hello"])
    first, second, third = told(prepared, "Bonjourette !", "Bonjour, moineur Bonjourette.", "Bonjour", "hello")
    message = "The model made up these words, so the translation is probably wrong: Bonjourette, moineur."
    assert first.warning == TranslationWarning(code="made_up", message=message, words=["Bonjourette", "moineur"])
    assert (second.warning, third.warning) == (UNSET, UNSET)


def test_what_is_put_back_into_a_translation_is_not_made_up(knowing: Seq2SeqEngine) -> None:
    (result,) = told(made(knowing, "Hello {name}, Good 12 Anna"), "Bonjour \ue000, \ue010 \ue001")
    assert (result.text, result.warning) == ("Bonjour {name}, 12 Anna", UNSET)


def test_one_warning_says_all_that_is_doubtful_and_its_code_the_first_of_it(knowing: Seq2SeqEngine) -> None:
    told_lost, told_all = told(made(knowing, ["Hello {name}", "Hello {name} yak"]), "moineur", "moineur \ue000")
    lost = "The model did not keep: {name}."
    made_up = "The model made up these words, so the translation is probably wrong: moineur."
    assert told_lost.warning == TranslationWarning(code="not_kept", message=f"{lost} {made_up}", words=["{name}"])
    unknown = "The model does not know these words, so the translation may be wrong: yak."
    lost = "The model did not keep: yak."
    assert told_all.warning == TranslationWarning(
        code="outside_vocabulary", message=f"{unknown} {lost} {made_up}", words=["yak"]
    )


UNSURE = "The model is unsure of this translation: check it before you use it."


def told_with(prepared: PreparedTranslation, below: float | None, *outputs: tuple[str, float | None]) -> Any:
    """Return the warnings when the engine says how likely each output is, and the lexicon what is unsure."""
    assert prepared.lexicon
    lexicon = msgspec.structs.replace(prepared.lexicon, unsure_below=below)
    assembler = Assembler(prepared.items, prepared.target, prepared.masked, lexicon)
    for place, (text, probability) in enumerate(outputs):
        assembler.feed(Delta(text, place, None if probability is None else math.log(probability)))
    return [each.warning for each in assembler.translations()]


def test_a_text_of_which_a_sentence_is_unlikely_is_unsure(knowing: Seq2SeqEngine) -> None:
    prepared = made(knowing, ["Good morning! Hello. Hello.", "Hello", "Hello"])
    outputs = [("Bonjour !", 0.9), ("Bonjour.", 0.4), ("Bonjour.", 0.3), ("Bonjour", 0.6), ("Bonjour", None)]
    unsure = TranslationWarning(code="unsure", message=UNSURE, words=[])
    assert told_with(prepared, 0.5, *outputs) == [unsure, UNSET, UNSET]
    assert told_with(prepared, None, *outputs) == [UNSET, UNSET, UNSET]


def test_what_is_unsure_is_told_after_all_else(knowing: Seq2SeqEngine) -> None:
    (warning,) = told_with(made(knowing, "Hello. Hello {name}"), 0.5, ("Bonjour", 0.1), ("Bonjour", 0.9))
    message = f"The model did not keep: {{name}}. {UNSURE}"
    assert warning == TranslationWarning(code="not_kept", message=message, words=["{name}"])


def test_words_with_braces_are_told_as_they_are(knowing: Seq2SeqEngine) -> None:
    (result,) = told(made(knowing, "Hello {0} {}"), "Bonjour")
    assert result.warning
    assert result.warning.message == "The model did not keep: {0}, {}."


def test_an_answer_of_a_model_that_says_when_it_is_unsure_says_so(
    knowing: Seq2SeqEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(knowing.text, "lexicon", msgspec.structs.replace(knowing.text.lexicon, unsure_below=1.0))
    _, (result,) = run(knowing, TranslationAnswer("Good morning! Hello.", "en", "fr"))
    assert result.warning
    assert result.warning.message.endswith(UNSURE)


def test_what_the_model_lost_is_told(knowing: Seq2SeqEngine) -> None:
    (result,) = told(made(knowing, "Good morning, {name}, hello Anna"), "Bonjour")
    assert result.text == "Bonjour"
    assert result.warning == TranslationWarning(
        code="not_kept", message="The model did not keep: {name}, Anna.", words=["{name}", "Anna"]
    )


def test_a_wrong_guess_at_the_language_makes_no_word_unknown(knowing: Seq2SeqEngine) -> None:
    assert made(knowing, "hello", "auto", "fr").items[0].source.confidence < 1
    assert made(knowing, "hello", "auto", "fr").items[0].unknown == ()
    assert made(knowing, "hello yak", "auto", "fr").items[0].unknown == ("yak",)


def test_an_answer_of_a_model_with_a_lexicon_streams_what_its_result_holds(knowing: Seq2SeqEngine) -> None:
    deltas, (result,) = run(knowing, TranslationAnswer("Good morning, {name}! Hello.", "en", "fr"))
    assert joined(deltas, 0) == result.text
    made_up = ", ".join(dict.fromkeys(re.findall(r"\w+", result.text)))
    message = (
        "The model did not keep: {name}. "
        f"The model made up these words, so the translation is probably wrong: {made_up}."
    )
    assert made_up
    assert result.warning == TranslationWarning(code="not_kept", message=message, words=["{name}"])
