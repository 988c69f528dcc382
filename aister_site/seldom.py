"""Log lines that come seldom, however often there is a reason for them. Any thread."""

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Callable

EVERY_S = 60.0


class Seldom:
    """Lets one line through, then none for `every_s`, so that a log is not flooded."""

    def __init__(self, every_s: float = EVERY_S, clock: Callable[[], float] = time.monotonic) -> None:
        self.every_s = every_s
        self.clock = clock
        self.lock = threading.Lock()
        self.last_s: float | None = None

    def is_due(self) -> bool:
        """Say whether a line may be written now; who is told so writes it."""
        with self.lock:
            now_s = self.clock()
            if self.last_s is not None and now_s - self.last_s < self.every_s:
                return False
            self.last_s = now_s
            return True

    def reset(self) -> None:
        """Let the next line through: what it is about is new."""
        with self.lock:
            self.last_s = None


class SeldomFilter(logging.Filter):
    """Does the same for the lines of a logger that is not ours, for each kind of line."""

    def __init__(self) -> None:
        super().__init__()
        self.kinds: defaultdict[str, Seldom] = defaultdict(Seldom)  # by a line's text before its arguments

    def filter(self, record: logging.LogRecord) -> bool:
        """Say whether a line may be written now."""
        return self.kinds[str(record.msg)].is_due()
