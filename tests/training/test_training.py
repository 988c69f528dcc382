"""What the training scripts build: tokenizers that lose nothing, examples that match the chat template, budgets."""

import math
import random

import pytest
import torch
from jinja2.exceptions import TemplateError

from training import train_guide
from training.guide_tokenizer import train_tokenizer as train_guide_tokenizer
from training.optimisation import Budget, learning_rate_scale
from training.talk_corpus import Talk, read_talk


@pytest.fixture(scope="module")
def talk() -> Talk:
    return read_talk()


@pytest.fixture(scope="module")
def guide_tokenizer(talk: Talk):
    return train_guide_tokenizer(talk, seed=1)


@pytest.mark.parametrize("text", ["Hello", " two  spaces ", "Łukasz 🙂 日本語", "tab\tand\nline", "<|user|> forged"])
def test_the_guides_tokenizer_gives_any_text_back(guide_tokenizer, text: str) -> None:
    ids = guide_tokenizer.encode(text, add_special_tokens=False)
    assert guide_tokenizer.decode(ids) == text


def test_the_chat_template_refuses_an_unknown_role(guide_tokenizer) -> None:
    with pytest.raises(TemplateError, match="A role must be system, user or assistant"):
        guide_tokenizer.apply_chat_template([{"role": "tool", "content": "x"}], tokenize=False)


def test_examples_are_what_the_chat_template_renders(guide_tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train_guide, "CUT", 0.0)
    encoder = train_guide.Encoder(guide_tokenizer, frozenset(), frozenset())
    ids, weights, _ = encoder.example([("Hi there", "Hello!")], "Be brief.", random.Random(1))
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi there"},
        {"role": "assistant", "content": "Hello!"},
    ]
    assert ids == guide_tokenizer.apply_chat_template(messages, return_dict=True)["input_ids"]
    taught = [token for token, is_learnt in zip(ids, weights, strict=True) if is_learnt]
    assert guide_tokenizer.decode(taught) == "Hello!<|end|>"


def test_an_answer_that_is_cut_does_not_teach_to_stop_there(
    guide_tokenizer, talk: Talk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train_guide, "CUT", 1.0)
    monkeypatch.setattr(train_guide, "WHOLE", 0.0)
    answer = talk.topics["get-key"].answers[0]
    encoder = train_guide.Encoder(guide_tokenizer, frozenset({answer}), frozenset({answer}))
    ids, weights, doubts = encoder.example([("Hi", answer)], None, random.Random(1))
    assert guide_tokenizer.convert_ids_to_tokens(ids[-1]) == "<|end|>"
    assert weights[-1] == 0
    assert next(place for place, weight in enumerate(weights) if weight) == doubts.index(True)
    assert sum(doubts) == 1


def test_what_was_told_is_never_cut_and_may_be_withheld(guide_tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train_guide, "CUT", 1.0)
    monkeypatch.setattr(train_guide, "WHOLE", 0.0)
    encoder = train_guide.Encoder(guide_tokenizer, frozenset({"Noted."}), frozenset())
    turns = [("nine hens live here", "Noted."), ("hens?", 'You told me: "nine hens live here"')]
    ids, weights, doubts = encoder.example(turns, None, random.Random(1))
    assert guide_tokenizer.decode(ids).endswith('You told me: "nine hens live here"<|end|>')
    assert weights[-1] == 1
    assert [guide_tokenizer.decode(token) for token, may in zip(ids, doubts, strict=True) if may] == ["You"]


def test_a_title_is_one_token_that_comes_back_as_it_was(guide_tokenizer, talk: Talk) -> None:
    ids = guide_tokenizer.encode(talk.topics["get-key"].answers[0], add_special_tokens=False)
    assert guide_tokenizer.decode(ids[:1]) == "Getting a key:"
    assert guide_tokenizer.decode(ids) == talk.topics["get-key"].answers[0]


def test_small_talk_is_chosen_in_one_step_too(guide_tokenizer, talk: Talk) -> None:
    """Where topics share a first token, doubt about one of them has no token to speak by."""
    spoken = [answer for topic in talk.topics.values() if not topic.title for answer in topic.answers]
    answers = [answer for answer in spoken if not answer.startswith("I ")]
    first = {guide_tokenizer.encode(answer, add_special_tokens=False)[0] for answer in answers}
    assert len(first) == len(answers) > 40


def test_an_answer_of_one_token_is_learnt_whole(guide_tokenizer) -> None:
    encoder = train_guide.Encoder(guide_tokenizer, frozenset(), frozenset())
    ids, weights, doubts = encoder.example([("Thanks", "My pleasure!")], None, random.Random(1))
    assert len(ids) == len(weights) == len(doubts)
    taught = [token for token, is_learnt in zip(ids, weights, strict=True) if is_learnt]
    assert guide_tokenizer.convert_ids_to_tokens(taught) == ["My pleasure!", "<|end|>"]


def test_where_a_topic_is_chosen_a_refusal_has_its_part_of_the_target(guide_tokenizer) -> None:
    """With a model that knows nothing, every token's loss is alike; so is that of the mixture."""
    model = train_guide.make_model(guide_tokenizer)
    model.lm_head.weight.data.zero_()
    ids = torch.tensor([[1, 2, 3, 4]])
    weights, doubts = torch.tensor([[0.0, 0.0, 4.0, 1.0]]), torch.tensor([[False, False, True, False]])
    loss = train_guide.loss_of(model, (ids, weights, doubts), refusal=9)
    assert loss.item() == pytest.approx(math.log(len(guide_tokenizer)), rel=1e-4)
    loss.backward()
    pull = model.lm_head.weight.grad.norm(dim=1)
    assert pull[9].item() == pytest.approx(pull[3].item() * train_guide.DOUBT / (1 - train_guide.DOUBT), rel=0.02)


def test_a_model_keeps_what_it_knows_in_another_vocabulary(guide_tokenizer, talk: Talk) -> None:
    old = train_guide.make_model(guide_tokenizer)
    same = train_guide.with_vocabulary(old, guide_tokenizer, guide_tokenizer)
    whole = guide_tokenizer.convert_tokens_to_ids("Ġkey")
    assert torch.equal(same.get_input_embeddings().weight[whole], old.get_input_embeddings().weight[whole])
    assert torch.equal(same.model.layers[0].mlp.up_proj.weight, old.model.layers[0].mlp.up_proj.weight)


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
