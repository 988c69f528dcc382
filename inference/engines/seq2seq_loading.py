"""Sequence-to-sequence models as transformers runs them, loaded from a directory or a hub. Imports torch.

Loading is slow, on any one thread; the rest is the engine's thread's.
"""

import copy
import warnings
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer
from transformers.utils import logging as progress

from inference.engines.loading import LoadingError, choose_dtype, default_device
from inference.engines.progress import Report, nobody, reported
from inference.engines.seq2seq_decoding import BeamBatch, GreedyBatch
from inference.engines.sequence_files import model_directory, read_translation_text
from inference.engines.sequence_rows import Batch, CancelFlag, Row
from inference.engines.translation_text import Codec, TranslationText, make_codec

UNBOUNDED_TABLE_TOKENS = 512  # for models with relative positions (T5), which state no limit: what they were trained on

# Marian's tokenizer asks for sacremoses, to normalise punctuation, but never calls it: the advice is of no use.
SACREMOSES_ADVICE = "Recommended: pip install sacremoses"


@dataclass(eq=False)
class TransformersModel:
    """A model of transformers in evaluation mode with all that its engine has to know of it.

    `text` is None when it does not translate. `rows_are_independent` is false where scores depend on the source's
    tokens: then a row can't leave a batch that goes on, so each is a batch of its own.
    """

    model: Any
    tokenizer: Any
    codec: Codec
    text: TranslationText | None
    max_source_tokens: int
    rows_are_independent: bool
    threads: int

    @cached_property
    def vocabulary_size(self) -> int:
        """How many tokens it can read."""
        return int(self.model.get_input_embeddings().num_embeddings)

    @property
    def weight_bytes(self) -> int:
        """Bytes of weights; 0 once closed."""
        return sum(parameter.nbytes for parameter in self.model.parameters()) if self.model else 0

    @cached_property
    def parameters(self) -> int:
        """How many weights there are."""
        return int(self.model.num_parameters())

    def describe(self) -> dict[str, Any]:
        """Return what clients are told of how the model runs."""
        return {"path": "transformers", "dtype": self._dtype, "parameters": self.parameters}

    @cached_property
    def _dtype(self) -> str:
        return str(self.model.dtype).removeprefix("torch.")

    def use_this_thread(self) -> None:
        """Set how many threads of the CPU its steps use: a setting of the calling thread's."""
        torch.set_num_threads(self.threads)

    def batch(self, rows: list[Row], beams: int, is_cancelled: CancelFlag) -> Batch:
        """Encode the rows, to decode them greedily or by beam search."""
        if beams > 1:
            return BeamBatch(self.model, rows, beams, is_cancelled)
        return GreedyBatch(self.model, rows, is_scored=self.text is not None and self.text.is_scored)

    def close(self) -> None:
        """Let go of the weights."""
        self.model = self.tokenizer = None


def load_model(source: str | Path, *, threads: int, dtype: str = "auto", report: Report = nobody) -> TransformersModel:
    """Load the model in the directory `source`, or that of the hub id, its weights as safetensors only.

    `dtype`: see `choose_dtype`.

    Raises LoadingError.
    """
    warnings.filterwarnings("ignore", message=SACREMOSES_ADVICE)
    progress.disable_progress_bar()  # a bar for each model's weights, which take a second; downloads keep theirs
    torch.set_num_threads(threads)
    try:
        tokenizer = AutoTokenizer.from_pretrained(str(source))
        device = default_device()
        chosen = choose_dtype(dtype, device)
        with reported(report):
            model = AutoModelForSeq2SeqLM.from_pretrained(str(source), dtype=chosen, use_safetensors=True)
        model.to(device).eval()
        codec = make_codec(tokenizer)
        text = read_translation_text(codec, model_directory(source), tokenizer.eos_token)
    except Exception as error:  # there is no end to what broken files raise
        message = f"{source} could not be loaded as a translation model ({type(error).__name__}): {error}"
        raise LoadingError(message) from error
    config = model.generation_config = settle_generation(model.generation_config)
    return TransformersModel(
        model,
        tokenizer,
        codec,
        text,
        max_source_tokens=getattr(model.config, "max_position_embeddings", None) or UNBOUNDED_TABLE_TOKENS,
        rows_are_independent=not config.encoder_no_repeat_ngram_size
        and (config.encoder_repetition_penalty or 1.0) == 1.0,
        threads=threads,
    )


def settle_generation(config: Any) -> Any:
    """Return the model's generation config without what each request decides, sampling, beams and length, and without
    what its training has left there.
    """
    config = copy.deepcopy(config)
    config.do_sample, config.num_beams, config.max_length = False, 1, None
    config.use_cache, config.return_dict_in_generate = True, False
    return config
