"""What is kept beside a model that was converted for CTranslate2, so that neither torch nor transformers is needed to
run it: how it decodes, and its vocabulary. Written once, by the loader's thread; read by any.
"""

from pathlib import Path
from typing import Any

import msgspec
import sentencepiece
from tokenizers import Tokenizer

from inference.engines.translation_text import Codec, SentencePieceCodec, TokenizersCodec

# What CTranslate2 is trusted to convert, with what it asks of their configurations and transformers 5 leaves out: how
# the architecture is built.
ARCHITECTURES: dict[str, dict[str, bool]] = {
    "marian": {},
    "m2m_100": {},
    "mbart": {"normalize_before": True, "normalize_embedding": True},
    "bart": {"normalize_before": False, "normalize_embedding": True},
    "t5": {},
}
FACTS = "aister.json"
SOURCE, TARGET, TOKENIZER = "source.spm", "target.spm", "tokenizer.json"


class UnsuitableError(Exception):
    """CTranslate2 can't run the model as it should be. The message says why, for the log."""


def check_architecture(directory: Path) -> None:
    """Raise UnsuitableError for an architecture that CTranslate2 does not know, before anything large is loaded."""
    config = msgspec.json.decode((directory / "config.json").read_bytes())
    if config.get("model_type") not in ARCHITECTURES:
        raise UnsuitableError(f"it does not know the architecture {config.get('model_type')}")


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What the engine has to know of a converted model.

    `ends` are the tokens that end an output; with a `forced_end` the last token within a limit is one. `decoding` are
    options of CTranslate2. `token_bytes` are the decoder's keys and values of one token. `end` is the name of the token
    that ends what the model reads, `unknown` the id of what is not in the vocabulary, `control` the ids of control
    tokens by name, `pieces` those of all others where they are not the tokenizer's own.
    """

    parameters: int
    max_source_tokens: int
    vocabulary_size: int
    token_bytes: int
    ends: list[int]
    forced_end: bool
    decoding: dict[str, Any]
    end: str
    unknown: int | None
    control: dict[str, int]
    pieces: dict[str, int] | None = None


class SavedTokenizer:
    """What a codec asks of a tokenizer of transformers, from what was kept of it."""

    def __init__(self, directory: Path, facts: Facts) -> None:
        """Read the files that `save_tokenizer` wrote."""
        self.unk_token_id = facts.unknown
        self.all_special_tokens = list(facts.control)
        self._control = facts.control
        if facts.pieces is None:
            self.backend_tokenizer = Tokenizer.from_file(str(directory / TOKENIZER))
            return
        self.encoder = facts.pieces
        self.decoder = {id_: piece for piece, id_ in facts.pieces.items()}
        self.spm_source = sentencepiece.SentencePieceProcessor(model_file=str(directory / SOURCE))
        self.spm_target = self.spm_source
        if (directory / TARGET).exists():
            self.spm_target = sentencepiece.SentencePieceProcessor(model_file=str(directory / TARGET))

    def convert_tokens_to_ids(self, token: str) -> int:
        """Return the id of a control token. Those of Marian's languages are pieces too."""
        return self._control[token] if token in self._control else self.encoder[token]


def save_tokenizer(tokenizer: Any, directory: Path) -> dict[str, int] | None:
    """Keep what a tokenizer of transformers splits text by; return its pieces where it has a vocabulary besides."""
    if hasattr(tokenizer, "backend_tokenizer"):
        (directory / TOKENIZER).write_text(tokenizer.backend_tokenizer.to_str(), encoding="utf-8")
        return None
    source = getattr(tokenizer, "spm_source", None) or tokenizer.sp_model
    target = getattr(tokenizer, "spm_target", None) or tokenizer.sp_model
    (directory / SOURCE).write_bytes(source.serialized_model_proto())
    if target.serialized_model_proto() != source.serialized_model_proto():
        (directory / TARGET).write_bytes(target.serialized_model_proto())
    return dict(tokenizer.encoder)


def control_tokens(tokenizer: Any) -> dict[str, int]:
    """Return the ids of a tokenizer's special tokens, languages among them, by name."""
    names = {*tokenizer.all_special_tokens, *getattr(tokenizer, "lang_token_to_id", ())}
    return {name: int(tokenizer.convert_tokens_to_ids(name)) for name in sorted(names)}


def read_codec(directory: Path, facts: Facts) -> Codec:
    """Return the vocabulary of a converted model."""
    tokenizer = SavedTokenizer(directory, facts)
    return TokenizersCodec(tokenizer) if facts.pieces is None else SentencePieceCodec(tokenizer)


def write_facts(directory: Path, facts: Facts) -> None:
    """Write the file that `read_facts` reads."""
    (directory / FACTS).write_bytes(msgspec.json.encode(facts))


def read_facts(directory: Path) -> Facts:
    """Read what is known of the model. Raises OSError or msgspec.MsgspecError when it can't be read."""
    return msgspec.json.decode((directory / FACTS).read_bytes(), type=Facts)
