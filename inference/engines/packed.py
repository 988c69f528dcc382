"""One forward pass for many conversations of unlike lengths: no padding, no gathering of caches.

The new tokens of all conversations are laid one after the other in a single row, so that every weight is read once for
all of them. Only attention sees the conversations apart: it is replaced, through transformers' own interface, by one
that lets each segment of the row look at the KV cache of its own conversation. It is registered once in a process, when
this module is imported; no mask function goes by its name, so that transformers makes no mask. Run by the engine's
thread only.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn import functional
from transformers import AttentionInterface, PreTrainedConfig, PreTrainedModel
from transformers.cache_utils import get_layer_types_and_kwargs

from inference.engines.kvcache import BLOCK_TOKENS, CacheSize, KVCache

ATTENTION = "aister_packed"
PACKABLE_LAYERS = {"full_attention", "sliding_attention"}
LENGTH_DEPENDENT_ROPE = {
    "longrope",
    "dynamic",
}  # their frequencies follow the longest row: one long neighbour would change everyone's


def is_packable(model: PreTrainedModel) -> bool:
    """Say whether the model's attention can be replaced and its rows can stand in one line."""
    config = model.config.get_text_config(decoder=True)
    layer_types, _ = get_layer_types_and_kwargs(config)
    return bool(
        model._supports_attention_backend
        and set(layer_types) <= PACKABLE_LAYERS
        and not _rope_types(config) & LENGTH_DEPENDENT_ROPE
    )


def _rope_types(config: PreTrainedConfig) -> set[str]:
    """Collect the rope types of a config, whose parameters stand alone or by layer type."""
    parameters = getattr(config, "rope_parameters", None) or {}
    by_layer = [p for p in parameters.values() if isinstance(p, dict)] or [parameters]
    return {str(p.get("rope_type", "default")) for p in by_layer}


