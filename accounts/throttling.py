"""Failed attempts to get in, counted for each address, in fixed minutes, in this process. Any thread.

Nobody can guess a key, a token or a sign-in code: their 190 bits and more see to that. What a flood of guesses can do
is keep the database busy, and what a throttle can do is shut out an office behind one address because one of its
programs has a wrong key. `FailedAttempts` therefore works in two steps:

- An address may fail `allowed` times a minute. After that every failure gets `too_many_attempts`, whatever was wrong;
  one whose checksum is wrong costs no look-up, before and after. A valid key is still let in.
- An address whose failures cost ten times as many look-ups in a minute is refused unseen, valid keys too.

Only guesses count: a key that is missing, revoked, expired or used for the wrong thing is none.

Passwords can be guessed. `PasswordAttempts` refuses after `allowed` failures, before the password is looked at.

The `limits` package, which counts requests, is not used here: its storage in memory can't be bounded, and a
thread goes through all of it a hundred times a second. That is nothing for keys, and a lever where an attacker
chooses the addresses.
"""

import logging
import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from django.conf import settings

from accounts.errors import AccountError

WINDOW_S = 60
LOOK_UPS_PER_ATTEMPT = 10
MAX_ADDRESSES = 10_000  # 2.4 MB; past it the oldest is forgotten, which lets guessers go on rather than others wait
GUESSES = ("malformed_key", "wrong_key")
log = logging.getLogger(__name__)
Clock = Callable[[], float]


@dataclass(slots=True)
class Window:
    """One address's minute: what was counted, and when it is over."""

    count: int
    ends_s: float


class Windows:
    """Counts for each address, from the first one for a minute. `clock` gives seconds that never go back."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        # In the order in which they began, which is that in which they end. A dict is slow to give up its first.
        self._windows: OrderedDict[str, Window] = OrderedDict()

    def add(self, address: str) -> int:
        """Count one more; return how many that makes."""
        with self._lock:
            window = self._open(address)
            if window is None:
                window = self._windows[address] = Window(0, self._clock() + WINDOW_S)
            window.count += 1
            if len(self._windows) > MAX_ADDRESSES:
                self._windows.popitem(last=False)
            return window.count

    def take_back(self, address: str) -> None:
        """Count one less, where the minute is not over."""
        with self._lock:
            window = self._open(address)
            if window is not None and window.count:
                window.count -= 1

    def look(self, address: str) -> tuple[int, int]:
        """Return how many there were, and the whole seconds until none are."""
        with self._lock:
            window = self._open(address)
            return (window.count, math.ceil(window.ends_s - self._clock())) if window else (0, 0)

    def _open(self, address: str) -> Window | None:
        """Drop what is over, and return an address's window if it has one."""
        now_s = self._clock()
        while self._windows and next(iter(self._windows.values())).ends_s <= now_s:
            self._windows.popitem(last=False)
        return self._windows.get(address)


class FailedAttempts:
    """Attempts with secrets that nobody can guess. `allowed` a minute; None takes the operator's setting."""

    def __init__(self, allowed: int | None = None, clock: Clock = time.monotonic) -> None:
        self._allowed = allowed
        self._failures, self._look_ups = Windows(clock), Windows(clock)

    def check(self, address: str) -> None:
        """Raise AccountError `too_many_attempts`, before any look-up, when the failures have cost too many."""
        look_ups, left_s = self._look_ups.look(address)
        if look_ups >= allowance(self._allowed) * LOOK_UPS_PER_ATTEMPT:
            raise AccountError("too_many_attempts", retry_after_s=left_s)

    def failed(self, address: str, *, looked_up: bool) -> None:
        """Count an attempt that failed; raise AccountError `too_many_attempts` when it was one too many."""
        if looked_up:
            self._look_ups.add(address)
        refuse_past(allowance(self._allowed), self._failures.add(address), self._failures, address)

    @contextmanager
    def watch(self, address: str) -> Iterator[None]:
        """Check, and count what fails within as a guess would.

        Raises AccountError `too_many_attempts` in place of what was wrong, when there were too many.
        """
        self.check(address)
        try:
            yield
        except AccountError as error:
            if error.code in GUESSES:
                self.failed(address, looked_up=error.code == "wrong_key")
            raise


class PasswordAttempts:
    """Attempts with passwords. `allowed` failures a minute; None takes the operator's setting."""

    def __init__(self, allowed: int | None = None, clock: Clock = time.monotonic) -> None:
        self._allowed = allowed
        self._attempts = Windows(clock)

    @contextmanager
    def watch(self, address: str) -> Iterator[None]:
        """Count an attempt, which whatever is raised within makes a failed one.

        It counts before the password is looked at, or any number could be tried at the same time. Raises AccountError
        `too_many_attempts`.
        """
        refuse_past(allowance(self._allowed), self._attempts.add(address), self._attempts, address)
        yield
        self._attempts.take_back(address)


def allowance(allowed: int | None) -> int:
    """Return how many failures an address has a minute."""
    return int(settings.CONFIGURATION.AISTER_ATTEMPTS) if allowed is None else allowed


def refuse_past(allowed: int, count: int, windows: Windows, address: str) -> None:
    """Raise AccountError `too_many_attempts` for a count past what is allowed; the first one is logged."""
    if count <= allowed:
        return
    left_s = windows.look(address)[1]
    if count == allowed + 1:
        log.warning(
            "Too many failed attempts from %s; more are refused for %d s. "
            "If that is a proxy of yours, set AISTER_TRUSTED_PROXIES.",
            address,
            left_s,
        )
    raise AccountError("too_many_attempts", retry_after_s=left_s)


def words(error: AccountError) -> str:
    """Return what people are told of `too_many_attempts`."""
    return f"Too many failed attempts from your address. Try again in {error.retry_after_s} s."


keys = FailedAttempts()
codes = FailedAttempts()
passwords = PasswordAttempts()
