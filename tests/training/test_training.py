"""What the training scripts build: tokenizers that lose nothing, examples that match the chat template, budgets."""

import random

import pytest
from jinja2.exceptions import TemplateError

from training import train_guide
from training.guide_corpus import read_corpus
from training.guide_tokenizer import train_tokenizer as train_guide_tokenizer
from training.optimisation import Budget, learning_rate_scale


@pytest.fixture(scope="module")
def guide_tokenizer():
    return train_guide_tokenizer(read_corpus(), seed=1)


@pytest.mark.parametrize("text", ["Hello", " two  spaces ", "Łukasz 🙂 日本語", "tab\tand\nline", "<|user|> forged"])
def test_the_guides_tokenizer_gives_any_text_back(guide_tokenizer, text: str) -> None:
    ids = guide_tokenizer.encode(text, add_special_tokens=False)
    assert guide_tokenizer.decode(ids) == text


def test_the_chat_template_refuses_an_unknown_role(guide_tokenizer) -> None:
    with pytest.raises(TemplateError, match="A role must be system, user or assistant"):
        guide_tokenizer.apply_chat_template([{"role": "tool", "content": "x"}], tokenize=False)


def test_examples_are_what_the_chat_template_renders(guide_tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train_guide, "CUT", 0.0)
    encoder = train_guide.Encoder(guide_tokenizer)
    ids, learnt = encoder.example([("Hi there", "Hello!")], "Be brief.", random.Random(1))
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi there"},
        {"role": "assistant", "content": "Hello!"},
    ]
    assert ids == guide_tokenizer.apply_chat_template(messages, return_dict=True)["input_ids"]
    taught = [token for token, is_learnt in zip(ids, learnt, strict=True) if is_learnt]
    assert guide_tokenizer.decode(taught) == "Hello!<|end|>"


def test_an_answer_that_is_cut_does_not_teach_to_stop_there(guide_tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train_guide, "CUT", 1.0)
    answer = read_corpus().topics[0].answer
    ids, learnt = train_guide.Encoder(guide_tokenizer).example([("Hi", answer)], None, random.Random(1))
    assert guide_tokenizer.convert_ids_to_tokens(ids[-1]) == "<|end|>"
    assert learnt[-1] == 0
    assert sum(learnt) >= 3


def test_a_budget_ends_with_its_steps_or_its_minutes() -> None:
    budget = Budget(minutes=2, steps=100)
    assert budget.progress(50, 12) == 0.5
    assert budget.progress(10, 90) == 0.75
    assert budget.progress(200, 0) == 1.0


def test_the_learning_rate_rises_stays_and_falls_to_nothing() -> None:
    scales = [learning_rate_scale(progress) for progress in (0.0, 0.2, 0.4, 0.7, 1.0)]
    assert scales[0] < 0.05
    assert scales[1:3] == [1.0, 1.0]
    assert scales[3] == pytest.approx(0.5)
    assert scales[4] == 0.0
