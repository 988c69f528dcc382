"""The sequence-to-sequence engine: translation, and whatever else reads one text and writes another.

Dynamic batching: sequences of all requests wait together in a pool, which chooses the next batch fairly, and each
`step()` lets the model go on with the batch for a moment. A sequence leaves the batch when it is done, a cancelled
request's at the next step; when the batch is empty the next is formed. What a batch runs on, transformers or
CTranslate2, is the model's affair. Driven by its scheduler's thread, like every engine; `text` and `check` may be used
from any thread.
"""

import logging
import threading
from pathlib import Path
from typing import Any, Self

from inference.engines.base import Delta, Failed, Finished, FinishReason, Output, Progress, Started
from inference.engines.sequence_pool import Joined, SequencePool, SequenceRequest, Ticket
from inference.engines.sequence_rows import Batch, Row, SequenceModel
from inference.engines.translation_text import TranslationText
from inference.errors import AisterError, trace
from inference.fairness import share_of

__all__ = ["MAX_BEAMS", "MAX_REQUESTS", "Seq2SeqEngine", "SequenceRequest"]

logger = logging.getLogger(__name__)

MAX_REQUESTS = 64  # joined at once; the others wait with the scheduler
MAX_BEAMS = 8
# Marian's decoder allows three tokens for each of the source's (--max-length-factor 3); very short sources need more
# room than that.
OUTPUT_TOKENS_PER_SOURCE_TOKEN = 3
OUTPUT_TOKENS_SPARE = 16


