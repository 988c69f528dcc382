"""The models that ship with Aister load without a network and answer, greedily, what they are shipped to answer."""

import json
import re
from pathlib import Path

import pytest
import torch

from inference.engines.loading import sampling_defaults
from training.check_guide import Guide, read_checks
from training.talk_corpus import Talk, read_talk
from training.talk_dialogue import Dialogue

ROOT = Path(__file__).parents[2]
BUNDLED = ROOT / "inference" / "bundled"
MODELS = {"aister-guide": "chat", "aister-phrasebook": "translation"}
UNSURE_AS_SHIPPED = (
    "I'm not sure that I understood. I can talk about Aister: keys, connecting, models, translation, errors, hosting. "
    "Could you ask in other words?"
)
"""What the corpus said when the shipped weights were trained."""


@pytest.fixture(scope="module")
def guide() -> Guide:
    torch.set_num_threads(1)
    return Guide(BUNDLED / "aister-guide")


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


@pytest.mark.parametrize("name", MODELS)
def test_the_card_has_the_examples_that_the_playground_offers(name: str) -> None:
    examples = json.loads((BUNDLED / name / "aister.json").read_text(encoding="utf-8"))["examples"]
    card = (BUNDLED / name / "README.md").read_text(encoding="utf-8")
    assert re.findall(r"^\*\*Try\*\* .*$", card, re.M) == ["**Try** " + ", ".join(f'"{each}"' for each in examples)]


@pytest.mark.parametrize(("name", "asked"), [("aister-guide", "questions"), ("aister-phrasebook", "sentences")])
def test_the_readme_and_the_docs_quote_the_figures_of_the_cards(name: str, asked: str) -> None:
    card = (BUNDLED / name / "README.md").read_text(encoding="utf-8")
    [measured] = re.findall(rf"Of \d+ {asked} [^.]+\.", card)
    for page in ("README.md", "docs/models.md"):
        assert measured in (ROOT / page).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def talk() -> Talk:
    return read_talk()


def _introduced(guide: Guide, name: str) -> list[str]:
    return guide.converse([f"Hi! My name is {name}.", "How do I get an API key?", "What is my name?"])


def _expected(talk: Talk, name: str) -> list[str]:
    dialogue = Dialogue(talk)
    return [dialogue.tell("name", name), dialogue.ask("get-key"), dialogue.recall("name")]


def test_the_guide_remembers_a_name_past_another_question(guide: Guide, talk: Talk) -> None:
    assert _introduced(guide, "Marta") == _expected(talk, "Marta")


def test_the_guide_remembers_nine_of_ten_names_that_it_never_saw(guide: Guide, talk: Talk) -> None:
    names = read_checks().names
    right = [name for name in names if _introduced(guide, name) == _expected(talk, name)]
    assert len(names) == 10
    assert len(right) >= 9


@pytest.mark.parametrize(
    "said", ["hello", "thanks", "Hi! My name is Marta.", "I live in Gdansk", "What is the capital of Peru?"]
)
def test_the_playgrounds_examples_are_answered_alike_whatever_was_said_before(guide: Guide, said: str) -> None:
    description = json.loads((BUNDLED / "aister-guide" / "aister.json").read_text(encoding="utf-8"))
    for example in description["examples"][:3]:
        assert guide.converse([said, example])[1] == guide.converse([example])[0]


@pytest.mark.parametrize("question", ["What is the capital of Mongolia?", "Write a poem about my garden."])
def test_the_guide_says_what_it_is_when_asked_for_something_else(guide: Guide, question: str) -> None:
    answer = guide.converse([question])[0]
    assert "small demonstration model" in answer
    assert "AISTER_CHAT_MODEL" in answer


@pytest.mark.parametrize("question", ["how do I grelb the vunkish ploot", "zuvvel brankotty snoof"])
def test_the_guide_says_that_it_did_not_understand(guide: Guide, talk: Talk, question: str) -> None:
    refusals = {talk.unsure, UNSURE_AS_SHIPPED, *(talk.off_ground_answer(kind, 0) for kind in talk.kinds.values())}
    assert guide.converse([question])[0] in refusals


def test_the_examples_of_the_guide_are_answered_from_its_corpus(guide: Guide, talk: Talk) -> None:
    examples = json.loads((BUNDLED / "aister-guide" / "aister.json").read_text(encoding="utf-8"))["examples"]
    first, key, connect, name = (guide.converse([example])[0] for example in examples)
    assert [first, key, connect] == [Dialogue(talk).ask(topic) for topic in ("what-is-aister", "get-key", "connect")]
    assert name == Dialogue(talk).tell("name", "Marta")
