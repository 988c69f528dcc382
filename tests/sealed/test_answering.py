"""Asking the real models: the bundled ones, by the engines that serve clients."""

from pathlib import Path

import msgspec
import pytest

from inference.protocol import TranslationResult
from training.sealed.__main__ import BUNDLED, finish, main
from training.sealed.answering import Guide, Phrasebook, is_warned
from training.sealed.asking import judge
from training.sealed.grading import Verdict
from training.sealed.report import Graded
from training.sealed.sets import Expectation, Phrase


@pytest.fixture(scope="module")
def guide() -> Guide:
    return Guide(BUNDLED / "aister-guide", threads=1)


def test_each_message_has_its_answer_in_conversations_of_any_length(guide: Guide) -> None:
    answers = guide.converse([["Hi! My name is Marta.", "What is my name?"], [], ["What is Aister?"]])
    assert [len(each) for each in answers] == [2, 0, 1]
    assert "Marta" in answers[0][1]
    assert "server" in answers[2][0]


def test_a_model_hears_its_own_earlier_answers_and_none_of_other_conversations(guide: Guide) -> None:
    alone = guide.converse([["Hi! My name is Marta.", "What is my name?"]])
    beside = guide.converse(
        [["My name is Otto.", "How do I get an API key?"], ["Hi! My name is Marta.", "What is my name?"]]
    )
    assert beside[1] == alone[0]
    assert guide.converse([["What is my name?"]])[0][0] != alone[0][1]


def test_translations_come_in_the_order_of_the_phrases() -> None:
    phrases = [
        Phrase(id="1", kind="likely", source="en", target="fr", text="Good morning", references=("Bonjour",)),
        Phrase(id="2", kind="likely", source="en", target="de", text="Good morning", references=("Guten Morgen",)),
    ]
    results = Phrasebook(BUNDLED / "aister-phrasebook", threads=1).translate(phrases)
    assert [result.source for result in results] == ["en", "en"]
    assert results[0].text.startswith("Bonjour")
    assert results[1].text.startswith("Guten Morgen")


class Warned(TranslationResult, frozen=True, kw_only=True):
    warning: str | None = None


def test_a_warning_in_the_result_is_heard() -> None:
    plain = {"text": "x", "source": "en", "confidence": 1.0, "uncertain": False}
    assert is_warned(Warned(**plain, warning="outside"))
    assert not is_warned(Warned(**plain))
    assert not is_warned(TranslationResult(**plain))


def test_a_set_that_does_not_exist_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["guides"])
    assert "no such set: guides" in capsys.readouterr().err


def test_answers_are_written_with_their_verdicts_for_a_person_to_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = Expectation(ground="about", text="Licence?", any=("mit",))
    answers = [
        judge("turns", "a.1", asked, "MIT.", conversation="a"),
        judge("questions", "b", asked, "A bigger model."),
    ]
    finish("guide", answers, "| a table |", tmp_path / "out")
    lines = (tmp_path / "out" / "guide.jsonl").read_bytes()
    assert msgspec.json.Decoder(Graded).decode_lines(lines) == answers
    assert [each.verdict for each in answers] == [Verdict.RIGHT, Verdict.WRONG]
    assert [each.points_to_a_bigger_model for each in answers] == [False, True]
    assert (tmp_path / "out" / "guide.md").read_text() == "| a table |\n"
    assert "| a table |" in capsys.readouterr().out
