"""Which of the two, CTranslate2 or transformers, runs a sequence-to-sequence model. Imports torch only when it must.

CTranslate2 runs on the CPU in int8 what it knows, several times as fast and without torch, from a copy that is
converted once and kept. Transformers runs everything else, all there is on a GPU, and what the disk has no room for.
On the loader's thread.
"""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import ctranslate2

from inference import memory
from inference.engines.ct2_facts import check_architecture
from inference.engines.ct2_model import CTranslate2Model
from inference.engines.ct2_store import ConvertedModels
from inference.engines.progress import Report, nobody
from inference.engines.sequence_files import model_directory
from inference.engines.sequence_rows import SequenceModel

if TYPE_CHECKING:
    from inference.engines.seq2seq_loading import TransformersModel  # brings torch

logger = logging.getLogger(__name__)

Choice = Literal["auto", "ctranslate2", "transformers"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SequenceOptions:
    """How sequence-to-sequence models are run.

    `converted` is where conversions are kept; without it, nothing is converted. `threads` of 0 means `spare_threads`,
    or fewer where that is faster. `dtype` is transformers' number format; CTranslate2 has its own, so it is not what
    `auto` chooses when another is asked for. `report` hears how far transformers has come; CTranslate2 does not say.
    """

    choice: Choice = "auto"
    converted: Path | None = None
    threads: int = 0
    spare_threads: int = 1
    dtype: str = "auto"
    report: Report = nobody


def load_sequence_model(source: str | Path, options: SequenceOptions) -> SequenceModel:
    """Load the model in the directory `source`, or that of the hub id. Slow; any one thread.

    Raises LoadingError for a model that is absent, broken or of another kind.
    """
    is_wanted = options.choice == "ctranslate2" or (options.choice == "auto" and options.dtype == "auto")
    if options.converted is not None and is_wanted and (options.choice == "ctranslate2" or not has_gpu()):
        converted = _Conversion(source, options, options.converted).load()
        if converted is not None:
            return converted
    return load_original(source, options, options.dtype)


def load_original(source: str | Path, options: SequenceOptions, dtype: str) -> "TransformersModel":
    """Load the model for transformers. Raises LoadingError."""
    from inference.engines.seq2seq_loading import load_model

    return load_model(source, threads=options.threads or options.spare_threads, dtype=dtype, report=options.report)


def has_gpu() -> bool:
    """Say whether transformers would use a GPU; torch, slow to import, is asked only where there is one."""
    try:
        if not ctranslate2.get_cuda_device_count():
            return False
    except RuntimeError:  # a driver that is of no use to CTranslate2 may be of use to torch
        pass
    import torch

    return torch.cuda.is_available()


class _Conversion:
    """One load by CTranslate2, of the conversion that there is, or after converting."""

    def __init__(self, source: str | Path, options: SequenceOptions, root: Path) -> None:
        self.source = source
        self.options = options
        self.store = ConvertedModels(root)

    def load(self) -> SequenceModel | None:
        """Return the model, or None when something is in the way, of which one line is logged.

        Raises LoadingError when transformers can't load it either.
        """
        try:
            directory = model_directory(self.source)
            place = self.store.place(self.source, directory)
        except Exception:  # files that are not there: who loads the original says so better
            return None
        if (kept := self._load_kept(place, directory)) is not None:
            return kept
        try:
            check_architecture(directory)
        except Exception as error:
            self._log(error)
            return None
        original = load_original(self.source, self.options, "float32")
        try:
            return self._convert(original, place, directory)
        except Exception as error:  # settings it does not know, a full disk, what a converter makes of odd weights
            self._log(error)
            return None

    def _log(self, error: Exception) -> None:
        logger.warning("%s runs on transformers, as CTranslate2 can't run it: %s.", self.source, error)

    def _load_kept(self, place: Path, directory: Path) -> SequenceModel | None:
        """Return the model from a conversion made earlier; remove one that can't be read."""
        if not place.is_dir():
            return None
        try:
            return self._read(place, directory)
        except Exception as error:  # there is no end to what broken files raise
            logger.warning("The conversion of %s can't be read and is made anew: %s.", self.source, error)
            self.store.discard(place)
            return None

    def _convert(self, original: "TransformersModel", place: Path, directory: Path) -> SequenceModel:
        """Convert the model, which is of no use afterwards."""
        from inference.engines.ct2_converting import convert

        self.store.fill(place, self.source, lambda into: convert(original, into))
        original.close()
        memory.give_back()
        return self._read(place, directory)

    def _read(self, place: Path, directory: Path) -> SequenceModel:
        options = self.options
        return CTranslate2Model(place, directory, threads=options.threads, spare_threads=options.spare_threads)
