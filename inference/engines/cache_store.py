"""The KV caches of all conversations, running and idle, within a budget of bytes.

A running conversation's bytes are reserved for all that it may come to (prompt and answer); an idle one counts what it
holds, and goes, least recently used first, when a running one needs the room. Touched by the engine's thread only, but
for `forget`.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from inference.engines.generation import GenerationRequest, common_length
from inference.engines.kvcache import CacheSize
from inference.engines.runners import Cache
from inference.fairness import share_of


@dataclass(eq=False, slots=True)
class KeptCache:
    """A cache and whose it is.

    `prompt_tokens` of its tokens were asked, the rest answered; `reserved_bytes` are 0 while idle.
    """

    cache: Cache
    key: str
    conversation: str | None
    prompt_tokens: int = 0
    reserved_bytes: int = 0

    @property
    def nbytes(self) -> int:
        """Bytes that count against the budget."""
        return self.reserved_bytes or self.cache.nbytes


class CacheStore:
    """Keeps conversations' caches between their requests.

    Never gives one key the cache of another, nor one conversation more than another's system prompt: the time that is
    saved would tell its text.
    """

    def __init__(self, size: CacheSize, budget_bytes: int) -> None:
        self._size, self._budget_bytes = size, budget_bytes
        self._running: list[KeptCache] = []
        self._idle: list[KeptCache] = []  # the least recently used first
        self._closed: deque[str] = deque()

    @property
    def nbytes(self) -> int:
        """Bytes held now. May be read from any thread."""
        return sum(kept.cache.nbytes for kept in [*self._running, *self._idle])

    @property
    def has_closed(self) -> bool:
        """True when caches wait to be dropped."""
        return bool(self._closed)

    def has_room_for(self, request: GenerationRequest, total_tokens: int) -> bool:
        """Say whether the request could run beside what is running; a conversation runs one request at a time."""
        if request.conversation is not None and any(
            kept.conversation == request.conversation for kept in self._running
        ):
            return False
        return self._reserved_bytes() + self._size.of(total_tokens) <= self._budget_bytes

    def has_its_share(self, key: str) -> bool:
        """Say whether what is running for a key has its share of the budget."""
        reserved = sum(kept.reserved_bytes for kept in self._running if kept.key == key)
        return reserved > 0 and reserved >= share_of(self._budget_bytes)

    def take(self, request: GenerationRequest, total_tokens: int, new_cache: Callable[[], Cache]) -> KeptCache:
        """Return the request's cache with room reserved, cut to what it shares with all but the prompt's last token."""
        self.drop_closed()
        kept = self._find(request) or KeptCache(new_cache(), request.key, request.conversation)
        if kept in self._idle:
            self._idle.remove(kept)
        kept.cache.cut(min(common_length(kept.cache.tokens, request.prompt), len(request.prompt) - 1))
        kept.cache.expect(len(request.prompt), at_most=total_tokens)
        kept.prompt_tokens, kept.reserved_bytes = len(request.prompt), self._size.of(total_tokens)
        self._running.append(kept)
        self._evict()
        return kept

    def borrow(self, kept: KeptCache, request: GenerationRequest) -> int:
        """Copy what another conversation of the key has read of the same system prompt, if that is more than is held.

        Called just before the prompt is read, so that of many that come together the first reads for all. Return how
        many tokens the cache holds now.
        """
        shared, held = list(request.prompt[: request.shared_tokens]), len(kept.cache.tokens)
        lenders = [other.cache for other in [*self._idle, *self._running] if other.key == kept.key]
        lender = max(lenders, key=lambda cache: common_length(cache.tokens, shared), default=kept.cache)
        length = min(common_length(lender.tokens, shared), len(request.prompt) - 1)
        if lender is not kept.cache and length > held:
            kept.cache.copy(lender, length)
        return len(kept.cache.tokens)

    def keep(self, kept: KeptCache) -> None:
        """Take a cache back from a request that has ended. Some models fill none: then there is nothing to keep."""
        self._running.remove(kept)
        kept.reserved_bytes = 0
        if kept.cache.nbytes:
            self._idle.append(kept)

    def drop(self, kept: KeptCache) -> None:
        """Let go of a running cache: what it holds may be spoilt."""
        self._running.remove(kept)

    def forget(self, conversation: str) -> None:
        """Let go of a conversation's cache at the next step, or once its request has ended.

        May be called from any thread.
        """
        self._closed.append(conversation)

    def drop_closed(self) -> None:
        """Drop the caches of conversations that were forgotten and are not running."""
        running = {kept.conversation for kept in self._running}
        for _ in range(len(self._closed)):
            conversation = self._closed.popleft()
            if conversation in running:
                self._closed.append(conversation)
            else:
                self._idle = [kept for kept in self._idle if kept.conversation != conversation]

    def clear(self) -> None:
        """Let go of everything."""
        self._running, self._idle = [], []
        self._closed.clear()

    def _find(self, request: GenerationRequest) -> KeptCache | None:
        """Return the conversation's own cache; for none, the nameless one of the key that has most of the prompt."""
        own = [k for k in self._idle if k.key == request.key and k.conversation == request.conversation]
        if request.conversation is None:
            own = [k for k in own if _is_extended(k, request.prompt)]
        return max(own, key=lambda k: common_length(k.cache.tokens, request.prompt), default=None)

    def _reserved_bytes(self) -> int:
        return sum(kept.reserved_bytes for kept in self._running)

    def _evict(self) -> None:
        """Drop idle caches until all is within the budget."""
        spare = self._budget_bytes - self._reserved_bytes() - sum(kept.nbytes for kept in self._idle)
        while spare < 0 and self._idle:
            spare += self._idle.pop(0).nbytes


def _is_extended(kept: KeptCache, prompt: Sequence[int]) -> bool:
    """Say whether the prompt begins with all that was asked of the cache; its answer may be other tokens now."""
    asked = kept.cache.tokens[: kept.prompt_tokens]
    return bool(asked) and list(prompt[: len(asked)]) == asked
