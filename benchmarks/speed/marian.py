"""A Marian of 75M random weights that never ends by itself, with the tokenizer of the bundled phrasebook: from English
into French only, so that no token of its input names a language.

Kept in `build/benchmarks/models` as transformers has it, and as CTranslate2 has it: int8, converted as our server does.
"""

import json
import shutil
from pathlib import Path
from typing import Any

from benchmarks.speed.shapes import MODELS, ROOT, alone

PHRASEBOOK = ROOT / "inference" / "bundled" / "aister-phrasebook"
HOME = MODELS / "marian-home"
SOURCE, TARGET = "en", "fr"
VOCABULARY = 58_101
SHAPE: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "d_model": 512,
    "encoder_layers": 6,
    "decoder_layers": 6,
    "encoder_attention_heads": 8,
    "decoder_attention_heads": 8,
    "encoder_ffn_dim": 2048,
    "decoder_ffn_dim": 2048,
    "max_position_embeddings": 512,
    "pad_token_id": VOCABULARY - 1,
    "eos_token_id": 0,
    "decoder_start_token_id": VOCABULARY - 1,
    "scale_embedding": True,
    "activation_function": "swish",
}


def original() -> Path:
    """Return the directory of the model as transformers has it, made if it is not there yet."""
    directory = MODELS / "marian-75m-en-fr"
    with alone():
        if not (directory / "model.safetensors").exists():
            make(directory)
    return directory


def names() -> list[str]:
    """Return the names of all tokens: the phrasebook's pieces, made-up words for the others, and padding at the end."""
    pieces: dict[str, int] = json.loads((PHRASEBOOK / "vocab.json").read_text(encoding="utf-8"))
    named = {token: piece for piece, token in pieces.items() if piece != "<pad>" and not piece.startswith(">>")}
    return [*(named.get(token, f"▁word{token}") for token in range(VOCABULARY - 1)), "<pad>"]


def make(directory: Path) -> None:
    """Write the model; its weights last."""
    import torch
    import transformers

    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    for name in ("source.spm", "target.spm"):
        shutil.copy(PHRASEBOOK / name, directory)
    settings = json.loads((PHRASEBOOK / "tokenizer_config.json").read_text(encoding="utf-8"))
    del settings["added_tokens_decoder"]
    (directory / "tokenizer_config.json").write_text(json.dumps(settings))
    (directory / "vocab.json").write_text(json.dumps({name: token for token, name in enumerate(names())}))
    (directory / "aister.json").write_text(json.dumps({"sources": [SOURCE], "targets": [TARGET]}))
    torch.manual_seed(1)
    make_model: Any = transformers.MarianMTModel
    model = make_model(transformers.MarianConfig(**SHAPE))
    model.final_logits_bias[0, SHAPE["eos_token_id"]] = -100.0
    model.generation_config.bad_words_ids = [[VOCABULARY - 1]]
    model.save_pretrained(directory)


def converted() -> Path:
    """Return the directory that has the int8 file and all that CTranslate2 needs."""
    from inference.engines.ct2_store import ConvertedModels
    from inference.engines.seq2seq_selection import SequenceOptions, load_sequence_model

    source = original()
    kept = ConvertedModels(HOME)
    place = kept.place(source, source)
    with alone():
        if not place.exists():
            load_sequence_model(source, SequenceOptions(choice="ctranslate2", converted=HOME, threads=1))
    return place
