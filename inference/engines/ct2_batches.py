"""Batches of rows that CTranslate2 decodes, on a thread of its own.

The engine's thread makes a batch, steps it and drops rows from it. A greedy batch hears of every token, on
CTranslate2's thread, and answers whether the row is to go on: so a dropped row stops at its next token, and a row is
told as soon as it is done. A beam search can't be interrupted; what becomes of dropped rows is thrown away.

A call that raises loses the whole batch; `step` raises then, and the engine finds out which request was at fault.
"""

import time
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any, Protocol

from ctranslate2 import AsyncTranslationResult, GenerationStepResult, TranslationResult

from inference.engines.ct2_facts import Facts
from inference.engines.sequence_rows import Row

STEP_S = 0.02
"""How long a step waits for a row to be done: so long may a cancellation go unseen."""
BEAM_LOOK_S = 0.001
BATCH_OPTIONS = {"asynchronous": True, "max_input_length": 0, "return_end_token": True}
"""Nothing is cut: the engine's `check` refuses what is too long."""

Translate = Callable[..., list[AsyncTranslationResult]]


class _Translator(Protocol):
    """The part of ctranslate2.Translator that batches use."""

    translate_batch: Translate


class GreedyBatch:
    """Each row's most likely token at each step, all of it one call."""

    def __init__(self, translator: _Translator, facts: Facts, rows: list[Row], *, is_scored: bool = False) -> None:
        """Begin to decode the rows; where `is_scored`, they are told how likely their tokens are."""
        self.rows = rows
        self._facts = facts
        self._ends = frozenset(facts.ends)
        self._begun = list(rows)  # by their place in the call
        self._open = set(rows)  # those that go on; both threads take rows out, neither puts any in
        self._done: SimpleQueue[Row] = SimpleQueue()
        self._results = begin(translator, facts, rows, beam_size=1, callback=self._hear, return_scores=is_scored)

    def _hear(self, said: GenerationStepResult) -> bool:
        """Take one token of one row and say whether the row is to stop. CTranslate2's thread."""
        row = self._begun[said.batch_id]
        if row not in self._open:
            return True
        if said.step == 0 and row.sequence.first_token is not None:
            return False
        forced_end, log_probability = self._facts.forced_end, said.log_prob  # None where the batch is not scored
        if not row.write(said.token_id, self._ends, forced_end=forced_end, log_probability=log_probability):
            return False
        self._open.discard(row)
        self._done.put(row)
        return True

    def step(self) -> list[Row]:
        """Wait for a moment until a row is done; take those that are out of the batch and return them.

        Raises RuntimeError when CTranslate2 has failed.
        """
        is_over = self._results[0].done()
        done = set(self._take())
        if is_over:
            self._results[0].result()  # raises what the call has raised
            done |= self._open  # nothing more will be heard of these
        done.intersection_update(self.rows)
        self.rows = [row for row in self.rows if row not in done]
        return list(done)

    def _take(self) -> list[Row]:
        """Return the rows that are done, having waited for the first."""
        taken: list[Row] = []
        try:
            taken.append(self._done.get(timeout=STEP_S))
            while True:
                taken.append(self._done.get_nowait())
        except Empty:
            return taken

    def keep(self, rows: list[Row]) -> None:
        """Drop all rows but these, which are given in the batch's order."""
        self._open.intersection_update(rows)
        self.rows = rows

    def stop(self) -> None:
        """Let every row stop at its next token."""
        self.keep([])

    @property
    def memory_bytes(self) -> int:
        """Bytes of keys, values and encoder states held, by reckoning."""
        return held_bytes(self._facts, self._begun)


class BeamBatch:
    """Beam search: one call decodes the whole batch."""

    def __init__(self, translator: _Translator, facts: Facts, rows: list[Row], beams: int) -> None:
        """Begin to decode the rows."""
        self.rows = rows
        self._facts = facts
        self._begun = list(rows)
        self._beams = beams
        self._results = begin(translator, facts, rows, beam_size=beams)

    def step(self) -> list[Row]:
        """Wait for a moment until the search is over; then return all rows. Raises RuntimeError when it has failed."""
        until_s = time.monotonic() + STEP_S
        while not self._results[0].done():
            if time.monotonic() > until_s:
                return []
            time.sleep(BEAM_LOOK_S)
        for row, result in zip(self._begun, self._results, strict=True):
            row.write_all(written(row, result.result()), frozenset(self._facts.ends))
        done, self.rows = self.rows, []
        return done

    def keep(self, rows: list[Row]) -> None:
        """Drop all rows but these, which are given in the batch's order."""
        self.rows = rows

    def stop(self) -> None:
        """Throw away what the search will find: it can't be interrupted."""
        self.rows = []

    @property
    def memory_bytes(self) -> int:
        """Bytes of keys, values and encoder states held, by reckoning."""
        return self._beams * held_bytes(self._facts, self._begun)


def begin(translator: _Translator, facts: Facts, rows: list[Row], **options: Any) -> list[AsyncTranslationResult]:
    """Begin to decode the rows. A converted model's tokens are named by their ids."""
    first = [row.sequence.first_token for row in rows]
    has_first = first[0] is not None
    return translator.translate_batch(
        [[str(token) for token in row.sequence.tokens] for row in rows],
        [[str(token)] for token in first] if has_first else None,
        max_decoding_length=max(row.limit for row in rows) + has_first,
        end_token=facts.ends,
        **BATCH_OPTIONS,
        **facts.decoding,
        **options,
    )


def written(row: Row, result: TranslationResult) -> list[int]:
    """Return the best output of a search, without its first token."""
    tokens = [int(name) for name in result.hypotheses[0]]
    return tokens if row.sequence.first_token is None else tokens[1:]


def held_bytes(facts: Facts, rows: list[Row]) -> int:
    """Return what the keys and values of sources and outputs take."""
    return sum(len(row.sequence.tokens) + len(row.written) for row in rows) * facts.token_bytes
