"""Makes of a model of transformers what CTranslate2 runs, and makes sure that it is the same model. Imports torch.

On the loader's thread, which has the model at hand. The reading of architectures is CTranslate2's; tokens are named by
their ids, as names of tokens need be neither unique nor complete.
"""

import random
from pathlib import Path
from typing import Any

import torch
from ctranslate2 import Translator
from ctranslate2.converters.transformers import _MODEL_LOADERS

from inference.engines.ct2_facts import (
    ARCHITECTURES,
    Facts,
    UnsuitableError,
    control_tokens,
    save_tokenizer,
    write_facts,
)
from inference.engines.languages import Naming
from inference.engines.seq2seq_loading import TransformersModel

# Settings of generation that are the same on both, and those that don't change what is decided: all others are only
# in force with transformers. Lengths and sampling are the requests' affair.
CARRIED_OUT = {"bad_words_ids", "suppress_tokens", "forced_eos_token_id", "no_repeat_ngram_size", "length_penalty"}
WITHOUT_EFFECT = {
    "bos_token_id", "eos_token_id", "pad_token_id", "decoder_start_token_id", "transformers_version",
    "_from_model_config", "use_cache", "max_length", "max_new_tokens", "num_beams", "do_sample", "temperature",
    "top_k", "top_p", "early_stopping", "renormalize_logits", "num_return_sequences",
    "return_dict_in_generate", "output_attentions", "output_hidden_states", "output_scores",
}  # fmt: skip

LIKENESS = 0.25
"""Most that log-probabilities may differ, of their spread: int8 makes 0.01 to 0.1, a layer left out more than 1."""


def convert(loaded: TransformersModel, into: Path, *, quantization: str | None = "int8") -> None:
    """Write the converted model into the empty directory `into`, with all that is needed to run it.

    The model itself is spoilt: CTranslate2 makes its integers in place. Raises UnsuitableError, OSError when the disk
    does not take it, or what CTranslate2 makes of an unusual model.
    """
    check_settings(loaded)
    samples = draw_samples(loaded)
    expected = torch.cat([log_probabilities(loaded.model, source, target) for source, target in samples])
    with torch.no_grad():
        spec = make_spec(loaded)
        vocabulary_size = spec.encoder.embeddings[0].weight.shape[0]
        spec.validate()
        spec.optimize(quantization=quantization)
        spec.save(str(into))
    write_facts(into, facts_of(loaded, vocabulary_size, save_tokenizer(loaded.tokenizer, into)))
    check_likeness(into, samples, expected)


def check_settings(loaded: TransformersModel) -> None:
    """Raise UnsuitableError for settings that only transformers knows."""
    config, generation = loaded.model.config, loaded.model.generation_config
    unknown = set(generation.to_diff_dict()) - CARRIED_OUT - WITHOUT_EFFECT
    if loaded.text and loaded.text.languages.naming in (Naming.SOURCE_FIRST, Naming.SOURCE_LAST):
        unknown.discard("forced_bos_token_id")  # each sequence has a first token of its own
    if unknown:
        raise UnsuitableError(f"it does not know the settings {', '.join(sorted(unknown))}")
    if config.model_type == "marian" and generation.pad_token_id != config.vocab_size - 1:
        raise UnsuitableError("<pad> is not the last of the vocabulary")


def make_spec(loaded: TransformersModel) -> Any:
    """Return what CTranslate2 makes of the model, with its tokens named by their ids."""
    config = loaded.model.config
    for name, value in ARCHITECTURES[config.model_type].items():
        setattr(config, name, getattr(config, name, value))
    spec = _MODEL_LOADERS[type(config).__name__].get_model_spec(loaded.model)
    spec.register_source_vocabulary([str(token) for token in range(spec.encoder.embeddings[0].weight.shape[0])])
    spec.register_target_vocabulary([str(token) for token in range(spec.decoder.embeddings.weight.shape[0])])
    name_special_tokens(spec.config, loaded)
    return spec


