"""What a sequence-to-sequence engine and the models that it runs have in common. No torch here.

A model makes batches of rows, and a batch writes them; the engine decides which rows, and tells what came of them.
Everything is called on the engine's thread; a batch may write its rows on another, but not one that it has returned.
"""

from dataclasses import dataclass, field
from typing import Any, Protocol

from inference.engines.translation_text import Codec, Sequence, TranslationText

# A model that has lost its way repeats itself until its limit. Output that is this much longer than the source and
# has ended in the same few tokens over and over is cut after the first of them. Sources that repeat themselves are
# safe: their translations are no longer.
LOOP_SLACK_TOKENS = 16
LOOP_TOKENS = 24
LOOP_PERIOD_TOKENS = 12


@dataclass(eq=False, slots=True)
class Row:
    """One sequence in a batch, the tokens written for it so far (without its first token) and the most that may be.

    `log_probability` is that of the whole output, given the source: the sum of the natural logarithms of the tokens'
    probabilities, without the first token's, with the end's. None where the batch does not tell them.
    """

    sequence: Sequence
    limit: int
    written: list[int] = field(default_factory=list)
    hit_limit: bool = False
    log_probability: float | None = None

    def write(
        self, token: int, ends: frozenset[int], *, forced_end: bool, log_probability: float | None = None
    ) -> bool:
        """Take the next token, with the natural logarithm of its probability, and say whether the row is done.

        With a `forced_end` the last one within the limit is an end, whatever the model wanted.
        """
        if log_probability is not None:
            self.log_probability = (self.log_probability or 0.0) + log_probability
        at_limit = len(self.written) + 1 >= self.limit
        if token in ends or (at_limit and forced_end):
            self.hit_limit = token not in ends
            return True
        self.written.append(token)
        self.hit_limit = at_limit or cut_loop(self.written, len(self.sequence.tokens))
        return self.hit_limit

    def write_all(self, tokens: list[int], ends: frozenset[int]) -> None:
        """Take the whole output of a beam search, which goes on beyond its end, or beyond the row's limit."""
        length = next((place for place, token in enumerate(tokens) if token in ends), None)
        self.hit_limit = length is None or length > self.limit
        for token in tokens[: self.limit if length is None else min(length, self.limit)]:
            self.written.append(token)
            if cut_loop(self.written, len(self.sequence.tokens)):
                self.hit_limit = True
                return


class CancelFlag(Protocol):
    """Says whether nobody waits for a batch any more."""

    def __call__(self) -> bool:
        """True when all of the batch's requests are cancelled."""


class Batch(Protocol):
    """Rows that are decoded together."""

    rows: list[Row]

    def step(self) -> list[Row]:
        """Go on for a moment; take the rows that are done out of the batch and return them."""

    def keep(self, rows: list[Row]) -> None:
        """Drop all rows but these, which are given in the batch's order."""

    def stop(self) -> None:
        """Write no more: the batch is given up, maybe as it has failed."""

    @property
    def memory_bytes(self) -> int:
        """Bytes of keys, values and encoder states held."""


class SequenceModel(Protocol):
    """A loaded model, as its engine sees it.

    `text` is None when it does not translate. `vocabulary_size` counts the tokens that it can read.
    `rows_are_independent` is false where a row can't share a batch with others.
    """

    @property
    def codec(self) -> Codec: ...
    @property
    def text(self) -> TranslationText | None: ...
    @property
    def max_source_tokens(self) -> int: ...
    @property
    def vocabulary_size(self) -> int: ...
    @property
    def rows_are_independent(self) -> bool: ...
    @property
    def weight_bytes(self) -> int: ...

    def describe(self) -> dict[str, Any]:
        """Return what clients are told of how the model runs. Any thread."""

    def use_this_thread(self) -> None:
        """Prepare the calling thread, which runs all batches from now on."""

    def batch(self, rows: list[Row], beams: int, is_cancelled: CancelFlag) -> Batch:
        """Begin to decode the rows: greedily for one beam. Either all have a first token or none has."""

    def close(self) -> None:
        """Let go of the weights."""


def cut_loop(written: list[int], source_tokens: int) -> bool:
    """Say whether the output has fallen into a loop; if so, cut it after the loop's first round."""
    if len(written) < source_tokens + LOOP_SLACK_TOKENS:
        return False
    tail = written[-LOOP_TOKENS:]
    for period in range(1, LOOP_PERIOD_TOKENS + 1):
        if len(tail) == LOOP_TOKENS and tail[period:] == tail[:-period]:
            end = len(written)
            while end > period and written[end - 1] == written[end - 1 - period]:
                end -= 1
            del written[end:]
            return True
    return False
