"""The KV cache of one conversation: what it holds, and the memory that it gives back."""

import resource
from pathlib import Path

import pytest
import torch

from inference.engines.kvcache import BLOCK_TOKENS, KVCache, of_own_pages

STATM = Path("/proc/self/statm")


def filled(tokens: int, layers: int = 2) -> KVCache:
    """Return a cache that has read so many tokens, with K and V that tell the token and the layer."""
    cache = KVCache()
    for layer in range(layers):
        key = (torch.arange(tokens, dtype=torch.float32) + 1000 * layer).view(1, 1, tokens, 1).expand(1, 2, tokens, 16)
        cache.write(layer, key, -key)
    cache.tokens.extend(range(tokens))
    return cache


def held(cache: KVCache, layer: int) -> list[float]:
    """Return what K holds of each token, having made sure that V agrees."""
    key, value = cache.read(layer, 0, len(cache.tokens))
    assert torch.equal(key, -value)
    return [float(number) for number in key[0, 1, :, 7]]


def test_a_copy_holds_the_first_tokens_and_is_its_own() -> None:
    lender, borrower = filled(BLOCK_TOKENS + 20), filled(5)
    borrower.copy(lender, 300 - 40)
    lender.cut(0)
    lender.write(0, torch.zeros(1, 2, 3, 16), torch.zeros(1, 2, 3, 16))
    assert borrower.tokens == list(range(260))
    assert held(borrower, 1) == [1000.0 + n for n in range(260)]
    assert held(borrower, 0) == [float(n) for n in range(260)]


def test_a_cache_that_is_made_shorter_keeps_what_is_valid() -> None:
    cache = filled(2 * BLOCK_TOKENS + 1)
    cache.cut(10)
    cache.expect(10, at_most=20)
    assert cache.nbytes == 2 * 2 * 2 * 16 * 4 * BLOCK_TOKENS
    assert held(cache, 1) == [1000.0 + n for n in range(10)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_tensor_of_own_pages_is_like_any_other(dtype: torch.dtype) -> None:
    tensor = of_own_pages(torch.empty(0, dtype=dtype), (1, 2, 3, 5))
    tensor.fill_(1.5)
    assert (tensor.shape, tensor.dtype, tensor.nbytes) == ((1, 2, 3, 5), dtype, 30 * dtype.itemsize)
    assert float(tensor.sum()) == 45.0


@pytest.mark.skipif(not STATM.exists(), reason="needs /proc")
def test_caches_between_others_give_their_memory_back() -> None:
    def resident_bytes() -> int:
        return int(STATM.read_text().split()[1]) * resource.getpagesize()

    caches = [
        filled(BLOCK_TOKENS) for _ in range(500)
    ]  # 64 MB in tensors of 32 KB, which malloc would keep in its heap
    full = resident_bytes()
    del caches[::2]
    assert full - resident_bytes() > 0.9 * 32 * 2**20
    assert len(caches) == 250
