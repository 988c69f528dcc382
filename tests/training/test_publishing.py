"""What is written beside a trained model, and where a report on it goes."""

import json
import sys
from pathlib import Path

import pytest
import torch
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

from training import check_guide, check_phrasebook, publishing
from training.publishing import (
    BUNDLED,
    Description,
    Training,
    read_trainings,
    report_of,
    save_description,
    save_model,
    save_training,
    weight_bytes,
)

TRAINING = Training(
    steps=16_000, minutes=59.5, device="cpu", threads=2, seed=7, corpus="170 topics in 9 phrasings", further=False
)


def test_weights_are_saved_in_half_precision_and_the_model_stays_as_it_is(tmp_path: Path) -> None:
    tokenizer = PreTrainedTokenizerFast.from_pretrained(BUNDLED / "aister-guide")
    sizes = {"hidden_size": 8, "intermediate_size": 8, "num_attention_heads": 1, "num_key_value_heads": 1}
    model = Qwen3ForCausalLM(Qwen3Config(vocab_size=16, num_hidden_layers=1, head_dim=8, **sizes))
    before = model.get_input_embeddings().weight.detach().clone()
    save_model(model, tokenizer, tmp_path / "new" / "model")
    saved = Qwen3ForCausalLM.from_pretrained(tmp_path / "new" / "model")
    assert saved.dtype == torch.float16
    assert torch.equal(saved.get_input_embeddings().weight, before.half())
    assert torch.equal(model.get_input_embeddings().weight, before)
    assert 2 * saved.num_parameters() < weight_bytes(tmp_path / "new" / "model") < 3 * saved.num_parameters() + 4000


def test_a_description_is_written_as_the_catalog_reads_it(tmp_path: Path) -> None:
    save_description(Description("a-model", "chat", "Speaks — a little.", ["en"], ["Hi"]), tmp_path)
    text = (tmp_path / "aister.json").read_text(encoding="utf-8")
    assert "—" in text
    assert json.loads(text) == {
        "name": "a-model",
        "task": "chat",
        "description": "Speaks — a little.",
        "languages": ["en"],
        "examples": ["Hi"],
        "demonstration": True,
    }


def test_how_a_model_was_trained_stays_with_it(tmp_path: Path) -> None:
    assert read_trainings(tmp_path) == []
    save_training(TRAINING, tmp_path, None)
    assert read_trainings(tmp_path) == [TRAINING]
    line = "trained anew: 16,000 steps in 59.5 minutes on cpu with 2 threads, seed 7, 170 topics in 9 phrasings"
    assert str(TRAINING) == line


def test_a_model_that_went_on_has_the_runs_before_too(tmp_path: Path) -> None:
    further = publishing.Training(100, 1.0, "cpu", 2, 7, "171 topics", further=True)
    save_training(TRAINING, tmp_path, None)
    save_training(further, tmp_path, start=tmp_path)
    assert read_trainings(tmp_path) == [TRAINING, further]
    save_training(TRAINING, tmp_path, None)
    assert read_trainings(tmp_path) == [TRAINING]


def test_only_a_bundled_model_gets_the_report_that_is_committed(tmp_path: Path) -> None:
    committed = Path("reports/guide.md")
    assert report_of(BUNDLED / "aister-guide", committed) == committed
    assert report_of(tmp_path, committed) == tmp_path / "report.md"


@pytest.mark.parametrize("module", [check_guide, check_phrasebook])
def test_the_checks_take_a_place_for_their_report(module, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "argv", ["check", str(tmp_path), "--report", "here.md"])
    measured: list[tuple[Path, Path | None]] = []
    monkeypatch.setattr(module, "write_report", lambda directory, report: measured.append((directory, report)))
    module.main()
    assert measured == [(tmp_path, Path("here.md"))]
