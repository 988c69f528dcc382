"""From a client's text to a sequence-to-sequence model's token ids, and back.

Built when the model is loaded, changed by nothing after: any thread may encode and decode. A tokenizer of
transformers keeps the languages as state and reads control tokens in the text, so only its vocabulary is used, and
the ids around the text are put here.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from inference.engines.encoding import encode, encode_ids
from inference.engines.languages import Languages, Naming
from inference.engines.lexicon import Lexicon


@dataclass(frozen=True, slots=True)
class Sequence:
    """What the model reads for one sentence, and the token that it must write first, if any."""

    tokens: tuple[int, ...]
    first_token: int | None = None


class Codec(Protocol):
    """A vocabulary. What it encodes holds no control token, whatever the text says: `</s>` is four characters."""

    def encode(self, text: str) -> list[int]:
        """Return the ids of the text alone, with nothing put before or after."""

    def decode(self, tokens: Iterable[int]) -> str:
        """Return the text of the ids, leaving control tokens out."""

    def id_of(self, token: str) -> int:
        """Return the id of a control token. Raises KeyError when there is none."""


def make_codec(tokenizer: Any) -> Codec:
    """Make the codec of a tokenizer of transformers, which is built on SentencePiece itself or on `tokenizers`."""
    if hasattr(tokenizer, "backend_tokenizer"):
        return TokenizersCodec(tokenizer)
    return SentencePieceCodec(tokenizer)


class SentencePieceCodec:
    """Marian and M2M100: pieces come from SentencePiece, their ids from a vocabulary of the model's own."""

    def __init__(self, tokenizer: Any) -> None:
        self._source = getattr(tokenizer, "spm_source", None) or tokenizer.sp_model
        self._target = getattr(tokenizer, "spm_target", None) or tokenizer.sp_model
        self._ids: Mapping[str, int] = tokenizer.encoder
        self._pieces: Mapping[int, str] = tokenizer.decoder
        self._unknown: int = tokenizer.unk_token_id
        names = {token for token in self._ids if token.startswith(">>") and token.endswith("<<")}
        names.update(tokenizer.all_special_tokens, getattr(tokenizer, "lang_token_to_id", ()))
        self._control: dict[str, int] = {name: tokenizer.convert_tokens_to_ids(name) for name in names}
        self._forbidden = frozenset(self._control.values()) - {self._unknown}
        self._unwritten = frozenset(self._control.values())

    def encode(self, text: str) -> list[int]:
        """Return the ids of the text alone."""
        pieces = self._source.encode(text, out_type=str)
        ids = [self._ids.get(piece, self._unknown) for piece in pieces]
        if self._forbidden.isdisjoint(ids):
            return ids
        return _spell_out(ids, pieces, self._forbidden, lambda char: self._ids.get(char, self._unknown))

    def decode(self, tokens: Iterable[int]) -> str:
        """Return the text of the ids, leaving control tokens out."""
        pieces = [self._pieces[token] for token in tokens if token not in self._unwritten and token in self._pieces]
        return str(self._target.decode_pieces(pieces)).replace("▁", " ").strip()

    def id_of(self, token: str) -> int:
        """Return the id of a control token. Raises KeyError when there is none."""
        return self._control[token]


class TokenizersCodec:
    """All others: NLLB, mBART-50, T5, BART."""

    def __init__(self, tokenizer: Any) -> None:
        from tokenizers import Tokenizer

        # A copy, as padding, truncation and the next line are state of the object.
        self._backend = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
        self._backend.encode_special_tokens = True
        self._backend.no_padding()
        self._backend.no_truncation()
        self._unknown: int | None = tokenizer.unk_token_id
        added: dict[str, int] = {token.content: id_ for id_, token in self._backend.get_added_tokens_decoder().items()}
        self._control: dict[str, int] = added | {
            token: tokenizer.convert_tokens_to_ids(token) for token in tokenizer.all_special_tokens
        }
        self._forbidden = frozenset(self._control.values()) - {self._unknown}
        self._unwritten = frozenset(self._control.values())

    def encode(self, text: str) -> list[int]:
        """Return the ids of the text alone."""
        ids = encode_ids(self._backend, text)
        if self._forbidden.isdisjoint(ids):
            return ids
        # `encode_special_tokens` is not enough: a Unigram vocabulary holds `</s>` and `fr_XX` as pieces too, and
        # finds them in the text.
        return _spell_out(ids, encode(self._backend, text).tokens, self._forbidden, self._id_of_character)

    def _id_of_character(self, character: str) -> int | None:
        found = self._backend.token_to_id(character)
        return self._unknown if found is None else int(found)

    def decode(self, tokens: Iterable[int]) -> str:
        """Return the text of the ids, leaving control tokens out."""
        kept = [token for token in tokens if token not in self._unwritten]
        return str(self._backend.decode(kept, skip_special_tokens=False)).strip()

    def id_of(self, token: str) -> int:
        """Return the id of a control token. Raises KeyError when there is none."""
        return self._control[token]


def _spell_out(
    ids: list[int], pieces: list[str], forbidden: frozenset[int], id_of_character: Callable[[str], int | None]
) -> list[int]:
    """Replace each forbidden id by the ids of its piece's characters; those that have none are left out."""
    spelt: list[int] = []
    for id_, piece in zip(ids, pieces, strict=True):
        characters = (id_of_character(character) for character in piece) if id_ in forbidden else (id_,)
        spelt += [each for each in characters if each is not None]
    return spelt


class TranslationText:
    """Makes the sequences that tell a model what to translate from which language into which.

    `lexicon` is there when the model brings one: its sentences are to be masked first.
    """

    def __init__(self, codec: Codec, languages: Languages, end: str, lexicon: Lexicon | None = None) -> None:
        """Take as `end` the token that ends what the model reads. Raises KeyError when a token is missing."""
        self._codec = codec
        self.languages = languages
        self.lexicon = lexicon
        self._end = codec.id_of(end)
        names = {*languages.sources.values(), *languages.targets.values()} - {""}
        self._ids = {name: codec.id_of(name) for name in names}

    @property
    def is_scored(self) -> bool:
        """Say whether the lexicon asks how likely the model thinks its outputs: telling it takes time."""
        return self.lexicon is not None and self.lexicon.unsure_below is not None

    def encode(self, text: str, source: str, target: str) -> Sequence:
        """Return the sequence for one sentence. Raises KeyError for languages that the model does not know."""
        languages = self.languages
        if languages.naming is Naming.PREFIX:
            return Sequence((*self._codec.encode(languages.prefixes[source, target] + text), self._end))
        ids = self._codec.encode(text)
        source_name, target_name = languages.sources[source], languages.targets[target]
        if languages.naming is Naming.TARGET_TOKEN:
            return Sequence((*self._named(target_name), *ids, self._end))
        tokens = (*self._named(source_name), *ids, self._end)
        if languages.naming is Naming.SOURCE_LAST:
            tokens = (*ids, self._end, *self._named(source_name))
        return Sequence(tokens, self._ids[target_name])

    def _named(self, name: str) -> tuple[int, ...]:
        return (self._ids[name],) if name else ()
