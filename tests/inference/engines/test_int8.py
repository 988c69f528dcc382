"""Weights in int8 beside bf16: how near they are, when they are used, and what a model makes of them."""

from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional
from transformers import AutoModelForCausalLM, LlamaConfig

from inference.catalog import ModelEntry
from inference.engines.int8 import MOST_ROWS, Int8Linear, add_int8_weights, quantise
from inference.engines.selection import EngineOptions, Loader
from tests.inference.engines.small_decoders import CONFIGS, LLAMA, RANDOM, save_decoder


@pytest.fixture
def linear() -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(128, 50).to(torch.bfloat16).requires_grad_(False)


def test_a_weight_is_off_by_half_a_step_at_most() -> None:
    weight = torch.randn(20, 64) * torch.logspace(-3, 3, 20)[:, None]
    weight[7] = 0
    quantised, scales = quantise(weight)
    assert quantised.dtype is torch.int8
    off = (quantised.float() * scales[:, None] - weight).abs()
    assert (off <= 0.5001 * scales[:, None]).all()
    assert (weight.abs().amax(1) <= 127.01 * scales).all()


@pytest.mark.parametrize("rows", range(1, MOST_ROWS + 1))
def test_few_rows_are_multiplied_in_int8(linear: nn.Linear, rows: int) -> None:
    layer, inputs = Int8Linear(linear), torch.randn(rows, 1, 128).to(torch.bfloat16)
    exact = functional.linear(
        inputs.float(), layer.quantised.float() * layer.scales.float()[:, None], linear.bias.float()
    )
    assert layer(inputs).shape == (rows, 1, 50)
    assert torch.allclose(layer(inputs).float(), exact, atol=0.01 * float(exact.abs().max()))
    assert not torch.equal(layer(inputs), linear(inputs))


def test_more_rows_are_multiplied_in_bf16(linear: nn.Linear) -> None:
    inputs = torch.randn(1, MOST_ROWS + 1, 128).to(torch.bfloat16)
    assert torch.equal(Int8Linear(linear)(inputs), linear(inputs))


def test_layers_that_torch_would_read_beyond_are_left_as_they_are() -> None:
    model = nn.Sequential(nn.Linear(64, 33), nn.Linear(33, 64)).to(torch.bfloat16)
    add_int8_weights(model)
    assert [type(layer) for layer in model] == [Int8Linear, nn.Linear]


@pytest.mark.parametrize("is_tied", [False, True])
def test_a_model_says_nearly_the_same_and_keeps_tied_weights(is_tied: bool) -> None:
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(LlamaConfig(**RANDOM, **LLAMA, tie_word_embeddings=is_tied))
    model.to(torch.bfloat16).eval()
    ids = torch.tensor([[5, 9, 200]])
    with torch.inference_mode():
        before = model(input_ids=ids).logits.float()
        add_int8_weights(model)
        after = model(input_ids=ids).logits.float()
    assert 0 < (after - before).abs().max() < 0.05 * before.abs().max()
    assert (model.lm_head.weight is model.model.embed_tokens.weight) == is_tied


def test_the_operator_can_choose_it_and_its_memory_is_counted(tmp_path: Path) -> None:
    save_decoder(CONFIGS["llama"], tmp_path)
    entry = ModelEntry(id="small", task="chat", source=str(tmp_path))
    weight_bytes = {}
    for dtype in ("bfloat16", "int8"):
        engine = Loader(EngineOptions(threads=1, max_rows=2, cache_bytes=2**22, dtype=dtype))(entry)
        assert engine.describe()["dtype"] == dtype
        weight_bytes[dtype] = engine.memory_bytes
        engine.close()
    assert 1.2 < weight_bytes["int8"] / weight_bytes["bfloat16"] < 1.55
