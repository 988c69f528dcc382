"""Which engine runs which model. Importing this is cheap: torch comes with the first load, on the loader's thread."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inference.catalog import ModelEntry
from inference.engines.base import Engine
from inference.engines.progress import Report, nobody

if TYPE_CHECKING:
    from inference.engines.seq2seq_selection import Choice  # brings CTranslate2


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineOptions:
    """What the operator decides for every engine. `threads` of 0 means one less than there are cores, at least one.

    `dtype` is "auto", "float32", "bfloat16" or "int8": see `loading.choose_dtype` and `int8`. `translation` says what
    translates; what was converted for CTranslate2, which has an int8 of its own, is kept in the directory `converted`,
    and without one nothing is.
    """

    threads: int
    max_rows: int
    cache_bytes: int
    dtype: str = "auto"
    translation: "Choice" = "auto"
    converted: Path | None = None


class Loader:
    """Makes the engine of a catalog entry. Any thread; takes seconds."""

    def __init__(self, options: EngineOptions) -> None:
        self.options = options

    def __call__(self, entry: ModelEntry, report: Report = nobody) -> Engine[Any]:
        """Return a loaded engine; raise LoadingError when the model is not there or is not whole."""
        spare_threads = max(1, (os.cpu_count() or 1) - 1)
        if entry.task == "chat":
            return self.load_chat(entry, self.options.threads or spare_threads, report)
        from inference.engines.seq2seq import Seq2SeqEngine
        from inference.engines.seq2seq_selection import SequenceOptions, load_sequence_model

        options = SequenceOptions(
            choice=self.options.translation,
            converted=self.options.converted,
            threads=self.options.threads,
            spare_threads=spare_threads,
            dtype="auto" if self.options.dtype == "int8" else self.options.dtype,
            report=report,
        )
        return Seq2SeqEngine(load_sequence_model(entry.source, options))

    def load_chat(self, entry: ModelEntry, threads: int, report: Report) -> Engine[Any]:
        """Load a chat model."""
        from transformers.utils import logging

        from inference.engines.decoder import DecoderEngine

        logging.disable_progress_bar()  # a bar for each model's weights, which take a second; downloads keep theirs
        options = self.options
        return DecoderEngine.load(
            entry.source,
            threads=threads,
            max_rows=options.max_rows,
            cache_bytes=options.cache_bytes,
            dtype=options.dtype,
            report=report,
        )
