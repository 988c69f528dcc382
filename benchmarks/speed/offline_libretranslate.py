"""`python offline_libretranslate.py [OPTIONS]`: LibreTranslate's own server, in its own environment, with two changes.

It splits nothing: its splitter of sentences would be downloaded first. And each output is cut after AISTER_BENCH_TOKENS
tokens: it sets no limit, and a model of random weights never ends by itself. Both spare it work.
"""

import os
from typing import Any

import ctranslate2
from argostranslate.sbd import MiniSBDSentencizer  # type: ignore[import-not-found]
from libretranslate.main import main  # type: ignore[import-not-found]

TOKENS = int(os.environ["AISTER_BENCH_TOKENS"])
translate_batch = ctranslate2.Translator.translate_batch


def translate_cut(translator: Any, *arguments: Any, **options: Any) -> Any:
    """Translate as asked, so many tokens for each sentence; raise ValueError when they are fewer."""
    translated = translate_batch(translator, *arguments, **options, max_decoding_length=TOKENS)
    if any(len(each.hypotheses[0]) != TOKENS for each in translated):
        raise ValueError("An output has another length than the benchmark forces.")
    return translated


def as_one(_splitter: Any, text: str) -> list[str]:
    """Take a text for one sentence."""
    return [text]


if __name__ == "__main__":
    MiniSBDSentencizer.split_sentences = as_one
    ctranslate2.Translator.translate_batch = translate_cut
    main()
