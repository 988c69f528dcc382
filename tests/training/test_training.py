"""What the training scripts build: tokenizers that lose nothing, examples that match the chat template, budgets."""

import itertools
import math
import random
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import MagicMock

import pytest
import torch
from jinja2.exceptions import TemplateError
from transformers import PreTrainedTokenizerFast

from training import check_guide, train_guide
from training.guide_tokenizer import train_tokenizer as train_guide_tokenizer
from training.optimisation import Arguments, Budget, hasten, learning_rate_scale, train, training_arguments
from training.publishing import Training, read_trainings, save_training
from training.sealed.grading import Verdict
from training.sealed.report import Graded
from training.talk_conversations import Storyteller
from training.talk_corpus import Talk, read_talk


@pytest.fixture(scope="module")
def talk() -> Talk:
    return read_talk()


def never(_answer: str) -> bool:
    return False


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
    encoder = train_guide.Encoder(guide_tokenizer, frozenset(), never)
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
    encoder = train_guide.Encoder(guide_tokenizer, frozenset({answer}), {answer}.__contains__)
    ids, weights, doubts = encoder.example([("Hi", answer)], None, random.Random(1))
    assert guide_tokenizer.convert_ids_to_tokens(ids[-1]) == "<|end|>"
    assert weights[-1] == 0
    assert next(place for place, weight in enumerate(weights) if weight) == doubts.index(True)
    assert sum(doubts) == 1


def test_what_was_told_is_never_cut_and_may_be_withheld(guide_tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train_guide, "CUT", 1.0)
    monkeypatch.setattr(train_guide, "WHOLE", 0.0)
    encoder = train_guide.Encoder(guide_tokenizer, frozenset({"Noted."}), train_guide.withholding(read_talk()))
    turns = [("nine hens live here", "Noted."), ("hens?", 'You told me: "nine hens live here"')]
    ids, weights, doubts = encoder.example(turns, None, random.Random(1))
    assert guide_tokenizer.decode(ids).endswith('You told me: "nine hens live here"<|end|>')
    assert weights[-1] == 1
    first = guide_tokenizer.encode("You told me", add_special_tokens=False)[0]
    assert [token for token, may in zip(ids, doubts, strict=True) if may] == [first]


def test_doubt_has_a_say_in_answers_about_aister_and_in_what_was_told_alone(talk: Talk) -> None:
    may_be_withheld = train_guide.withholding(talk)
    follow = next(follow for topic in talk.topics.values() for follow in topic.follow if follow.answer)
    name = talk.facts["name"]
    assert may_be_withheld(talk.topics["get-key"].answers[0])
    assert may_be_withheld(follow.answer)
    assert may_be_withheld(name.answer.replace("{value}", "Zoë"))
    assert not may_be_withheld(name.corrected.replace("{value}", "Zoë"))
    assert not may_be_withheld(talk.statements.acknowledge)


def test_every_refusal_begins_with_the_token_of_doubt(guide_tokenizer, talk: Talk) -> None:
    refusals = [talk.unsure, *(opening for kind in talk.kinds.values() for opening in kind.openings)]
    refusals += [talk.statements.unknown, *(fact.unknown for fact in talk.facts.values())]
    assert {guide_tokenizer.encode(text, add_special_tokens=False)[0] for text in refusals} == {
        guide_tokenizer.encode("I", add_special_tokens=False)[0]
    }


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
    encoder = train_guide.Encoder(guide_tokenizer, frozenset(), never)
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
    assert torch.equal(same.get_input_embeddings().weight, old.get_input_embeddings().weight)
    assert torch.equal(same.model.layers[0].mlp.up_proj.weight, old.model.layers[0].mlp.up_proj.weight)


def test_a_new_token_is_the_mean_of_its_parts(guide_tokenizer) -> None:
    new = PreTrainedTokenizerFast(tokenizer_object=guide_tokenizer.backend_tokenizer, pad_token="<|pad|>")
    new.add_tokens(["zebra crossing"])
    old = train_guide.make_model(guide_tokenizer)
    learnt = train_guide.with_vocabulary(old, guide_tokenizer, new).get_input_embeddings().weight
    parts = guide_tokenizer.encode("zebra crossing", add_special_tokens=False)
    assert len(parts) > 1
    assert torch.equal(learnt[-1], old.get_input_embeddings().weight[parts].mean(dim=0))


