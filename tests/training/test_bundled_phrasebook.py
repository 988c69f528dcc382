"""The phrasebook that ships with Aister translates, as clients meet it, what it is shipped to translate."""

import json
from pathlib import Path

import pytest
import torch
from msgspec import UNSET

from training.check_phrasebook import Translator

DIRECTORY = Path(__file__).parents[2] / "inference" / "bundled" / "aister-phrasebook"


@pytest.fixture(scope="module")
def translator() -> Translator:
    torch.set_num_threads(1)
    return Translator(DIRECTORY)


FIVE = ("fr", "de", "es", "it", "pt")


@pytest.mark.parametrize(
    ("text", "expected"),
    {
        "Good morning": ["Bonjour", "Guten Morgen", "Buenos días", "Buongiorno", "Bom dia"],
        "Thank you": ["Merci", "Danke", "Gracias", "Grazie", "Obrigado"],
        "How are you?": [
            *("Comment allez-vous ?", "Wie geht es Ihnen?", "¿Cómo está?"),
            *("Come sta?", "Como vai você?"),
        ],
        "Where is the train station?": [
            *("Où est la gare ?", "Wo ist der Bahnhof?", "¿Dónde está la estación de tren?"),
            *("Dov'è la stazione?", "Onde fica a estação de trem?"),
        ],
        "good morning": ["Bonjour", "Guten Morgen", "Buenos días", "Buongiorno", "Bom dia"],
        "GOOD MORNING": ["Bonjour", "Guten Morgen", "Buenos días", "Buongiorno", "Bom dia"],
        "your message has been sent": [
            *("Votre message a été envoyé", "Ihre Nachricht wurde gesendet", "Su mensaje ha sido enviado"),
            *("Il suo messaggio è stato inviato", "Sua mensagem foi enviada"),
        ],
    }.items(),
)
def test_the_phrasebook_translates_into_five_languages(translator: Translator, text: str, expected: list[str]) -> None:
    assert translator.translate([(text, "en", code) for code in FIVE]) == expected


def test_the_phrasebook_translates_between_two_foreign_languages(translator: Translator) -> None:
    texts = [("Guten Morgen", "de", "fr"), ("Grazie", "it", "es"), ("ou est la gare", "fr", "de")]
    texts += [("Muito obrigado", "pt", "en")]
    assert translator.translate(texts) == ["Bonjour", "Gracias", "Wo ist der Bahnhof?", "Thank you very much"]


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("My name is Ravindra Zoltan-Okafor.", ["Ravindra Zoltan-Okafor"]),
        ("The name {displayName} is already taken.", ["{displayName}"]),
        ("%s has shared a document with you.", ["%s"]),
        ("Visit https://example.org/?q=a%20b for more information.", ["https://example.org/?q=a%20b"]),
        ("The train to Paris leaves at 17:45.", ["17:45"]),
        ("You have 40321 points.", ["40321"]),
    ],
)
def test_the_phrasebook_leaves_alone_what_is_not_its_own(translator: Translator, text: str, kept: list[str]) -> None:
    for result in translator.results([(text, "en", code) for code in FIVE]):
        assert [result.text.count(each) for each in kept] == [1] * len(kept)
        assert result.warning is UNSET


def test_the_phrasebook_says_what_lies_outside_its_words(translator: Translator) -> None:
    texts = ["Where is the lighthouse keeper?", "Der Waschbär ist hier.", "El cangrejo canta."]
    results = translator.results(zip(texts, ("en", "de", "es"), ("fr", "fr", "fr"), strict=True))
    told = [result.warning.words if result.warning else [] for result in results]
    assert told == [["lighthouse", "keeper"], ["Waschbär"], ["cangrejo", "canta"]]


def test_the_phrasebook_says_which_words_it_made_up_and_what_it_is_unsure_of(translator: Translator) -> None:
    texts = ["The lamp and the mirror are broken.", "Where did you buy this bread?"]
    results = translator.results((text, "en", code) for text in texts for code in FIVE)
    warnings = [result.warning for result in results if result.warning]
    assert len(warnings) == len(results)
    assert {warning.code for warning in warnings} == {"made_up", "unsure"}
    for result, warning in zip(results, warnings, strict=True):
        listed = ", ".join(warning.words)
        made_up = f"The model made up these words, so the translation is probably wrong: {listed}. " if listed else ""
        assert warning.message == f"{made_up}The model is unsure of this translation: check it before you use it."
        assert [word for word in warning.words if word not in result.text] == []


def test_the_examples_of_the_phrasebook_come_without_a_warning(translator: Translator) -> None:
    examples = json.loads((DIRECTORY / "aister.json").read_text(encoding="utf-8"))["examples"]
    results = translator.results((example, "en", code) for example in examples for code in FIVE)
    assert [result.warning for result in results if result.warning] == []