class Seq2SeqEngine:
    """A loaded encoder-decoder model that answers SequenceRequests."""

    def __init__(self, model: SequenceModel, *, max_batch_tokens: int = 2048, max_batch_sequences: int = 32) -> None:
        """Take a model. `max_batch_tokens` bounds a batch's source tokens, padding included; `max_batch_sequences` its
        rows.
        """
        self._model = model
        self.max_source_tokens = model.max_source_tokens
        self._threads_set_on: int | None = None
        self._max_batch_tokens = max_batch_tokens
        self._max_batch_sequences = max_batch_sequences if model.rows_are_independent else 1
        self._pool = SequencePool()
        self._batch: Batch | None = None
        self._tickets: dict[Row, Ticket] = {}  # of the batch's rows
        self._cache_bytes = 0

    @classmethod
    def load(cls, source: str | Path, *, threads: int, **bounds: int) -> Self:
        """Load the model in the directory `source`, or that of the hub id, with transformers. Slow; any one thread.

        `threads` are the CPU's, for one step; `bounds` those of a batch. Raises LoadingError for a model that is
        absent, broken or of another kind.
        """
        from inference.engines.seq2seq_loading import load_model

        return cls(load_model(source, threads=threads), **bounds)

    @property
    def text(self) -> TranslationText:
        """What makes the sequences of a translation. Raises AisterError for a model that does not translate."""
        if self._model.text is None:
            raise AisterError("wrong_task")
        return self._model.text

    def describe(self) -> dict[str, Any]:
        """Return what clients are told of how the model runs."""
        return {**self._model.describe(), "source_tokens": self.max_source_tokens}

    def check(self, request: SequenceRequest) -> None:
        """Raise AisterError when the request could never be answered."""
        if not 1 <= request.num_beams <= MAX_BEAMS:
            raise AisterError("invalid_field", f"The number of beams must be 1 to {MAX_BEAMS}.")
        if any(len(sequence.tokens) > self.max_source_tokens for sequence in request.sequences):
            raise AisterError(
                "text_too_long", f"A sentence is longer than the {self.max_source_tokens} tokens that the model reads."
            )
        tokens = {token for sequence in request.sequences for token in sequence.tokens}
        if any(not 0 <= token < self._model.vocabulary_size for token in tokens):
            raise AisterError(
                "internal_error"
            )  # not the model's vocabulary; on a GPU one such token would spoil the process

    def has_room_for(self, request: SequenceRequest) -> bool:  # noqa: ARG002  # every request counts the same
        """Say whether the request could join now."""
        return len(self._pool) < MAX_REQUESTS

    def has_its_share(self, key: str) -> bool:
        """Say whether the key has its share of the requests that may join."""
        return sum(request.key == key for request in self._pool.joined) >= share_of(MAX_REQUESTS)

    def admit(self, request: SequenceRequest) -> None:
        """Let the request join."""
        self._pool.admit(request)

    def step(self) -> list[Output]:
        """Go on with the batch, having formed one if there was none."""
        self._use_this_thread()
        outputs: list[Output] = [
            (joined.request, progress)
            for joined in list(self._pool.joined.values())
            for progress in self._look_at(joined)
        ]
        try:
            if self._batch is None:
                self._form_batch()
            done = self._batch.step() if self._batch else []
        except Exception as fault:
            logger.error("A batch of %d sequences failed.\n%s", len(self._tickets), trace(fault))
            return outputs + self._isolate()
        outputs += [output for row in done for output in self._finish(row)]
        self._cache_bytes = self._batch.memory_bytes if self._batch else 0
        self._close_empty_batch()
        return outputs

    def _use_this_thread(self) -> None:
        if self._threads_set_on != threading.get_ident():
            self._model.use_this_thread()
            self._threads_set_on = threading.get_ident()

    def _look_at(self, joined: Joined) -> list[Progress]:
        """Say that a new request has started; let go of one that is cancelled, or that had no sequences."""
        progress: list[Progress] = [Started()] if joined.is_new else []
        joined.is_new = False
        if joined.request.is_cancelled or not joined.open_sequences:
            self._drop(joined)
            reason = FinishReason.CANCELLED if joined.request.is_cancelled else FinishReason.STOP
            progress.append(Finished(reason, joined.usage))
        return progress

    def _drop(self, joined: Joined) -> None:
        """Let go of the request and of its rows in the batch."""
        self._pool.drop(joined)
        dropped = {row for row, ticket in self._tickets.items() if ticket.joined is joined}
        if self._batch and dropped:
            joined.output_tokens += sum(len(row.written) for row in dropped)
            self._tickets = {row: ticket for row, ticket in self._tickets.items() if row not in dropped}
            self._batch.keep([row for row in self._batch.rows if row not in dropped])
            self._close_empty_batch()

    def _close_empty_batch(self) -> None:
        if self._batch and not self._batch.rows:
            self._batch = None
            self._tickets = {}
            self._cache_bytes = 0

    def _form_batch(self) -> None:
        tickets = self._pool.next_batch(max_tokens=self._max_batch_tokens, max_sequences=self._max_batch_sequences)
        if not tickets:
            return
        self._tickets = {Row(ticket.sequence, self._output_limit(ticket)): ticket for ticket in tickets}
        rows = list(self._tickets)
        requests = {ticket.joined.request for ticket in tickets}
        beams = tickets[0].joined.request.num_beams
        self._batch = self._model.batch(rows, beams, lambda: all(request.is_cancelled for request in requests))

    def _output_limit(self, ticket: Ticket) -> int:
        """Return how many tokens may be written; the position table also holds what outputs start with."""
        asked = ticket.joined.request.max_new_tokens
        limit = OUTPUT_TOKENS_PER_SOURCE_TOKEN * len(ticket.sequence.tokens) + OUTPUT_TOKENS_SPARE
        return max(1, min(limit, self.max_source_tokens - 2, limit if asked is None else asked))

    def _finish(self, row: Row) -> list[Output]:
        """Return what to say of a sequence that is done, and of its request if that is done too."""
        ticket = self._tickets.pop(row)
        joined = ticket.joined
        joined.output_tokens += len(row.written)
        if joined.request.is_cancelled:
            return []  # the next step says so; a beam search that was cut short has written nothing worth sending
        joined.hit_limit |= row.hit_limit
        joined.open_sequences -= 1
        text = self._model.codec.decode(row.written)
        outputs: list[Output] = [(joined.request, Delta(text, ticket.item, row.log_probability))]
        if not joined.open_sequences:
            self._pool.drop(joined)
            reason = FinishReason.LENGTH if joined.hit_limit else FinishReason.STOP
            outputs.append((joined.request, Finished(reason, joined.usage)))
        return outputs

    def _isolate(self) -> list[Output]:
        """Fail the request whose batch has failed; if several shared it, let each run alone, to fail or not."""
        tickets = list(self._tickets.values())
        self._give_up_batch()
        at_fault, *others = {ticket.joined: None for ticket in tickets}
        if others:
            self._pool.put_back(tickets)
            return []
        self._pool.drop(at_fault)
        return [(at_fault.request, Failed(AisterError("internal_error"), at_fault.usage))]

    def _give_up_batch(self) -> None:
        if self._batch:
            self._batch.stop()
        self._batch, self._tickets, self._cache_bytes = None, {}, 0

    def abandon(self) -> None:
        """Drop every request and the batch."""
        self._pool = SequencePool()
        self._give_up_batch()

    @property
    def is_idle(self) -> bool:
        """True when no request has joined."""
        return not len(self._pool)

    @property
    def memory_bytes(self) -> int:
        """Bytes of weights, and of what the batch holds."""
        return self._model.weight_bytes + self._cache_bytes

    def close(self) -> None:
        """Let go of the weights."""
        self.abandon()
        self._model.close()
