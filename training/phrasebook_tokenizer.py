"""The phrasebook's tokenizer: one SentencePiece model for all six languages, in the files that MarianTokenizer reads.

`<pad>` comes last in the vocabulary: CTranslate2's converter expects it there.
"""

import json
import warnings
from pathlib import Path

import sentencepiece
from transformers import MarianTokenizer

from training.phrasebook_corpus import LANGUAGES
from training.phrasebook_pairs import Pair

VOCABULARY = 3000
CONTEXT_TOKENS = 256
EOS, UNKNOWN, PAD = "</s>", "<unk>", "<pad>"


def load_tokenizer(directory: Path) -> MarianTokenizer:
    """Load a tokenizer; without sacremoses, which only tidies punctuation, transformers would warn."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Recommended: pip install sacremoses")
        tokenizer: MarianTokenizer = MarianTokenizer.from_pretrained(directory, model_max_length=CONTEXT_TOKENS)
    return tokenizer


def train_tokenizer(pairs: list[Pair], directory: Path) -> MarianTokenizer:
    """Learn the pieces from `pairs`, write both `.spm` files and `vocab.json` to `directory`, and load them."""
    directory.mkdir(parents=True, exist_ok=True)
    texts = sorted({text for source, _, target in pairs for text in (source, target)})
    with (directory / "source.spm").open("wb") as file:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(texts),
            model_writer=file,
            vocab_size=VOCABULARY,
            hard_vocab_limit=False,
            character_coverage=1.0,
            split_digits=True,
            num_threads=1,
            bos_id=-1,
            minloglevel=2,
        )
    model = (directory / "source.spm").read_bytes()
    (directory / "target.spm").write_bytes(model)
    processor = sentencepiece.SentencePieceProcessor(model_proto=model)
    pieces = [processor.id_to_piece(i) for i in range(processor.get_piece_size())]
    languages = [f">>{language}<<" for language in LANGUAGES]
    tokens = [EOS, UNKNOWN, *(piece for piece in pieces if piece not in (EOS, UNKNOWN, PAD)), *languages, PAD]
    vocabulary = {token: index for index, token in enumerate(tokens)}
    (directory / "vocab.json").write_text(json.dumps(vocabulary, ensure_ascii=False, indent=0) + "\n", encoding="utf-8")
    return load_tokenizer(directory)
