"""Loading chat models, and what is said when it can't be done."""

import json
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, BloomConfig, GPT2Config

from inference.catalog import ModelEntry
from inference.engines.generation import Sampling
from inference.engines.loading import (
    HALVED_BYTES,
    UNSTATED_CONTEXT_TOKENS,
    LoadingError,
    choose_dtype,
    context_tokens,
    load_causal_model,
    sampling_defaults,
    stop_ids,
    weight_bytes,
)
from inference.engines.selection import EngineOptions, Loader
from tests.inference.engines.conftest import DecoderDirectory
from tests.inference.engines.small_decoders import CONFIGS, CONTEXT_TOKENS, save_decoder, train_tokenizer


def test_a_directory_is_loaded(decoder_directory: DecoderDirectory) -> None:
    loaded = load_causal_model(str(decoder_directory("gpt2")))
    assert loaded.context_tokens == CONTEXT_TOKENS
    assert loaded.model.dtype is choose_dtype("auto", loaded.model.device)
    assert not loaded.model.training


@pytest.mark.parametrize("flag", ["_is_avx512_bf16_supported", "_is_amx_tile_supported"])
def test_a_cpu_that_computes_in_bf16_does_so_for_large_models(flag: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        monkeypatch.setattr(torch.cpu, name, lambda is_there=name == flag: is_there)
    assert choose_dtype("auto", torch.device("cpu"), HALVED_BYTES) is torch.bfloat16
    assert choose_dtype("auto", torch.device("cpu"), HALVED_BYTES - 1) is torch.float32


def test_a_cpu_without_bf16_gets_full_precision_and_a_gpu_halves(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        monkeypatch.setattr(torch.cpu, name, lambda: False)
    assert choose_dtype("auto", torch.device("cpu"), HALVED_BYTES) is torch.float32
    assert choose_dtype("auto", torch.device("cuda")) is torch.bfloat16


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_operator_can_choose_the_number_format(decoder_directory: DecoderDirectory, dtype: torch.dtype) -> None:
    options = EngineOptions(threads=1, max_rows=2, cache_bytes=2**22, dtype=str(dtype).removeprefix("torch."))
    entry = ModelEntry(id="small", task="chat", source=str(decoder_directory("llama")))
    engine = Loader(options)(entry)
    assert engine.describe()["dtype"] == options.dtype
    engine.close()


def test_the_size_of_weights_is_what_the_directory_holds_and_a_hubs_are_large(tmp_path: Path) -> None:
    for name in ("model-1.safetensors", "model-2.safetensors", "other.bin"):
        (tmp_path / name).write_bytes(bytes(100))
    assert weight_bytes(tmp_path) == 200
    assert weight_bytes("org/name") > HALVED_BYTES


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