def test_batches_are_bounded_and_hold_whole_conversations(guide_tokenizer, talk: Talk) -> None:
    encoder = train_guide.Encoder(guide_tokenizer, frozenset(), never)
    made = train_guide.batches(Storyteller(talk, random.Random(1)), encoder, guide_tokenizer.pad_token_id)
    sizes = []
    for ids, weights, doubts in itertools.islice(made, 5):
        assert ids.shape == weights.shape == doubts.shape
        assert ids.shape[1] % train_guide.LENGTHS == 0
        assert not weights[ids == guide_tokenizer.pad_token_id].any()
        sizes.append(ids.numel())
    assert max(sizes) <= train_guide.BATCH_TOKENS
    assert max(sizes) > train_guide.BATCH_TOKENS / 2


def test_padding_leaves_the_loss_as_it_is(guide_tokenizer) -> None:
    torch.manual_seed(1)
    model, pad = train_guide.make_model(guide_tokenizer), guide_tokenizer.pad_token_id
    short: train_guide.Example = ([1, 5, 6, 7], [0.0, 0.0, 4.0, 1.0], [False, False, True, False])
    long: train_guide.Example = ([1, *range(5, 45)], [0.0] * 41, [False] * 41)
    alone, padded = (train_guide._collate(examples, pad) for examples in ([short], [short, long]))
    assert padded[0].shape == (2, 48)
    alone_loss, padded_loss = (train_guide.loss_of(model, batch, refusal=9).item() for batch in (alone, padded))
    assert padded_loss == pytest.approx(alone_loss, rel=1e-5)


def _introductions(monkeypatch: pytest.MonkeyPatch, talk: Talk, tokenizer, steps: int) -> Iterator[bool]:
    """Yield for each of many batches whether the conversations of its pool were introductions only."""
    told: list[str] = []

    class Noted(Storyteller):
        def introduction(self, turns: int):
            told.append("introduction")
            return super().introduction(turns)

        def conversation(self, turns: int):
            told.append("conversation")
            return super().conversation(turns)

    monkeypatch.setattr(train_guide, "POOL", 8)
    encoder = train_guide.Encoder(tokenizer, frozenset(), never)
    for _ in train_guide.batches(Noted(talk, random.Random(1)), encoder, tokenizer.pad_token_id, steps):
        yield set(told[-8:]) == {"introduction"}


def test_the_first_steps_are_introductions(guide_tokenizer, talk: Talk, monkeypatch: pytest.MonkeyPatch) -> None:
    introduced = list(itertools.islice(_introductions(monkeypatch, talk, guide_tokenizer, steps=6), 30))
    assert all(introduced[:6])
    assert not all(introduced[6:])


def _arguments(output: Path, step: int, checkpoint: Path) -> Arguments:
    return Arguments(Budget(math.inf, 9), output, None, checkpoint, step)


