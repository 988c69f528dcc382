"""A converted model, as CTranslate2 runs it on the CPU. Needs neither torch nor transformers.

Loaded on any one thread; its batches are the engine's thread's.
"""

import atexit
from pathlib import Path
from typing import Any
from weakref import WeakSet

from ctranslate2 import Translator

from inference.engines.ct2_batches import BeamBatch, GreedyBatch
from inference.engines.ct2_facts import read_codec, read_facts
from inference.engines.sequence_files import read_translation_text
from inference.engines.sequence_rows import Batch, CancelFlag, Row

ONE_THREAD_PARAMETERS = 100_000_000
"""Up to this size one thread is best, beside other load: a second one waits for the first more than it helps."""

_open: WeakSet["CTranslate2Model"] = WeakSet()


@atexit.register
def close_all() -> None:
    """Let go of every model before the interpreter ends: a thread of CTranslate2's that still holds a callback then
    would abort the process, with 134 as its exit status.
    """
    for model in list(_open):
        model.close()


class CTranslate2Model:
    """A model of one converted directory. Rows are independent: each is written as if it were alone."""

    rows_are_independent = True

    def __init__(self, converted: Path, directory: Path, *, threads: int, spare_threads: int = 1) -> None:
        """Load what `converted` holds; the languages are read from the model's own `directory`.

        `threads` of 0 means one for a small model and `spare_threads` for a large one. Raises whatever CTranslate2 and
        the file system make of files that are not whole.
        """
        self._facts = read_facts(converted)
        self.codec = read_codec(converted, self._facts)
        self.text = read_translation_text(self.codec, directory, self._facts.end)
        small = self._facts.parameters <= ONE_THREAD_PARAMETERS
        self._translator: Any = Translator(
            str(converted), device="cpu", inter_threads=1, intra_threads=threads or (1 if small else spare_threads)
        )
        self._batch: Batch | None = None
        _open.add(self)
        self._weight_bytes = (converted / "model.bin").stat().st_size
        self._dtype = str(self._translator.compute_type).partition("_")[0]

    @property
    def max_source_tokens(self) -> int:
        """How many tokens fit its position table."""
        return self._facts.max_source_tokens

    @property
    def vocabulary_size(self) -> int:
        """How many tokens it can read."""
        return self._facts.vocabulary_size

    @property
    def weight_bytes(self) -> int:
        """Bytes of weights; 0 once closed."""
        return self._weight_bytes

    def describe(self) -> dict[str, Any]:
        """Return what clients are told of how the model runs."""
        return {"path": "ctranslate2", "dtype": self._dtype, "parameters": self._facts.parameters}

    def use_this_thread(self) -> None:
        """Nothing to prepare: CTranslate2's own thread does the work."""

    def batch(self, rows: list[Row], beams: int, is_cancelled: CancelFlag) -> Batch:  # noqa: ARG002  # none can be told
        """Begin to decode the rows greedily or by beam search."""
        if beams > 1:
            self._batch = BeamBatch(self._translator, self._facts, rows, beams)
        else:
            is_scored = self.text is not None and self.text.is_scored
            self._batch = GreedyBatch(self._translator, self._facts, rows, is_scored=is_scored)
        return self._batch

    def close(self) -> None:
        """Let go of the weights; returns when CTranslate2's thread has ended."""
        if self._batch:
            self._batch.stop()
        self._batch = self._translator = None
        self._weight_bytes = 0
