"""Which language a text is in."""

import threading

import pytest

from inference.tasks import detection
from inference.tasks.detection import Detection, Detector, detector_for

SIX = ("en", "fr", "de", "es", "it", "pt")


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Where is the train station, please?", "en"),
        ("Comment est-ce que je peux vous aider ?", "fr"),
        ("Wo ist bitte der Bahnhof?", "de"),
        ("¿Dónde está la estación de tren?", "es"),
        ("Dove si trova la stazione ferroviaria?", "it"),
        ("Onde fica a estação de comboios?", "pt"),
        ("Good morning", "en"),
        ("Thank you", "en"),
        ("Guten Morgen", "de"),
    ],
)
def test_sentences_are_told_apart(text: str, language: str) -> None:
    found = detector_for(SIX).detect(text)
    assert (found.language, found.is_uncertain) == (language, False)
    assert detection.UNCERTAIN_BELOW <= found.confidence <= 1


@pytest.mark.parametrize("text", ["ok", "taxi", "no", "menu", "a"])
def test_words_of_many_languages_are_uncertain(text: str) -> None:
    found = detector_for(SIX).detect(text)
    assert found.is_uncertain
    assert 0 < found.confidence < detection.UNCERTAIN_BELOW


@pytest.mark.parametrize("text", ["12345", "😀", "  \n", "", "...", "Привет"])
def test_what_no_language_fits_is_uncertain_at_no_confidence(text: str) -> None:
    assert detector_for(SIX).detect(text) == Detection("en", 0.0, is_uncertain=True)
    assert detector_for(["fr", "de"]).detect(text, target="de") == Detection("fr", 0.0, is_uncertain=True)


@pytest.mark.parametrize("text", ["Hello", "ok", "taxi", "12345"])
@pytest.mark.parametrize("target", SIX)
def test_an_uncertain_guess_is_never_the_target(text: str, target: str) -> None:
    assert detector_for(SIX).detect(text, target=target).language != target


def test_a_certain_guess_may_be_the_target() -> None:
    assert detector_for(SIX).detect("Where is the train station?", target="en").language == "en"


def test_a_lone_language_is_certain() -> None:
    assert detector_for(["fr"]).detect("taxi") == Detection("fr", 1.0, is_uncertain=False)


def test_languages_that_lingua_does_not_know_are_never_certain() -> None:
    assert detector_for(["ace", "ceb"]).detect("Good morning") == Detection("ace", 0.0, is_uncertain=True)
    assert detector_for(["ace", "en"]).detect("Good morning") == Detection("en", 0.0, is_uncertain=True)


def test_norwegian_is_known_by_the_name_that_m2m100_gives_it() -> None:
    assert detector_for(["no", "en"]).detect("Hvor er jernbanestasjonen, og når går toget?").language == "no"


def test_long_texts_are_read_in_part() -> None:
    text = "Where is the train station? " * 100 + "Wo ist der Bahnhof? " * 1000
    assert detector_for(SIX).detect(text).language == "en"


def test_one_detector_is_built_for_a_set_of_languages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detection, "_detectors", {})
    built: list[Detector] = []
    threads = [threading.Thread(target=lambda: built.append(detector_for(["de", "en", "de"]))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(built)) == 1
    assert detector_for(["en", "de"]) is built[0]


def test_others_run_between_two_languages_of_a_detector_that_is_being_built(monkeypatch: pytest.MonkeyPatch) -> None:
    both = threading.Barrier(2, timeout=60)
    monkeypatch.setattr(detection.time, "sleep", lambda _: both.wait())
    building = threading.Thread(target=Detector, args=[SIX])
    building.start()
    for _ in SIX:
        both.wait()
    building.join()


def test_detectors_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detection, "_detectors", {})
    for number in range(detection.MAX_DETECTORS + 3):
        detector_for([f"x{number}"])
    assert len(detection._detectors) == detection.MAX_DETECTORS


def test_many_languages_are_detected_in_low_accuracy() -> None:
    many = [*SIX, "nl", "sv", "da", "fi", "pl", "cs", "tr"]
    assert len(many) > detection.HIGH_ACCURACY_LANGUAGES
    assert detector_for(many).detect("Waar is het treinstation, alstublieft?").language == "nl"
