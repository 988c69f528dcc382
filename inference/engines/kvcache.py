"""The KV cache of one conversation: its token ids, and K and V of each layer. Touched by the engine's thread only."""

import mmap
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import torch

BLOCK_TOKENS = 256
"""K and V grow by whole blocks of this many tokens: growing copies, so it must be rare."""

PRIVATE = {"flags": mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS} if hasattr(mmap, "MAP_ANONYMOUS") else {}
"""How pages are asked for, where that can be said: private ones that lie side by side count as one mapping."""


def whole_blocks(tokens: int) -> int:
    """Round a number of tokens up to whole blocks."""
    return -(-tokens // BLOCK_TOKENS) * BLOCK_TOKENS


@dataclass(frozen=True, slots=True)
class CacheSize:
    """How many bytes a conversation's cache takes."""

    fixed_bytes: int
    token_bytes: int

    def of(self, tokens: int) -> int:
        """Return the bytes that `tokens` tokens may come to take."""
        return self.fixed_bytes + self.token_bytes * whole_blocks(tokens)

    def tokens_in(self, cache_bytes: int) -> int | None:
        """Return how many tokens fit into `cache_bytes`, in whole blocks; None when there is no limit."""
        if not self.token_bytes:
            return None
        return max(0, cache_bytes - self.fixed_bytes) // (self.token_bytes * BLOCK_TOKENS) * BLOCK_TOKENS


def of_own_pages(like: torch.Tensor, shape: Sequence[int]) -> torch.Tensor:
    """Return a new tensor of the dtype and device of `like`, whose memory goes back to the system as soon as it is let
    go. In the heap, tensors of many sizes that come and go leave holes, and a server grows for ever.
    """
    if like.device.type != "cpu":
        return like.new_empty(shape)
    pages = mmap.mmap(-1, prod(shape) * like.element_size(), **PRIVATE)
    return torch.frombuffer(pages, dtype=like.dtype).view(shape)


class KVCache:
    """Token ids and, for each layer, K and V of shape (1, kv_heads, capacity, head_dim).

    The first `len(tokens)` positions are valid; what lies behind them is room. During a pass the new tokens' K and V
    are written layer by layer, and the tokens are added when the pass is over: a pass that fails half-way leaves the
    cache as it was.
    """

    def __init__(self) -> None:
        self.tokens: list[int] = []
        self._keys: dict[int, torch.Tensor] = {}
        self._values: dict[int, torch.Tensor] = {}
        self._expected_tokens = 0

    @property
    def nbytes(self) -> int:
        """Bytes held, room included. May be read from any thread."""
        return sum(tensor.nbytes for tensor in [*self._keys.values(), *self._values.values()])

    def write(self, layer: int, key: torch.Tensor, value: torch.Tensor) -> None:
        """Write K and V, (1, kv_heads, new_tokens, head_dim), behind the valid positions."""
        start, end = len(self.tokens), len(self.tokens) + key.shape[2]
        if layer not in self._keys or self._keys[layer].shape[2] < end:
            capacity = whole_blocks(max(end, self._expected_tokens))
            self._keys[layer] = self._moved(self._keys.get(layer), key, capacity)
            self._values[layer] = self._moved(self._values.get(layer), value, capacity)
        self._keys[layer][:, :, start:end] = key
        self._values[layer][:, :, start:end] = value

    def read(self, layer: int, first: int, end: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return K and V of the positions from `first` up to `end`: two of (1, kv_heads, end - first, head_dim)."""
        return self._keys[layer][:, :, first:end], self._values[layer][:, :, first:end]

    def cut(self, length: int) -> None:
        """Keep the first `length` tokens. The room stays."""
        del self.tokens[length:]

    def copy(self, other: "KVCache", length: int) -> None:
        """Hold the first `length` tokens of another cache, in place of what was held."""
        self.tokens.clear()
        for layer in other._keys:
            self.write(layer, *other.read(layer, 0, length))
        self.tokens.extend(other.tokens[:length])

    def expect(self, tokens: int, at_most: int) -> None:
        """Make room for `tokens` tokens when next growing, and hold no more room than `at_most` tokens need."""
        self._expected_tokens, limit = tokens, whole_blocks(at_most)
        for tensors in (self._keys, self._values):
            for layer, tensor in tensors.items():
                if tensor.shape[2] > limit:
                    shorter = of_own_pages(tensor, (1, tensor.shape[1], limit, tensor.shape[3]))
                    tensors[layer] = shorter.copy_(tensor[:, :, :limit])

    def _moved(self, old: torch.Tensor | None, like: torch.Tensor, capacity: int) -> torch.Tensor:
        """Return a tensor of `capacity` positions shaped like `like` that starts with what is valid in `old`."""
        new = of_own_pages(like, (1, like.shape[1], capacity, like.shape[3]))
        if old is not None:
            valid = len(self.tokens)
            new[:, :, :valid] = old[:, :, :valid]
        return new
