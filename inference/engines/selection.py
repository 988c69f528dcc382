"""Which engine runs which model. Importing this is cheap: torch comes with the first load, on the loader's thread."""

import os
from dataclasses import dataclass
from typing import Any

from inference.catalog import ModelEntry
from inference.engines.base import Engine


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineOptions:
    """What the operator decides for every engine. `threads` of 0 means one less than there are cores, at least one.

    `dtype` is "auto", "float32" or "bfloat16": see `loading.numbers_as`.
    """

    threads: int
    max_rows: int
    cache_bytes: int
    dtype: str = "auto"


class Loader:
    """Makes the engine of a catalog entry. Any thread; takes seconds."""

    def __init__(self, options: EngineOptions) -> None:
        self.options = options

    def __call__(self, entry: ModelEntry) -> Engine[Any]:
        """Return a loaded engine; raise LoadingError when the model is not there or is not whole."""
        from inference.engines.loading import numbers_as

        with numbers_as(self.options.dtype):
            return self.load(entry)

    def load(self, entry: ModelEntry) -> Engine[Any]:
        """Load as `__call__` does, in the number format that this thread was told."""
        from transformers.utils import logging

        logging.disable_progress_bar()  # a bar for each model's weights, which take a second; downloads keep theirs
        threads = self.options.threads or max(1, (os.cpu_count() or 1) - 1)
        if entry.task == "chat":
            from inference.engines.decoder import DecoderEngine

            return DecoderEngine.load(
                entry.source, threads=threads, max_rows=self.options.max_rows, cache_bytes=self.options.cache_bytes
            )
        from inference.engines.seq2seq import Seq2SeqEngine

        return Seq2SeqEngine.load(entry.source, threads=threads)
