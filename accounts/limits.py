"""Requests per minute of each key, counted in this process, tokens with their key. Any thread.

Fixed windows: the first request opens a minute, and the count starts again when it is over. Several processes count
each for itself.
"""

import math
import threading
import time
from typing import NamedTuple

from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter

from accounts.authentication import Caller
from accounts.errors import AccountError


class Allowance(NamedTuple):
    """What a key has left of its minute: `limit` requests in all, `remaining` now, all again in `reset_s` seconds."""

    limit: int
    remaining: int
    reset_s: float


class RequestLimiter:
    """Counts the requests of keys."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # the storage drops a window and its lock without holding it
        self._windows: FixedWindowRateLimiter | None = None

    def spend(self, caller: Caller) -> Allowance | None:
        """Count one request; return what is left, None for a key without a limit.

        Raises AccountError `rate_limited`, with the seconds until the next window, when nothing is.
        """
        if caller.requests_per_minute is None:
            return None
        item = RateLimitItemPerMinute(caller.requests_per_minute)
        with self._lock:
            is_within = self._open().hit(item, str(caller.key_id))
            allowance = self._look(item, caller)
        if not is_within:
            raise AccountError("rate_limited", retry_after_s=allowance.reset_s)
        return allowance

    def look(self, caller: Caller) -> Allowance | None:
        """Return what is left, None for a key without a limit."""
        if caller.requests_per_minute is None:
            return None
        with self._lock:
            return self._look(RateLimitItemPerMinute(caller.requests_per_minute), caller)

    def _look(self, item: RateLimitItemPerMinute, caller: Caller) -> Allowance:
        stats = self._open().get_window_stats(item, str(caller.key_id))
        return Allowance(item.amount, stats.remaining, max(0.0, math.ceil(stats.reset_time - time.time())))

    def _open(self) -> FixedWindowRateLimiter:
        """The storage starts a thread when made: not before the first request."""
        if self._windows is None:
            self._windows = FixedWindowRateLimiter(MemoryStorage())
        return self._windows


requests = RequestLimiter()