class PackedPass:
    """Stands in for transformers' Cache during one pass, and holds what attention must know of each segment."""

    is_compileable = False

    def __init__(self, caches: Sequence[KVCache], lengths: Sequence[int], windows: Sequence[int | None]) -> None:
        self.caches, self.lengths, self.windows = caches, list(lengths), windows
        self._masks: dict[tuple[int, int | None], torch.Tensor] = {}

    def get_seq_length(self, *_: object) -> int:
        """Say that nothing came before: the positions are given with the tokens."""
        return 0

    def update(
        self, key: torch.Tensor, value: torch.Tensor, layer: int, *_: object, **__: object
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Give each segment's K and V, split from (1, kv_heads, tokens of all, head_dim), to its own cache."""
        segments = zip(self.caches, key.split(self.lengths, 2), value.split(self.lengths, 2), strict=True)
        for cache, k, v in segments:
            cache.write(layer, k, v)
        return key, value

    def attend(self, segment: int, layer: int, query: torch.Tensor, **options: Any) -> torch.Tensor:
        """Let one segment's queries, (1, heads, n, head_dim), look at its conversation; return the like."""
        start, n, window = len(self.caches[segment].tokens), query.shape[2], self.windows[layer]
        first = max(0, start + 1 - window) if window else 0  # what even the first new token can't see is not read
        key, value = self.caches[segment].read(layer, first, start + n)
        mask = self._mask(segment, first, window, query.device) if n > 1 else None  # one token sees all that was read
        return _grouped_attention(query, key, value, mask, **options)

    def _mask(self, segment: int, first: int, window: int | None, device: torch.device) -> torch.Tensor:
        """Return which positions from `first` on each new token may see, (n, seen): one for all layers of a window."""
        if (segment, window) not in self._masks:
            start, n = len(self.caches[segment].tokens), self.lengths[segment]
            position = torch.arange(start, start + n, device=device)[:, None]
            seen = torch.arange(first, start + n, device=device)[None]
            mask = seen <= position
            self._masks[segment, window] = mask & (seen > position - window) if window else mask
        return self._masks[segment, window]


def _grouped_attention(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor | None, *,
    scaling: float | None, softcap: float | None, sinks: torch.Tensor | None,
) -> torch.Tensor:  # fmt: skip
    """Attend with the query heads that share a K/V head folded into rows, so that K and V are not repeated."""
    groups, n = key.shape[1], query.shape[2]
    folded = query.reshape(1, groups, -1, query.shape[3])  # (1, groups, heads_per_group * n, head_dim)
    heads_per_group = folded.shape[2] // n
    if mask is not None:
        mask = mask.repeat(heads_per_group, 1)
    if softcap is None and sinks is None:
        out = functional.scaled_dot_product_attention(folded, key, value, attn_mask=mask, scale=scaling)
    else:
        if sinks is not None:
            sinks = sinks.reshape(1, groups, heads_per_group, 1).repeat_interleave(n, 2)
        out = _written_out_attention(folded, key, value, mask, scaling=scaling, softcap=softcap, sinks=sinks)
    return out.reshape(1, -1, n, value.shape[3])


def _written_out_attention(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor | None, *,
    scaling: float | None, softcap: float | None, sinks: torch.Tensor | None,
) -> torch.Tensor:  # fmt: skip
    """Attend with what the fused kernel lacks: Gemma 2's soft cap and GPT-OSS's sinks, (1, groups, rows, 1)."""
    scores = query @ key.transpose(2, 3) * (query.shape[3] ** -0.5 if scaling is None else scaling)
    if softcap is not None:
        scores = torch.tanh(scores / softcap) * softcap
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    if sinks is not None:  # a sink takes its share of the softmax and gives nothing
        scores = torch.cat([scores, sinks.to(scores.dtype)], -1)
    weights = torch.softmax(scores, -1, dtype=torch.float32).to(value.dtype)
    return weights[..., : key.shape[2]] @ value


def _packed_attention(
    module: torch.nn.Module, query: torch.Tensor, _key: torch.Tensor, _value: torch.Tensor, _mask: None, *,
    packed: PackedPass, scaling: float | None = None, softcap: float | None = None, s_aux: torch.Tensor | None = None,
    **_: object,
) -> tuple[torch.Tensor, None]:  # fmt: skip
    """Attend as transformers asks it.

    Queries of (1, heads, tokens of all, head_dim) come in, (1, tokens of all, heads, head_dim) goes out.
    """
    layer: int = module.layer_idx  # type: ignore[assignment]
    outputs = [
        packed.attend(segment, layer, q, scaling=scaling, softcap=softcap, sinks=s_aux)
        for segment, q in enumerate(query.split(packed.lengths, 2))
    ]
    return torch.cat(outputs, 2).transpose(1, 2), None


AttentionInterface.register(ATTENTION, _packed_attention)


class PackedRunner:
    """Runs a packable model for many conversations in one pass."""

    path = "packed"
    reads_in_chunks = True

    def __init__(self, model: PreTrainedModel) -> None:
        model.set_attn_implementation(ATTENTION)
        self._model = model
        layer_types, details = get_layer_types_and_kwargs(model.config.get_text_config(decoder=True))
        self._windows = [
            d.get("sliding_window") if t == "sliding_attention" else None
            for t, d in zip(layer_types, details, strict=True)
        ]

    def new_cache(self) -> KVCache:
        """Return an empty cache."""
        return KVCache()

    def cache_size(self, samples: Sequence[KVCache]) -> CacheSize:
        """Return what caches like these samples, each of one block, take."""
        return CacheSize(0, samples[0].nbytes // BLOCK_TOKENS)

    def forward(self, caches: Sequence[KVCache], feeds: Sequence[Sequence[int]]) -> torch.Tensor:
        """Feed `feeds[i]` to conversation i; return the logits after each, (conversations, vocabulary), float32."""
        lengths = [len(feed) for feed in feeds]
        packed, device = PackedPass(caches, lengths, self._windows), self._model.device
        ids = [token for feed in feeds for token in feed]
        positions = [
            p for cache, n in zip(caches, lengths, strict=True) for p in range(len(cache.tokens), len(cache.tokens) + n)
        ]
        output = self._model(
            input_ids=torch.tensor([ids], device=device),
            position_ids=torch.tensor([positions], device=device),
            attention_mask=None,
            past_key_values=packed,
            use_cache=True,
            packed=packed,
            logits_to_keep=torch.tensor(lengths, device=device).cumsum(0) - 1,
        )
        for cache, feed in zip(caches, feeds, strict=True):
            cache.tokens.extend(feed)
        logits: torch.Tensor = output.logits[0].float()
        return logits
