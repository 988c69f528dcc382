"""Which prompt is read next, and how much of it in one pass. Touched by the engine's thread only.

Between two decode passes prompts are read for as long as `PREFILL_DECODES` decode passes take, so whoever is answering
waits at most that much longer for the next token, whatever the model, the machine and the length of the prompts: the
chunks follow what the last ones have taken.
"""

from collections import Counter
from collections.abc import Iterable

from inference.engines.rows import Row

PREFILL_DECODES = 3
"""The time for prompts between two decode passes, in decode passes. With the decode itself and a chunk that took longer
than expected, the gap between two tokens stays within five.
"""
UNHURRIED_S = 0.05
"""The time for prompts while nobody is answering; then the first of them say their first token."""
STEP_S = 0.01
"""How long short chunks follow each other before requests may join: a step takes so long, or one chunk."""
LONGEST_CHUNK = 512
"""Tokens in one pass. 64 read 809 tokens/s, 256 1,621, 512 2,127; more would gain little, and cancel late."""
SHORTEST_CHUNK = 32
"""Shorter ones would read every weight for next to nothing."""
FIRST_CHUNK = 64
"""Before anything is known of the model's speed, beside others who are answering."""
TURN_TOKENS = 512
"""A prompt is read this far before another one that came later has its turn."""


class PrefillQueue:
    """The rows whose prompts are being read, and how fast that goes."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self._token_s: float | None = None

    def __len__(self) -> int:
        """Return how many rows are being read."""
        return len(self.rows)

    def next_row(self, answering: Iterable[Row]) -> Row:
        """Return the row to read from: of the key with the fewest rows in the engine; then by turns; then the first."""
        rows_of_key = Counter(row.request.key for row in (*answering, *self.rows))
        return min(self.rows, key=lambda row: (rows_of_key[row.request.key], row.read_tokens // TURN_TOKENS))

    def chunk_tokens(self, row: Row, left_s: float, *, is_hurried: bool) -> int:
        """Return how many of a row's tokens to read in one pass that may take `left_s` seconds."""
        token_s = self._expected_token_s(row)
        if not is_hurried:
            tokens = LONGEST_CHUNK
        elif token_s is None:
            tokens = FIRST_CHUNK
        else:
            tokens = max(SHORTEST_CHUNK, int(min(left_s / token_s, LONGEST_CHUNK)))
        return min(row.left_to_feed, tokens)

    def fits(self, row: Row, left_s: float) -> bool:
        """Say whether a short pass is expected to take no longer than `left_s` seconds."""
        token_s = self._expected_token_s(row)
        return left_s > 0 if token_s is None else token_s * SHORTEST_CHUNK <= left_s

    def _expected_token_s(self, row: Row) -> float | None:
        """Return what a token of the row will take, as its last chunk did, or that of another row before its first."""
        return self._token_s if row.token_s is None else row.token_s

    def took(self, row: Row, tokens: int, seconds: float) -> None:
        """Take note of how long a chunk took: later chunks of the same row take a little longer, as its text grows.

        A few tokens take nearly as long as many, so they tell nothing.
        """
        if tokens >= SHORTEST_CHUNK:
            self._token_s = row.token_s = seconds / tokens
