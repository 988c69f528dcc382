"""Which way a model is run."""

import copy

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    Gemma3TextConfig,
    LlamaConfig,
    MambaConfig,
    Phi3Config,
    PreTrainedConfig,
    Qwen2Config,
)

import inference.engines.packed
from inference.engines.kvcache import BLOCK_TOKENS, CacheSize, KVCache
from inference.engines.packed import is_packable
from inference.engines.runners import choose_runner
from tests.inference.engines.small_decoders import CONFIGS, LLAMA, PACKED, RANDOM

SHORT, LONG = [1.0] * 8, [2.0] * 8
LONGROPE = {
    "rope_type": "longrope", "rope_theta": 10_000.0, "short_factor": SHORT, "long_factor": LONG,
    "original_max_position_embeddings": 64,
}  # fmt: skip
DYNAMIC = {"rope_type": "dynamic", "rope_theta": 10_000.0, "factor": 2.0}


def make(config: PreTrainedConfig) -> torch.nn.Module:
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(copy.deepcopy(config)).eval()  # it keeps the config and sets it


@pytest.mark.parametrize("name", CONFIGS)
def test_the_rule_and_the_check_agree(name: str) -> None:
    model = make(CONFIGS[name])
    assert is_packable(model) == (name in PACKED)
    assert choose_runner(model)[0].path == ("packed" if name in PACKED else "single")


@pytest.mark.parametrize(
    "config",
    [
        Phi3Config(**RANDOM, **LLAMA, pad_token_id=0, rope_parameters=LONGROPE),
        LlamaConfig(**RANDOM, **LLAMA, rope_parameters=DYNAMIC),
    ],
)
def test_rope_that_follows_the_longest_row_is_not_packed(config: PreTrainedConfig) -> None:
    assert not is_packable(make(config))


def test_rope_by_layer_type_is_packed() -> None:
    config = Gemma3TextConfig(
        **RANDOM, **LLAMA, head_dim=16, sliding_window=8, layer_types=["sliding_attention", "full_attention"]
    )
    assert choose_runner(make(config))[0].path == "packed"


def test_a_model_that_takes_no_such_cache_is_fed_its_whole_text() -> None:
    runner, size = choose_runner(make(MambaConfig(**RANDOM, hidden_size=64, num_hidden_layers=2, state_size=8)))
    assert (runner.path, runner.reads_in_chunks, size.tokens_in(1)) == ("single", False, None)


def test_a_model_whose_packed_logits_are_off_is_run_alone_by_its_own_attention(monkeypatch: pytest.MonkeyPatch) -> None:
    right = inference.engines.packed._grouped_attention

    def blind(query: torch.Tensor, *args: torch.Tensor | None, **options: torch.Tensor) -> torch.Tensor:
        return right(query, *args, **options) * 1.01

    monkeypatch.setattr(inference.engines.packed, "_grouped_attention", blind)
    model = make(Qwen2Config(**RANDOM, **LLAMA))
    own_attention = model.config._attn_implementation
    assert is_packable(model)
    assert choose_runner(model)[0].path == "single"
    assert model.config._attn_implementation == own_attention


def test_the_size_of_caches_is_measured() -> None:
    _, packed = choose_runner(make(CONFIGS["llama"]))
    assert packed == CacheSize(0, 2 * 2 * 2 * 16 * 4)  # K and V, layers, heads, head_dim, float32
    _, single = choose_runner(make(CONFIGS["stablelm"]))
    assert single == packed
    _, recurrent = choose_runner(make(CONFIGS["lfm2"]))
    assert recurrent.fixed_bytes > 0


def test_sizes_count_whole_blocks() -> None:
    size = CacheSize(100, 2)
    assert [size.of(n) for n in (0, 1, BLOCK_TOKENS, BLOCK_TOKENS + 1)] == [100, 612, 612, 1124]
    assert [size.tokens_in(n) for n in (0, 611, 612, 1123, 1124)] == [0, 0, 256, 256, 512]


def test_a_cache_keeps_what_is_valid_when_it_grows_and_shrinks() -> None:
    cache, k = KVCache(), torch.arange(600.0).reshape(1, 1, 600, 1)
    for start, end in ((0, 10), (10, 250), (250, 600)):
        cache.write(0, k[:, :, start:end], -k[:, :, start:end])
        cache.tokens.extend(range(start, end))
    cache.cut(300)
    cache.expect(300, at_most=400)
    key, value = cache.read(0, 0, 300)
    assert torch.equal(key, k[:, :, :300])
    assert torch.equal(value, -k[:, :, :300])
    assert cache.nbytes == 2 * 512 * 4


def test_a_cache_makes_room_for_what_is_expected_at_once() -> None:
    cache = KVCache()
    cache.expect(700, at_most=900)
    cache.write(0, torch.zeros(1, 1, 1, 1), torch.zeros(1, 1, 1, 1))
    assert cache.nbytes == 2 * 768 * 4
