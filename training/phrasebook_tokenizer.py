"""The phrasebook's tokenizer: SentencePiece, in the files that MarianTokenizer reads, for all six languages.

What is read loses its capitals on the way in (`source.spm`), so that case can't throw the model off; what is written
has them (`target.spm`). Both share one vocabulary. The marks of the lexicon are tokens. `<pad>` comes last in the
vocabulary: CTranslate2's converter expects it there.
"""

import json
import warnings
from collections.abc import Iterable
from pathlib import Path

import sentencepiece
from transformers import MarianTokenizer

from training.phrasebook_masks import MARKS, NUMBER_MARKS
from training.phrases_corpus import LANGUAGES
from training.phrases_pairs import Pair

SOURCE_VOCABULARY, TARGET_VOCABULARY = 4000, 4000
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
    sources = _learn({pair.source for pair in pairs}, directory / "source.spm", SOURCE_VOCABULARY, "nmt_nfkc_cf")
    targets = _learn({pair.target for pair in pairs}, directory / "target.spm", TARGET_VOCABULARY, "nmt_nfkc")
    languages = [f">>{language}<<" for language in LANGUAGES]
    pieces = dict.fromkeys((EOS, UNKNOWN, *sources, *targets, *languages))
    vocabulary = {token: index for index, token in enumerate([*(p for p in pieces if p != PAD), PAD])}
    (directory / "vocab.json").write_text(json.dumps(vocabulary, ensure_ascii=False, indent=0) + "\n", encoding="utf-8")
    return load_tokenizer(directory)


def _learn(texts: Iterable[str], file: Path, size: int, normalisation: str) -> list[str]:
    """Write a SentencePiece model of at most `size` pieces, and return them."""
    with file.open("wb") as opened:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(sorted(texts)),
            model_writer=opened,
            vocab_size=size,
            hard_vocab_limit=False,
            character_coverage=1.0,
            split_digits=True,
            normalization_rule_name=normalisation,
            user_defined_symbols=list(MARKS + NUMBER_MARKS),
            num_threads=1,
            bos_id=-1,
            minloglevel=2,
        )
    processor = sentencepiece.SentencePieceProcessor(model_file=str(file))
    return [processor.id_to_piece(i) for i in range(processor.get_piece_size())]
