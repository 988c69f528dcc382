"""From a directory or a hub id to a model and tokenizer in memory. Runs on whichever thread the manager loads on."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel

from inference.engines.generation import Sampling
from inference.engines.progress import Report, nobody, reported

logger = logging.getLogger(__name__)

POSITION_LIMITS = ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length", "n_ctx")
UNSTATED_TEMPERATURE = 0.7
"""What most makers of chat models recommend."""
UNSTATED_CONTEXT_TOKENS = 2048
"""For the few architectures (ALiBi, recurrent) whose configuration sets no limit."""
HALVED_BYTES = 64 * 2**20
"""Weights that take less on disk stay in full precision on a CPU.

In bf16 half the bytes are read, and reading weights is most of what a step of a large model takes: 135M parameters on
one thread gained 1.2x at one row, 1.7x at 16 and 1.9x at a prompt of 256, on a busy machine. Those of 2M stand in the
processor's cache anyway, and decoded 7 to 22 % slower.
"""


class LoadingError(Exception):
    """A model can't be loaded. The message is for the operator."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A causal language model with its tokenizer, ready to run.

    `stop_ids` end an answer; `defaults` are the model's own settings.
    """

    model: PreTrainedModel
    tokenizer: Any
    context_tokens: int
    stop_ids: frozenset[int]
    defaults: Sampling


def default_device() -> torch.device:
    """Return the device that models are put on."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def choose_dtype(name: str, device: torch.device, weight_bytes: float = 0) -> torch.dtype:
    """Return the number format called `float32` or `bfloat16`; for `auto`, that of a model with weights of this size.

    That is bf16 where the hardware computes in it and that is faster, else float32. `int8` is added to bf16.
    """
    if name == "auto":
        is_halved = device.type == "cuda" or (weight_bytes >= HALVED_BYTES and has_bf16_cpu())
        return torch.bfloat16 if is_halved else torch.float32
    return torch.float32 if name == "float32" else torch.bfloat16


def has_bf16_cpu() -> bool:
    """Say whether the CPU multiplies in bf16 (AVX512-BF16 or AMX). Others convert each number first: slower."""
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def weight_bytes(source: str | Path) -> float:
    """Return what the weights of a model take on disk; a hub's, which may not be here yet, are taken for large."""
    path = Path(source)
    return sum(file.stat().st_size for file in path.glob("*.safetensors")) if path.is_dir() else float("inf")


def load_causal_model(source: str | Path, dtype: str = "auto", report: Report = nobody) -> Loaded:
    """Load weights (safetensors only: other formats may carry code) and tokenizer. `dtype`: see `choose_dtype`.

    Raises LoadingError.
    """
    device = default_device()
    chosen = choose_dtype(dtype, device, weight_bytes(source))
    try:
        with reported(report):
            model = AutoModelForCausalLM.from_pretrained(str(source), dtype=chosen, use_safetensors=True)
        tokenizer = AutoTokenizer.from_pretrained(str(source))
    except Exception as error:  # whatever transformers, safetensors and the hub's client make of what they find
        message = f"{source} could not be loaded as a chat model ({type(error).__name__}): {error}"
        raise LoadingError(message) from error
    model.to(device).eval()  # type: ignore[arg-type]  # transformers' annotation loses self
    return Loaded(model, tokenizer, context_tokens(model), stop_ids(model, tokenizer), sampling_defaults(model))


def context_tokens(model: PreTrainedModel) -> int:
    """Return how many tokens a text may have, prompt and answer together."""
    config = model.config.get_text_config(decoder=True)
    limits = [getattr(config, name, None) for name in POSITION_LIMITS]
    return next((limit for limit in limits if isinstance(limit, int) and limit > 0), UNSTATED_CONTEXT_TOKENS)


def stop_ids(model: PreTrainedModel, tokenizer: Any) -> frozenset[int]:
    """Return the tokens that end an answer: those of the generation settings, and the tokenizer's end of text."""
    stated = model.generation_config.eos_token_id if model.generation_config else None
    ids = stated if isinstance(stated, list) else [stated]
    return frozenset(i for i in [*ids, tokenizer.eos_token_id] if i is not None)


def sampling_defaults(model: PreTrainedModel) -> Sampling:
    """Return how the model's makers want tokens chosen: greedily where they turn sampling off."""
    stated = model.generation_config
    if stated is None:
        return Sampling(temperature=UNSTATED_TEMPERATURE)
    temperature = UNSTATED_TEMPERATURE if stated.temperature is None else float(stated.temperature)
    return Sampling(
        temperature=0.0 if stated.do_sample is False else temperature,
        top_p=float(stated.top_p or 1.0),
        top_k=max(0, int(stated.top_k or 0)),  # -1 elsewhere means what 0 does here
        repetition_penalty=float(stated.repetition_penalty or 1.0),
    )
