"""The bundled phrasebook through the translation task: the mechanics, not how well it translates."""

from pathlib import Path

import pytest

import inference
from inference.engines.base import Delta, Finished
from inference.engines.languages import read_languages
from inference.engines.seq2seq import Seq2SeqEngine
from inference.tasks.translation import TranslationAnswer

DIRECTORY = Path(inference.__file__).parent / "bundled" / "aister-phrasebook"
SIX = ["de", "en", "es", "fr", "it", "pt"]


@pytest.fixture(scope="module")
def engine() -> Seq2SeqEngine:
    return Seq2SeqEngine.load(DIRECTORY, threads=1)


def test_it_translates_between_six_languages() -> None:
    languages = read_languages(DIRECTORY)
    assert sorted(languages.sources) == sorted(languages.targets) == SIX
    assert len(languages.pairs) == 30


@pytest.mark.parametrize("target", ["de", "es", "fr", "it", "pt"])
def test_a_text_comes_back_in_each_language_with_its_white_space(engine: Seq2SeqEngine, target: str) -> None:
    answer = TranslationAnswer("  Good morning. Where is the train station?\n\n\tThank you!\n", "auto", target)
    engine.admit(answer.prepare(engine, "k"))
    deltas = list(answer.begin())
    while not engine.is_idle:
        for _, said in engine.step():
            assert not isinstance(said, Finished) or said.usage.output_tokens > 0
            deltas += answer.hear(said) if isinstance(said, Delta) else []
    (translation,) = answer.conclude(is_cancelled=False).translations or []
    assert translation.text == "".join(delta.text for delta in deltas)
    assert (translation.source, translation.uncertain) == ("en", False)
    before, after = translation.text.split("\n\n\t")
    assert before.startswith("  ")
    assert before.strip()
    assert after.endswith("\n")
    assert after.strip()