def test_a_run_that_goes_on_keeps_its_tokenizer_and_gets_other_conversations_each_time(
    guide_tokenizer, talk: Talk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learnt = iter([guide_tokenizer])
    monkeypatch.setattr(train_guide, "train_tokenizer", lambda *_: next(learnt))
    monkeypatch.setattr(train_guide, "read_talk", lambda: talk)
    output, checkpoint = tmp_path / "model", tmp_path / "run.pt"
    begun = [train_guide._begin(_arguments(output, step, checkpoint)) for step in (0, 100, 200)]
    assert not output.exists()
    assert all(tokenizer.get_vocab() == guide_tokenizer.get_vocab() for _, tokenizer, _ in begun)
    assert all(len(tokenizer) == model.config.vocab_size for model, tokenizer, _ in begun)
    assert len({str(storyteller.conversation(4)) for _, _, storyteller in begun}) == 3


@pytest.fixture
def trainer(guide_tokenizer, talk: Talk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make `train_guide.main` train two steps in `tmp_path`; returns its checkpoint."""
    monkeypatch.setattr(train_guide, "train_tokenizer", lambda *_: guide_tokenizer)
    monkeypatch.setattr(train_guide, "read_talk", lambda: talk)
    monkeypatch.setattr(train_guide, "hasten", lambda _: None)
    monkeypatch.setattr(train_guide, "write_report", lambda _: None)
    monkeypatch.setattr(train_guide, "POOL", 8)
    monkeypatch.setattr("training.optimisation.CHECKPOINT_S", 0.0)
    checkpoint = tmp_path / "run.pt"
    given = ["train_guide", "--steps", "2", "--output", str(tmp_path / "model"), "--checkpoint", str(checkpoint)]
    monkeypatch.setattr(sys, "argv", given)
    return checkpoint


def test_a_finished_run_leaves_the_model_its_facts_and_no_checkpoint(trainer: Path, talk: Talk) -> None:
    train_guide.main()
    assert [path.name for path in trainer.parent.iterdir()] == ["model"]
    output = trainer.parent / "model"
    written = {path.name for path in output.iterdir()}
    assert {"model.safetensors", "tokenizer.json", "aister.json", "training.json"} <= written
    assert (output / "training.json").stat().st_size < 1000
    [facts] = read_trainings(output)
    assert (facts.steps, facts.seed, facts.further) == (2, train_guide.SEED, False)
    assert f"{len(talk.topics)} topics" in str(facts)


def test_a_run_that_is_killed_leaves_the_output_alone_and_goes_on(
    trainer: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loss_of, introduction_steps = train_guide.loss_of, []
    made = train_guide.batches

    def batches(storyteller: Storyteller, encoder: train_guide.Encoder, pad: int, steps: int):
        introduction_steps.append(steps)
        return made(storyteller, encoder, pad, steps)

    def killed_in_the_second_step(*given):
        return next(losses)(*given)

    losses = iter([loss_of])
    monkeypatch.setattr(train_guide, "batches", batches)
    monkeypatch.setattr(train_guide, "loss_of", killed_in_the_second_step)
    with pytest.raises(StopIteration):
        train_guide.main()
    assert not (trainer.parent / "model").exists()
    assert training_arguments("", Path(), 9).step == 1
    monkeypatch.setattr(train_guide, "loss_of", loss_of)
    train_guide.main()
    assert [facts.steps for facts in read_trainings(trainer.parent / "model")] == [2]
    assert introduction_steps == [train_guide.INTRODUCTION_STEPS, train_guide.INTRODUCTION_STEPS - 1]


def test_without_a_compiler_training_says_so_and_goes_on(
    guide_tokenizer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def compiled(_):
        raise RuntimeError("no C++ compiler")

    monkeypatch.setattr(torch, "compile", compiled)
    model = train_guide.make_model(guide_tokenizer)
    hasten(model.model)
    assert model.model._compiled_call_impl is None
    assert capsys.readouterr().out.count("\n") == 1


def test_all_refusals_of_the_guide_count_as_refusals(talk: Talk) -> None:
    judge = check_guide.Judge(talk)
    refusals = [
        f"{opening} {ending}" for kind in talk.kinds.values() for opening in kind.openings for ending in talk.endings
    ]
    assert {judge.verdict(refusal, "get-key") for refusal in refusals} == {Verdict.DECLINED}


def test_a_report_says_how_the_model_was_trained_and_quotes_no_turn_that_chooses_between_trainings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Training(100, 1.5, "cpu", 2, 7, "170 topics", further=False)
    save_training(run, tmp_path, None)
    wrong = Graded(group="all", id="c-7", ground="on", text="Who?", answer="Nobody.", verdict=Verdict.WRONG)
    guide = MagicMock()
    guide.model.num_parameters.return_value = 1
    monkeypatch.setattr(check_guide, "Guide", lambda _: guide)
    monkeypatch.setattr(check_guide, "ServedGuide", MagicMock())
    monkeypatch.setattr(check_guide, "check_questions", lambda *_: (Counter({Verdict.RIGHT: 1}), []))
    monkeypatch.setattr(check_guide, "check_conversations", lambda *_: (1, 1, []))
    monkeypatch.setattr(check_guide, "ask_guide", lambda *_: [wrong])
    check_guide.write_report(tmp_path)
    report = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert f"- {run}\n" in report
    assert "- c-7\n" in report
    assert "Nobody." not in report


def test_training_ends_with_its_steps_however_slow_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["train_guide"])
    budget = training_arguments("", Path("model"), 100).budget
    assert budget.progress(50, elapsed_s=1e9) == 0.5


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


def test_the_learning_rate_of_further_parts_does_the_same_at_half_the_height() -> None:
    scales = [learning_rate_scale(progress, (0.6, 0.8)) for progress in (0.0, 0.24, 0.42, 0.6, 0.68, 0.74, 0.94, 1.0)]
    assert scales == pytest.approx([0.01, 1.0, 0.5, 0.005, 0.5, 0.25, 0.25, 0.0])


def test_a_run_of_several_parts_ends_with_the_mean_of_all() -> None:
    model, seen = torch.nn.Linear(1, 1, bias=False), list[float]()
    train(
        model,
        [torch.optim.SGD(model.parameters(), lr=1.0)],
        itertools.repeat(None),
        lambda _batch: model.weight.sum(),
        budget=Budget(minutes=math.inf, steps=10),
        restarts=(0.4, 0.7),
        after_step=lambda: seen.append(model.weight.item()),
    )
    assert len(set(seen)) >= 9
    assert model.weight.item() == pytest.approx((seen[3] + seen[6] + seen[9]) / 3)
