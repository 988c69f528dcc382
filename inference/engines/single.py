"""The fallback for models whose attention can't be replaced: one conversation a pass, each with a cache of
transformers' own.

Slower, as every weight is read once for each conversation, but right for recurrent, ALiBi and other models. Run by the
engine's thread only.
"""

import copy
import inspect
from collections.abc import Sequence

import torch
from transformers import DynamicCache, PreTrainedConfig, PreTrainedModel

from inference.engines.kvcache import CacheSize


class SingleCache:
    """Token ids of one conversation and transformers' cache of them (None where a model fills none)."""

    def __init__(self, config: PreTrainedConfig | None) -> None:
        self.tokens: list[int] = []
        self._config = config
        self.past = self._new_past()

    @property
    def nbytes(self) -> int:
        """Bytes held. May be read from any thread."""
        found = [v for layer in ([] if self.past is None else [*self.past.layers]) for v in [*vars(layer).values()]]
        tensors = [t for v in found for t in (v.values() if isinstance(v, dict) else v if isinstance(v, list) else [v])]
        return sum(t.nbytes for t in tensors if isinstance(t, torch.Tensor))

    def cut(self, length: int) -> None:
        """Keep the first `length` tokens, or none where it can't go back (recurrent state, a window moved on)."""
        excess = len(self.tokens) - length
        if excess and not self._crop(excess):
            self.past, length = self._new_past(), 0
        del self.tokens[length:]

    def copy(self, other: "SingleCache", length: int) -> None:
        """Hold the first `length` tokens of another cache, in place of what was held, unless it can't go back."""
        copied = SingleCache(self._config)
        copied.tokens, copied.past = list(other.tokens), copy.deepcopy(other.past)
        copied.cut(length)
        if copied.tokens:
            self.tokens, self.past = copied.tokens, copied.past

    def expect(self, tokens: int, at_most: int) -> None:
        """Do nothing: this cache grows by itself and holds no spare room."""

    def _crop(self, excess: int) -> bool:
        """Take `excess` tokens off; False when that can't be done, and then the cache must not be used again."""
        if self.past is None:
            return True
        if not self.past.is_croppable:
            return False
        try:
            self.past.crop(-excess)
        except RuntimeError:  # a sliding window that has moved on; layers before it may have been cropped already
            return False
        return True

    def _new_past(self) -> DynamicCache | None:
        return DynamicCache(config=self._config) if self._config else None


class SingleRunner:
    """Runs any model, one conversation a pass.

    With `keeps_cache` false (a model that does not fill the cache given to it) the whole text is fed at every step.
    """

    path = "single"

    def __init__(self, model: PreTrainedModel, *, keeps_cache: bool) -> None:
        self._model, self._keeps_cache = model, keeps_cache
        self.reads_in_chunks = keeps_cache
        takes_limit = "logits_to_keep" in inspect.signature(model.forward).parameters
        self._limit = {"logits_to_keep": 1} if takes_limit else {}

    def new_cache(self) -> SingleCache:
        """Return an empty cache."""
        return SingleCache(self._model.config if self._keeps_cache else None)

    def cache_size(self, samples: Sequence[SingleCache]) -> CacheSize:
        """Return what caches take, judged by two samples of unlike length."""
        long, short = samples
        token_bytes = (long.nbytes - short.nbytes) // (len(long.tokens) - len(short.tokens))
        return CacheSize(short.nbytes - token_bytes * len(short.tokens), token_bytes)

    def forward(self, caches: Sequence[SingleCache], feeds: Sequence[Sequence[int]]) -> torch.Tensor:
        """Feed `feeds[i]` to conversation i; return the logits after each, (conversations, vocabulary), float32."""
        return torch.stack([self._feed(cache, list(feed)) for cache, feed in zip(caches, feeds, strict=True)])

    def _feed(self, cache: SingleCache, feed: list[int]) -> torch.Tensor:
        if self._keeps_cache:
            output = self._run(feed, past_key_values=cache.past, use_cache=True)
        else:
            output = self._run(cache.tokens + feed, use_cache=False)
        cache.tokens.extend(feed)
        return output

    def _run(self, tokens: list[int], **options: object) -> torch.Tensor:
        ids = torch.tensor([tokens], device=self._model.device)
        logits: torch.Tensor = self._model(input_ids=ids, **options, **self._limit).logits
        return logits[0, -1].float()
