"""Loading chat models, and what is said when it can't be done."""

import json
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, BloomConfig, GPT2Config

from inference.engines.generation import Sampling
from inference.engines.loading import (
    UNSTATED_CONTEXT_TOKENS,
    LoadingError,
    context_tokens,
    default_dtype,
    load_causal_model,
    sampling_defaults,
    stop_ids,
)
from tests.inference.engines.conftest import DecoderDirectory
from tests.inference.engines.small_decoders import CONFIGS, CONTEXT_TOKENS, save_decoder, train_tokenizer


def test_a_directory_is_loaded(decoder_directory: DecoderDirectory) -> None:
    loaded = load_causal_model(str(decoder_directory("gpt2")))
    assert loaded.context_tokens == CONTEXT_TOKENS
    assert loaded.model.dtype is default_dtype(loaded.model.device)
    assert not loaded.model.training


def test_a_cpu_gets_full_precision_and_a_gpu_halves() -> None:
    assert default_dtype(torch.device("cpu")) is torch.float32
    assert default_dtype(torch.device("cuda")) is torch.bfloat16


def test_a_directory_without_a_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(LoadingError, match=f"{tmp_path} could not be loaded as a chat model"):
        load_causal_model(tmp_path)


def test_an_unknown_architecture_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "unheard_of"}))
    with pytest.raises(LoadingError, match="unheard_of"):
        load_causal_model(tmp_path)


def test_weights_that_may_carry_code_are_refused(tmp_path: Path) -> None:
    save_decoder(CONFIGS["gpt2"], tmp_path)
    torch.save({}, tmp_path / "pytorch_model.bin")
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(LoadingError, match="safetensors"):
        load_causal_model(tmp_path)


def test_weights_cut_short_are_refused(tmp_path: Path) -> None:
    save_decoder(CONFIGS["gpt2"], tmp_path)
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(LoadingError, match="could not be loaded"):
        load_causal_model(tmp_path)


def test_the_stop_tokens_are_those_of_generation_settings_and_tokenizer() -> None:
    model, tokenizer = AutoModelForCausalLM.from_config(CONFIGS["gpt2"]), train_tokenizer()
    for stated, expected in ((None, {1}), (7, {1, 7}), ([7, 8], {1, 7, 8})):
        model.generation_config.eos_token_id = stated
        assert stop_ids(model, tokenizer) == expected


def test_a_context_that_is_not_stated_has_a_default() -> None:
    small = {"vocab_size": 50, "hidden_size": 16, "n_layer": 1, "n_head": 2}
    assert context_tokens(AutoModelForCausalLM.from_config(BloomConfig(**small))) == UNSTATED_CONTEXT_TOKENS
    stated = GPT2Config(vocab_size=50, n_positions=77, n_embd=16, n_layer=1, n_head=2)
    assert context_tokens(AutoModelForCausalLM.from_config(stated)) == 77


def test_a_model_says_how_its_tokens_are_to_be_chosen() -> None:
    model = AutoModelForCausalLM.from_config(CONFIGS["gpt2"])
    model.generation_config.update(do_sample=True, temperature=0.6, top_p=0.95, top_k=20)
    assert sampling_defaults(model) == Sampling(temperature=0.6, top_p=0.95, top_k=20)
    model.generation_config.do_sample = False
    assert sampling_defaults(model).temperature == 0


def test_numbers_that_mean_no_limit_are_none() -> None:
    model = AutoModelForCausalLM.from_config(CONFIGS["gpt2"])
    model.generation_config.top_p, model.generation_config.top_k = 0.0, -1
    assert (sampling_defaults(model).top_p, sampling_defaults(model).top_k) == (1.0, 0)