def name_special_tokens(config: Any, loaded: TransformersModel) -> None:
    """Tell CTranslate2 what outputs start and end with."""
    generation = loaded.model.generation_config
    end = str(ends_of(generation)[0])
    # Marian starts from no token at all, whatever stands here; CTranslate2 leaves its start, <pad>, out.
    is_marian = loaded.model.config.model_type == "marian"
    config.decoder_start_token = end if is_marian else str(generation.decoder_start_token_id)
    config.bos_token = config.eos_token = end
    config.unk_token = str(loaded.tokenizer.unk_token_id or 0)


def ends_of(generation: Any) -> list[int]:
    """Return the tokens that end an output."""
    ends = generation.eos_token_id
    return list(ends) if isinstance(ends, list) else [ends]


def facts_of(loaded: TransformersModel, vocabulary_size: int, pieces: dict[str, int] | None) -> Facts:
    """Return what is kept of the model besides its weights."""
    config, generation = loaded.model.config, loaded.model.generation_config
    layers = getattr(config, "decoder_layers", None) or config.num_decoder_layers
    return Facts(
        parameters=loaded.parameters,
        max_source_tokens=loaded.max_source_tokens,
        vocabulary_size=vocabulary_size,
        token_bytes=2 * 4 * layers * config.d_model,
        ends=ends_of(generation),
        forced_end=generation.forced_eos_token_id is not None,
        decoding=decoding_options(generation, vocabulary_size),
        end=loaded.tokenizer.eos_token,
        unknown=loaded.tokenizer.unk_token_id,
        control=control_tokens(loaded.tokenizer),
        pieces=pieces,
    )


def decoding_options(generation: Any, vocabulary_size: int) -> dict[str, Any]:
    """Return CTranslate2's options for what the model's makers ask of decoding."""
    banned = [*(generation.bad_words_ids or []), *([token] for token in generation.suppress_tokens or [])]
    options: dict[str, Any] = {}
    if kept := [words for words in banned if max(words) < vocabulary_size]:
        options["suppress_sequences"] = [[str(token) for token in words] for words in kept]
    if generation.no_repeat_ngram_size:
        options["no_repeat_ngram_size"] = generation.no_repeat_ngram_size
    if generation.length_penalty is not None:
        options["length_penalty"] = generation.length_penalty
    return options


def draw_samples(loaded: TransformersModel) -> list[tuple[list[int], list[int]]]:
    """Return sources and outputs of unlike length, of tokens drawn by chance among those that mean something."""
    chance = random.Random(0)
    control = set(control_tokens(loaded.tokenizer).values())
    tokens = [token for token in range(loaded.model.config.vocab_size) if token not in control]
    lengths = (4, 9, 16, min(24, loaded.max_source_tokens // 2))
    return [(chance.choices(tokens, k=length), chance.choices(tokens, k=length)) for length in lengths]


@torch.inference_mode()
def log_probabilities(model: Any, source: list[int], target: list[int]) -> torch.Tensor:
    """Return how likely the model thinks each token of `target` and the end after it, shaped (tokens + 1,)."""
    generation = model.generation_config
    output = model(
        input_ids=torch.tensor([source]),
        decoder_input_ids=torch.tensor([[generation.decoder_start_token_id, *target]]),
        use_cache=False,
    )
    scores: torch.Tensor = output.logits[0].float()
    if model.config.model_type == "marian":
        scores = scores[:, :-1]  # <pad>, which is never written
    wanted = torch.tensor([*target, ends_of(generation)[0]])
    return scores.log_softmax(-1).gather(-1, wanted[:, None])[:, 0]


def check_likeness(converted: Path, samples: list[tuple[list[int], list[int]]], expected: torch.Tensor) -> None:
    """Raise UnsuitableError unless the converted model thinks the samples as likely as the original did."""
    translator: Any = Translator(str(converted), device="cpu", intra_threads=1)
    names = [[[str(token) for token in tokens] for tokens in side] for side in zip(*samples, strict=True)]
    results = translator.score_batch(*names, max_input_length=0)
    found = torch.tensor([value for result in results for value in result.log_probs])
    difference = float((found - expected).pow(2).mean().sqrt() / expected.std())
    if not difference < LIKENESS:  # NaN too
        raise UnsuitableError(f"the converted model differs from the original by {difference:.2f}")
