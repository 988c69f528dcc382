"""Small translation models, one for each way of naming languages: real architectures, random weights."""

import json
from pathlib import Path
from typing import Any

import sentencepiece
import torch
from transformers import (
    M2M100Config,
    M2M100ForConditionalGeneration,
    M2M100Tokenizer,
    MarianConfig,
    MarianMTModel,
    MBart50Tokenizer,
    MBartConfig,
    MBartForConditionalGeneration,
    NllbTokenizer,
    T5Config,
    T5ForConditionalGeneration,
    T5Tokenizer,
)

LINES = (
    "Good morning, how are you today?",
    "The station is near the hotel.",
    "Bonjour, comment allez-vous ?",
    "La gare est près de l'hôtel.",
    "Guten Morgen, wie geht es dir?",
    "Der Bahnhof ist beim Hotel.",
    "¿Dónde está la estación?",
    "a b c d e f g h i j k l m n o p q r s t u v w x y z < > / _ A B C D E F G H I J K L M N O P Q R S T U V W X Y Z",
)
# Wide weights and embeddings that are scaled and not tied: so that outputs depend on sources, and differ from token
# to token.
SHAPE = {
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 64,
    "decoder_ffn_dim": 64,
    "initializer_range": 0.5,
    "init_std": 0.5,
    "scale_embedding": True,
    "tie_word_embeddings": False,
    "max_position_embeddings": 64,
}


def train_pieces(directory: Path) -> sentencepiece.SentencePieceProcessor:
    """Train a SentencePiece model of some 100 pieces into `directory`/spm.model."""
    (directory / "lines.txt").write_text("\n".join(LINES * 10), encoding="utf-8")
    sentencepiece.SentencePieceTrainer.train(
        input=str(directory / "lines.txt"),
        model_prefix=str(directory / "spm"),
        vocab_size=110,
        hard_vocab_limit=False,
        character_coverage=1.0,
        minloglevel=2,
    )
    return sentencepiece.SentencePieceProcessor(model_file=str(directory / "spm.model"))


def save_marian(
    directory: Path,
    *,
    targets: tuple[str, ...] = (),
    tokenizer: dict[str, Any] | None = None,
    generation: dict[str, Any] | None = None,
) -> Path:
    """Save a Marian that knows `>>xx<<` for each of `targets`, or whose tokenizer config names a single pair."""
    directory.mkdir(parents=True)
    pieces = train_pieces(directory)
    names = [pieces.id_to_piece(number) for number in range(3, pieces.get_piece_size())]
    vocabulary = ["</s>", "<unk>", *names, *(f">>{target}<<" for target in targets), "<pad>"]
    for name in ("source.spm", "target.spm"):
        (directory / name).write_bytes((directory / "spm.model").read_bytes())
    _write(directory / "vocab.json", {token: number for number, token in enumerate(vocabulary)})
    _write(
        directory / "tokenizer_config.json",
        {"tokenizer_class": "MarianTokenizer", "model_max_length": 64, **(tokenizer or {})},
    )
    pad = len(vocabulary) - 1
    special = {"pad_token_id": pad, "eos_token_id": 0, "decoder_start_token_id": pad}
    config = MarianConfig(vocab_size=len(vocabulary), **special, **SHAPE)
    return _save(MarianMTModel, config, directory, {"bad_words_ids": [[pad]], **(generation or {})})


def save_m2m100(directory: Path) -> Path:
    """Save an M2M100, which knows a hundred languages as `__fr__`."""
    directory.mkdir(parents=True)
    _write(directory / "vocab.json", _fairseq_vocabulary(train_pieces(directory)))
    tokenizer = M2M100Tokenizer(str(directory / "vocab.json"), str(directory / "spm.model"))
    tokenizer.save_pretrained(directory)
    return _save(
        M2M100ForConditionalGeneration,
        _m2m100_config(len(tokenizer.encoder) + len(tokenizer.lang_code_to_id) + 8),
        directory,
    )


def save_nllb(directory: Path, **tokenizer: Any) -> Path:
    """Save an NLLB, which knows two hundred languages as `fra_Latn`."""
    directory.mkdir(parents=True)
    tokens = NllbTokenizer(vocab=_fairseq_vocabulary(train_pieces(directory)), merges=[], **tokenizer)
    tokens.save_pretrained(directory)
    return _save(M2M100ForConditionalGeneration, _m2m100_config(len(tokens)), directory)


def save_mbart50(directory: Path) -> Path:
    """Save an mBART-50, which knows fifty languages as `fr_XX`."""
    directory.mkdir(parents=True)
    tokens = MBart50Tokenizer(vocab=_scored(train_pieces(directory)))
    tokens.save_pretrained(directory)
    config = MBartConfig(vocab_size=len(tokens), decoder_start_token_id=2, **SHAPE)
    return _save(MBartForConditionalGeneration, config, directory)


def save_t5(directory: Path, **settings: Any) -> Path:
    """Save a T5, which is told its task in words."""
    directory.mkdir(parents=True)
    pieces = train_pieces(directory)
    scored = [
        ("<pad>", 0.0),
        ("</s>", 0.0),
        ("<unk>", 0.0),
        *_scored(pieces)[3:],
        *((f"<extra_id_{n}>", 0.0) for n in range(99, -1, -1)),
    ]
    tokens = T5Tokenizer(vocab=scored)
    tokens.save_pretrained(directory)
    tasks = {
        f"translation_en_to_{to}": {"prefix": f"translate English to {name}: "}
        for to, name in (("de", "German"), ("fr", "French"))
    }
    config = T5Config(
        vocab_size=len(tokens), d_model=32, d_kv=8, d_ff=64, num_layers=2, num_heads=4, initializer_factor=2.0,
        decoder_start_token_id=0, pad_token_id=0, eos_token_id=1, **{"task_specific_params": tasks, **settings},
    )  # fmt: skip
    return _save(T5ForConditionalGeneration, config, directory)


def _scored(pieces: sentencepiece.SentencePieceProcessor) -> list[tuple[str, float]]:
    return [(pieces.id_to_piece(number), pieces.get_score(number)) for number in range(pieces.get_piece_size())]


def _fairseq_vocabulary(pieces: sentencepiece.SentencePieceProcessor) -> dict[str, int]:
    tokens = ["<s>", "<pad>", "</s>", "<unk>", *(piece for piece, _ in _scored(pieces)[3:])]
    return {token: number for number, token in enumerate(tokens)}


def _m2m100_config(vocabulary_size: int) -> M2M100Config:
    return M2M100Config(vocab_size=vocabulary_size, decoder_start_token_id=2, **SHAPE)


def _save(kind: Any, config: Any, directory: Path, generation: dict[str, Any] | None = None) -> Path:
    torch.manual_seed(0)
    model = kind(config)
    model.generation_config.update(**(generation or {}))
    model.save_pretrained(directory)
    return directory


def _write(path: Path, content: object) -> None:
    path.write_text(json.dumps(content), encoding="utf-8")
