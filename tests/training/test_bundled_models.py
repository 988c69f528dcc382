"""The models that ship with Aister load without a network and answer, greedily, what they are shipped to answer."""

import json
from pathlib import Path

import pytest
import torch

from inference.engines.loading import sampling_defaults
from training.check_guide import Guide, read_checks
from training.check_phrasebook import Translator

BUNDLED = Path(__file__).parents[2] / "inference" / "bundled"
MODELS = {"aister-guide": "chat", "aister-phrasebook": "translation"}
GET_KEY = (
    "Make a key in the Django admin under API keys, or run: python manage.py keys create. "
    "The key is shown only once, so copy it at once."
)


@pytest.fixture(scope="module")
def guide() -> Guide:
    torch.set_num_threads(1)
    return Guide(BUNDLED / "aister-guide")


@pytest.fixture(scope="module")
def translator() -> Translator:
    torch.set_num_threads(1)
    return Translator(BUNDLED / "aister-phrasebook")


@pytest.mark.parametrize(("name", "task"), MODELS.items())
def test_a_bundled_model_says_what_it_is(name: str, task: str) -> None:
    description = json.loads((BUNDLED / name / "aister.json").read_text(encoding="utf-8"))
    assert (description["name"], description["task"], description["demonstration"]) == (name, task, True)
    assert len(description["examples"]) == 4
    assert description["description"]
    assert "en" in description["languages"]


def test_the_guide_answers_greedily_where_nobody_says_otherwise(guide: Guide) -> None:
    assert sampling_defaults(guide.model).temperature == 0


@pytest.mark.parametrize("name", MODELS)
def test_a_bundled_model_is_small_and_has_a_card(name: str) -> None:
    weights = list((BUNDLED / name).glob("*.safetensors"))
    assert len(weights) == 1
    assert weights[0].stat().st_size < 8_000_000
    assert "can't" in (BUNDLED / name / "README.md").read_text(encoding="utf-8")


def _introduced(guide: Guide, name: str) -> list[str]:
    return guide.converse([f"Hi! My name is {name}.", "How do I get an API key?", "What is my name?"])


def _expected(name: str) -> list[str]:
    greeting = f"Nice to meet you, {name}! What would you like to know about Aister?"
    return [greeting, GET_KEY, f"Your name is {name}."]


def test_the_guide_remembers_a_name_past_another_question(guide: Guide) -> None:
    assert _introduced(guide, "Marta") == _expected("Marta")


def test_the_guide_remembers_nine_of_ten_names_that_it_never_saw(guide: Guide) -> None:
    names = read_checks().names
    right = [name for name in names if _introduced(guide, name) == _expected(name)]
    assert len(names) == 10
    assert len(right) >= 9


@pytest.mark.parametrize("question", ["What is the capital of Mongolia?", "Write a poem about my garden."])
def test_the_guide_says_what_it_is_when_asked_for_something_else(guide: Guide, question: str) -> None:
    answer = guide.converse([question])[0]
    assert answer.startswith("I'm a small demonstration model")
    assert "AISTER_CHAT_MODEL" in answer


def test_the_examples_of_the_guide_are_answered_from_its_corpus(guide: Guide) -> None:
    examples = json.loads((BUNDLED / "aister-guide" / "aister.json").read_text(encoding="utf-8"))["examples"]
    first, key, connect, name = (guide.converse([example])[0] for example in examples)
    assert first.startswith("Aister is a server that you host yourself.")
    assert key == GET_KEY
    assert connect.startswith("Open a WebSocket to ws://")
    assert name.startswith("Nice to meet you, Marta!")


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
        "Your message has been sent": [
            *("Votre message a été envoyé", "Ihre Nachricht wurde gesendet", "Su mensaje ha sido enviado"),
            *("Il tuo messaggio è stato inviato", "Sua mensagem foi enviada"),
        ],
    }.items(),
)
def test_the_phrasebook_translates_into_five_languages(translator: Translator, text: str, expected: list[str]) -> None:
    assert translator.translate([(text, code) for code in ("fr", "de", "es", "it", "pt")]) == expected


def test_the_phrasebook_translates_between_two_foreign_languages(translator: Translator) -> None:
    texts = [("Guten Morgen", "fr"), ("Grazie", "es"), ("Où est la gare ?", "de"), ("Muito obrigado", "en")]
    assert translator.translate(texts) == ["Bonjour", "Gracias", "Wo ist der Bahnhof?", "Thank you very much"]
