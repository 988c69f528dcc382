"""Loads a sequence-to-sequence model from a directory or a hub. Called on any one thread; slow, and imports torch."""

import copy
import warnings
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import EntryNotFoundError
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

from inference.engines.languages import UnnamedLanguagesError, read_languages
from inference.engines.loading import LoadingError, default_device, default_dtype
from inference.engines.translation_text import Codec, TranslationText, make_codec

UNBOUNDED_TABLE_TOKENS = 512  # for models with relative positions (T5), which state no limit: what they were trained on

# Marian's tokenizer asks for sacremoses, to normalise punctuation, but never calls it: the advice is of no use.
SACREMOSES_ADVICE = "Recommended: pip install sacremoses"


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model of transformers in evaluation mode with all that its engine has to know of it.

    `text` is None when it does not translate. `rows_are_independent` is false where scores depend on the source's
    tokens: then a row can't leave a batch that goes on, so each is a batch of its own.
    """

    model: Any
    codec: Codec
    text: TranslationText | None
    max_source_tokens: int
    rows_are_independent: bool


def load_model(source: str | Path, *, threads: int) -> LoadedModel:
    """Load the model in the directory `source`, or that of the hub id, its weights as safetensors only.

    Raises LoadingError.
    """
    warnings.filterwarnings("ignore", message=SACREMOSES_ADVICE)
    torch.set_num_threads(threads)
    try:
        tokenizer = AutoTokenizer.from_pretrained(str(source))
        device = default_device()
        model = AutoModelForSeq2SeqLM.from_pretrained(str(source), dtype=default_dtype(device), use_safetensors=True)
        model.to(device).eval()
        codec = make_codec(tokenizer)
        text = _translation_text(codec, source, tokenizer.eos_token)
    except Exception as error:  # there is no end to what broken files raise
        message = f"{source} could not be loaded as a translation model ({type(error).__name__}): {error}"
        raise LoadingError(message) from error
    config = model.generation_config = settle_generation(model.generation_config)
    return LoadedModel(
        model,
        codec,
        text,
        max_source_tokens=getattr(model.config, "max_position_embeddings", None) or UNBOUNDED_TABLE_TOKENS,
        rows_are_independent=not config.encoder_no_repeat_ngram_size
        and (config.encoder_repetition_penalty or 1.0) == 1.0,
    )


def settle_generation(config: Any) -> Any:
    """Return the model's generation config without what each request decides, sampling, beams and length, and without
    what its training has left there.
    """
    config = copy.deepcopy(config)
    config.do_sample, config.num_beams, config.max_length = False, 1, None
    config.use_cache, config.return_dict_in_generate = True, False
    return config


def _translation_text(codec: Codec, source: str | Path, end: str) -> TranslationText | None:
    """Return what makes the model's translation sequences, or None when its files name no languages."""
    try:
        return TranslationText(codec, read_languages(_directory(source)), end)
    except UnnamedLanguagesError:
        return None


def _directory(source: str | Path) -> Path:
    """Return the directory of the model's small files; from a hub, `aister.json` is fetched too, where there is one."""
    if Path(source).is_dir():
        return Path(source)
    with suppress(EntryNotFoundError):
        hf_hub_download(str(source), "aister.json")
    return Path(hf_hub_download(str(source), "config.json")).parent
