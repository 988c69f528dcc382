"""Loading models that are not as they should be, or say unusual things."""

from pathlib import Path

import pytest
import torch
from transformers import BartConfig, BartForConditionalGeneration

from inference.engines.base import Finished
from inference.engines.loading import LoadingError
from inference.engines.seq2seq import Seq2SeqEngine, SequenceRequest
from inference.engines.seq2seq_loading import UNBOUNDED_TABLE_TOKENS, load_model
from inference.errors import AisterError
from tests.inference.engines.small_translators import SHAPE, save_marian, save_mbart50, save_t5


@pytest.fixture
def marian(tmp_path: Path) -> Path:
    return save_marian(tmp_path / "marian", targets=("fr",), tokenizer={"source_lang": "en"})


def test_a_directory_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(LoadingError, match="could not be loaded as a translation model"):
        load_model(tmp_path / "nowhere", threads=1)


@pytest.mark.parametrize("broken", ["model.safetensors", "config.json", "vocab.json", "source.spm"])
def test_a_file_that_is_broken(marian: Path, broken: str) -> None:
    (marian / broken).write_bytes((marian / broken).read_bytes()[:100])
    with pytest.raises(LoadingError, match="could not be loaded as a translation model"):
        load_model(marian, threads=1)


def test_a_model_that_names_no_languages_is_loaded_and_does_not_translate(tmp_path: Path) -> None:
    directory = save_mbart50(tmp_path / "bart")
    (directory / "tokenizer_config.json").write_text('{"tokenizer_class": "PreTrainedTokenizerFast"}')
    config = BartConfig(vocab_size=300, **SHAPE)
    BartForConditionalGeneration(config).save_pretrained(directory)
    engine = Seq2SeqEngine.load(directory, threads=1)
    with pytest.raises(AisterError) as refusal:
        _ = engine.text
    assert refusal.value.code == "wrong_task"


def test_relative_positions_have_a_bound_too(tmp_path: Path) -> None:
    assert load_model(save_t5(tmp_path / "t5"), threads=1).max_source_tokens == UNBOUNDED_TABLE_TOKENS


@pytest.mark.parametrize("setting", [{"encoder_no_repeat_ngram_size": 3}, {"encoder_repetition_penalty": 1.2}])
def test_rows_whose_scores_depend_on_the_batch_are_not_batched(tmp_path: Path, setting: dict[str, float]) -> None:
    directory = save_marian(tmp_path / "m", targets=("fr",), tokenizer={"source_lang": "en"}, generation=setting)
    assert not load_model(directory, threads=1).rows_are_independent


def test_sampling_and_length_of_the_models_own_settings_are_put_aside(tmp_path: Path) -> None:
    settings = {"num_beams": 4, "do_sample": True, "max_length": 7, "length_penalty": 0.5}
    directory = save_marian(tmp_path / "m", targets=("fr",), tokenizer={"source_lang": "en"}, generation=settings)
    config = load_model(directory, threads=1).model.generation_config
    assert (config.num_beams, config.do_sample, config.max_length) == (1, False, None)
    assert config.length_penalty == 0.5


@pytest.mark.parametrize("setting", [{"use_cache": False}, {"return_dict_in_generate": True}])
@pytest.mark.parametrize("num_beams", [1, 2])
def test_settings_that_only_training_needed_stop_nothing(
    tmp_path: Path, setting: dict[str, bool], num_beams: int
) -> None:
    directory = save_marian(tmp_path / "m", targets=("fr",), tokenizer={"source_lang": "en"}, generation=setting)
    engine = Seq2SeqEngine.load(directory, threads=1)
    sequence = engine.text.encode("Good morning", "en", "fr")
    engine.admit(SequenceRequest(key="k", sequences=(sequence,), num_beams=num_beams, max_new_tokens=3))
    said = [progress for _ in range(3) for _, progress in engine.step()]
    assert isinstance(said[-1], Finished)


def test_weights_that_may_carry_code_are_refused(marian: Path) -> None:
    torch.save({}, marian / "pytorch_model.bin")
    (marian / "model.safetensors").unlink()
    with pytest.raises(LoadingError, match="safetensors"):
        load_model(marian, threads=1)
