"""Chat and generation: a decoder model that answers many requests at once, by continuous batching.

Between two decode passes for all rows that are answering, as much of the waiting prompts is read as the others can wait
for, each chunk of one row's prompt in a pass of its own. A step is one of these passes, or several short ones. Requests
join and leave at every step. The scheduler's thread runs all of it; `check`, `text` and `forget` may be used from any
thread.
"""

import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from inference.engines.base import Failed, Finished, FinishReason, Output, Progress, Started
from inference.engines.cache_store import CacheStore
from inference.engines.chat_text import ChatText
from inference.engines.generation import GenerationRequest, check_settings
from inference.engines.int8 import add_int8_weights, number_format, weight_bytes
from inference.engines.kvcache import CacheSize
from inference.engines.loading import Loaded, LoadingError, load_causal_model
from inference.engines.prefill import PREFILL_DECODES, STEP_S, UNHURRIED_S, PrefillQueue
from inference.engines.progress import Report, nobody
from inference.engines.rows import Row
from inference.engines.runners import Runner, choose_runner
from inference.engines.sampling import choose_tokens
from inference.errors import AisterError, trace
from inference.fairness import share_of

logger = logging.getLogger(__name__)


class DecoderEngine:
    """A causal language model, shared by all sessions. See `base.Engine`.

    `path` is "packed" or "single", whether one pass serves all rows or each row has its own; `text` is the tokenizer's
    side of it.
    """

    def __init__(
        self,
        loaded: Loaded,
        runner: Runner[Any],
        size: CacheSize,
        *,
        threads: int,
        max_rows: int,
        cache_bytes: int,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        fitting_tokens = size.tokens_in(cache_bytes)
        self.max_context_tokens = (
            loaded.context_tokens if fitting_tokens is None else min(loaded.context_tokens, fitting_tokens)
        )
        if self.max_context_tokens < 2:
            needed = size.of(1)
            raise LoadingError(
                f"A cache of {cache_bytes} bytes can't hold one conversation of this model: give it at least {needed}."
            )
        self.text = ChatText(loaded.tokenizer)
        self.defaults = loaded.defaults
        self.path = runner.path
        self.dtype = number_format(loaded.model)
        self.parameters: int = loaded.model.num_parameters()
        self._weight_bytes = weight_bytes(loaded.model)
        self._vocabulary: int = loaded.model.config.get_text_config(decoder=True).vocab_size
        self._runner, self._stop_ids = runner, loaded.stop_ids
        self._store = CacheStore(size, cache_bytes)
        self._threads, self._thread_is_set = threads, False
        self._max_rows = max_rows
        self._joining: list[Row] = []
        self._prefilling = PrefillQueue()
        self._answering: list[Row] = []
        self._clock = clock
        self._prefill_left_s = 0.0
        self._has_decoded = False

    @classmethod
    def load(
        cls,
        source: str | Path,
        *,
        threads: int,
        max_rows: int,
        cache_bytes: int,
        dtype: str = "auto",
        report: Report = nobody,
    ) -> "DecoderEngine":
        """Load a model from a directory or hub id and check which path suits it. `dtype`: see `choose_dtype`.

        Raises LoadingError.
        """
        torch.set_num_threads(threads)
        loaded = load_causal_model(source, dtype, report)
        runner, size = choose_runner(loaded.model)
        if dtype == "int8" and loaded.model.device.type == "cpu":
            add_int8_weights(loaded.model)
        engine = cls(loaded, runner, size, threads=threads, max_rows=max_rows, cache_bytes=cache_bytes)
        logger.info("Loaded %s: %s, %d parameters, %s path.", source, engine.dtype, engine.parameters, engine.path)
        return engine

    def describe(self) -> dict[str, Any]:
        """Return what clients are told of how the model runs."""
        return {
            "path": self.path,
            "dtype": self.dtype,
            "parameters": self.parameters,
            "context_tokens": self.max_context_tokens,
        }

    def check(self, request: GenerationRequest) -> None:
        """Raise AisterError when the request can't be answered: `empty_text`, `text_too_long`, `invalid_field`."""
        check_settings(request)
        if not request.prompt:
            raise AisterError("empty_text")
        if max(request.prompt) >= self._vocabulary:
            raise AisterError("invalid_field", "The text holds a token that the model does not have.")
        if len(request.prompt) >= self.max_context_tokens:
            known = (
                f"The text has {len(request.prompt)} tokens, and the model takes fewer than {self.max_context_tokens}."
            )
            raise AisterError("text_too_long", f"{known} Shorten it.")

    def has_room_for(self, request: GenerationRequest) -> bool:
        """Say whether there is a row, and room for all of the request's K and V, beside what is running."""
        rows = len(self._joining) + len(self._prefilling) + len(self._answering)
        return rows < self._max_rows and self._store.has_room_for(request, self._total_tokens(request))

    def has_its_share(self, key: str) -> bool:
        """Say whether the key has its share of the rows, or of the room for K and V."""
        rows = [*self._joining, *self._prefilling.rows, *self._answering]
        count = sum(row.request.key == key for row in rows)
        return count >= share_of(self._max_rows) or self._store.has_its_share(key)

    def admit(self, request: GenerationRequest) -> None:
        """Let the request join, with the cache that its conversation has kept."""
        total_tokens = self._total_tokens(request)
        kept = self._store.take(request, total_tokens, self._runner.new_cache)
        limit_tokens = total_tokens - len(request.prompt)
        self._joining.append(Row(request, kept, self.text.tokenizer, limit_tokens=limit_tokens))

    def step(self) -> list[Output]:
        """Run one decode pass, or read a chunk of a prompt: several if they are short."""
        if not self._thread_is_set:
            torch.set_num_threads(self._threads)  # it acts on the calling thread, so it can't be done at load
            self._thread_is_set = True
        outputs = self._welcome() + self._part_with_cancelled()
        with torch.inference_mode():
            outputs += self._prefill() if self._is_prefill_next() else self._decode()
        self._store.drop_closed()
        return outputs

    def forget(self, conversation: str) -> None:
        """Let go of what was kept of a conversation.

        May be called from any thread; acts at the next step or admission.
        """
        self._store.forget(conversation)

    def abandon(self) -> None:
        """Drop all rows with their caches."""
        for row in [*self._joining, *self._prefilling.rows, *self._answering]:
            self._store.drop(row.kept)
        self._joining, self._prefilling, self._answering = [], PrefillQueue(), []

    @property
    def is_idle(self) -> bool:
        """True when nothing has joined and nothing waits to be forgotten."""
        return not (self._joining or self._prefilling or self._answering or self._store.has_closed)

    @property
    def memory_bytes(self) -> int:
        """Bytes of weights and caches held. May be read from any thread."""
        return self._weight_bytes + self._store.nbytes

    def close(self) -> None:
        """Let go of weights and caches."""
        self.abandon()
        self._store.clear()
        self._weight_bytes = 0
        del self._runner

    # Schedule

    def _total_tokens(self, request: GenerationRequest) -> int:
        """Return how long prompt and answer can become."""
        return min(len(request.prompt) + request.max_tokens, self.max_context_tokens)

    def _welcome(self) -> list[Output]:
        """Take in what has joined since the last step."""
        joined, self._joining = self._joining, []
        self._prefilling.rows.extend(joined)
        return [(row.request, Started()) for row in joined]

    def _part_with_cancelled(self) -> list[Output]:
        rows = [row for row in (*self._prefilling.rows, *self._answering) if row.request.is_cancelled]
        return [output for row in rows for output in self._deliver(row, [row.finished(FinishReason.CANCELLED)])]

    # Run

    def _is_prefill_next(self) -> bool:
        """Say whether prompts are to be read in this step.

        One chunk at least after each decode pass, and whenever there is none to make; more, as long as there is time
        left for them. Requests join between steps, so one that comes meanwhile need not wait for a decode pass.
        """
        return bool(self._prefilling) and (self._has_decoded or not self._answering or self._fits_a_chunk())

    def _fits_a_chunk(self) -> bool:
        """Say whether there is time left for a chunk of the prompt whose turn it is."""
        return self._prefilling.fits(self._prefilling.next_row(self._answering), self._prefill_left_s)

    def _decode(self) -> list[Output]:
        """Feed every answering row its last token, in one pass."""
        rows = list(self._answering)
        if not rows:
            return []
        started_s = self._clock()
        logits = self._runner.forward([row.kept.cache for row in rows], [[row.last_token] for row in rows])
        self._prefill_left_s, self._has_decoded = PREFILL_DECODES * (self._clock() - started_s), True
        return self._choose(rows, logits)

    def _prefill(self) -> list[Output]:
        """Read prompts within the time there is left for them; one chunk at least.

        Only until `STEP_S` have passed: whoever joins then may have the next turn.
        """
        self._has_decoded = False
        if not self._answering:
            self._prefill_left_s = UNHURRIED_S
        end_s = self._clock() + STEP_S
        outputs = self._read(self._prefilling.next_row(self._answering))
        while self._prefilling and self._clock() < end_s and self._fits_a_chunk():
            outputs += self._read(self._prefilling.next_row(self._answering))
        return outputs

    def _read(self, row: Row) -> list[Output]:
        """Feed one chunk of a row's prompt, sized for the time that is left; after its last chunk the row answers.

        An error here is that row's alone.
        """
        if not row.read_tokens:
            row.has_cached(self._store.borrow(row.kept, row.request))
        tokens = row.left_to_feed
        if self._runner.reads_in_chunks:
            tokens = self._prefilling.chunk_tokens(row, self._prefill_left_s, is_hurried=bool(self._answering))
        started_s = self._clock()
        try:
            logits = self._runner.forward([row.kept.cache], [row.next_chunk(tokens)])
        except Exception as error:
            _log_failure("Prefill", error)
            return self._deliver(row, [row.failed()])
        took_s = self._clock() - started_s
        self._prefill_left_s -= took_s
        self._prefilling.took(row, tokens, took_s)
        if row.left_to_feed:
            return []
        self._prefilling.rows.remove(row)
        self._answering.append(row)
        return self._choose([row], logits)

    # Postprocess

    def _choose(self, rows: Sequence[Row], logits: torch.Tensor) -> list[Output]:
        """Choose the next token of each row, and say what comes of it."""
        tokens = choose_tokens(logits, [row.next_draw() for row in rows])
        return [output for row, token in zip(rows, tokens, strict=True) for output in self._advance(row, token)]

    def _advance(self, row: Row, token: int | None) -> list[Output]:
        """Give a row its token. An error here is that row's alone."""
        if token is None:
            logger.error("The model gave logits that are not finite; the request fails.")
        try:
            progress = row.take(token, self._stop_ids)
        except Exception as error:
            _log_failure("Postprocessing", error)
            progress = [row.failed()]
        return self._deliver(row, progress)

    def _deliver(self, row: Row, progress: Sequence[Progress]) -> list[Output]:
        """Address a row's progress to its request; take the row out of the batch when it ends."""
        if progress and isinstance(progress[-1], Finished | Failed):
            if row in self._answering:
                self._answering.remove(row)
            else:
                self._prefilling.rows.remove(row)
            if isinstance(progress[-1], Failed):
                self._store.drop(row.kept)
            else:
                self._store.keep(row.kept)
        return [(row.request, p) for p in progress]


def _log_failure(what: str, error: Exception) -> None:
    """Log what failed and where, without the exception's text, which may quote a client's."""
    logger.error("%s of a request failed:\n%s", what, trace(error))
