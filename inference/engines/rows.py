"""One request in the batch: what it has been fed, what it has said, and when it ends.

Touched by the engine's thread only.
"""

import secrets
from collections.abc import Sequence
from typing import Any

from inference.engines.base import Delta, Failed, Finished, FinishReason, Progress, Usage
from inference.engines.cache_store import KeptCache
from inference.engines.detokenizing import Detokenizer, StopMatcher
from inference.engines.generation import GenerationRequest
from inference.engines.sampling import Draw
from inference.errors import AisterError


class Row:
    """A request, its cache and its answer so far.

    While `left_to_feed` is not 0 the row is in prefill; then it holds a `last_token` to be fed by the next decode pass.
    `token_s` is what the last pass over its prompt took, in seconds a token.
    """

    def __init__(self, request: GenerationRequest, kept: KeptCache, tokenizer: Any, *, limit_tokens: int) -> None:
        self.request, self.kept = request, kept
        self.last_token = -1
        self.token_s: float | None = None
        self._limit_tokens = limit_tokens
        self._cached_tokens = len(kept.cache.tokens)
        self._said_tokens = 0
        self._detokenizer, self._stops = Detokenizer(tokenizer), StopMatcher(request.stop)
        seed = request.sampling.seed
        seen = set(request.prompt) if request.sampling.repetition_penalty != 1 else None
        self._draw = Draw(request.sampling, secrets.randbits(63) if seed is None else seed, 0, seen)

    @property
    def left_to_feed(self) -> int:
        """How many tokens of the prompt the model has not read yet."""
        return max(0, len(self.request.prompt) - len(self.kept.cache.tokens))

    @property
    def read_tokens(self) -> int:
        """How many tokens of the prompt the model has read for this request."""
        return len(self.request.prompt) - self.left_to_feed - self._cached_tokens

    def has_cached(self, tokens: int) -> None:
        """Take note of how many tokens of the prompt the cache held before any was read."""
        self._cached_tokens = tokens

    @property
    def usage(self) -> Usage:
        """What the request has cost so far. Of a prompt, what has been read counts."""
        read = len(self.request.prompt) - self.left_to_feed
        return Usage(read, self._cached_tokens, self._said_tokens)

    def next_chunk(self, tokens: int) -> Sequence[int]:
        """Return the next part of the prompt, of at most so many tokens."""
        start = len(self.kept.cache.tokens)
        return self.request.prompt[start : start + tokens]

    def next_draw(self) -> Draw:
        """Return what the next token depends on."""
        self._draw.index = self._said_tokens
        return self._draw

    def take(self, token: int | None, stop_ids: frozenset[int]) -> list[Progress]:
        """Take the next token of the answer; return what it means for the client.

        None, for logits that are not finite, fails the request.
        """
        if token is None:
            return [self.failed()]
        self.last_token = token
        self._said_tokens += 1
        if self._draw.seen is not None:
            self._draw.seen.add(token)
        if token in stop_ids:
            return [*self._last_words(), self.finished(FinishReason.STOP)]
        text, stopped = self._stops.push(self._detokenizer.push(token))
        deltas: list[Progress] = [Delta(text)] if text else []
        if stopped:
            return [*deltas, self.finished(FinishReason.STOP)]
        if self._said_tokens < self._limit_tokens:
            return deltas
        return [*deltas, *self._last_words(), self.finished(FinishReason.LENGTH)]

    def finished(self, reason: FinishReason) -> Finished:
        """Return the end of the request."""
        return Finished(reason, self.usage)

    def failed(self) -> Failed:
        """Return the failure of the request."""
        return Failed(AisterError("internal_error"), self.usage)

    def _last_words(self) -> list[Progress]:
        """Return the text that was still held back."""
        text, stopped = self._stops.push(self._detokenizer.flush())
        text += "" if stopped else self._stops.flush()
        return [Delta(text)] if text else []
