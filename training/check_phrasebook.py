"""Checks `aister-phrasebook`: phrases it learnt, careless typing, frames with unseen fillings and unseen names.

    python -m training.check_phrasebook inference/bundled/aister-phrasebook

Translations are generated greedily and compared exactly with the corpus.
"""

import argparse
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from transformers import MarianMTModel

from training.check_guide import read_checks
from training.phrasebook_corpus import LANGUAGES, Entry, read_phrasebook
from training.phrasebook_pairs import Pair, PairMaker
from training.phrasebook_tokenizer import load_tokenizer
from training.phrases_corpus import read_names
from training.publishing import weight_bytes

REPORT = Path(__file__).parent / "reports" / "phrasebook.md"
MODEL = Path("inference/bundled/aister-phrasebook")
SAMPLE = 600
SEED = 7


class Translator:
    """The trained model, translating greedily."""

    def __init__(self, directory: Path) -> None:
        self.tokenizer: Any = load_tokenizer(directory)
        self.model: Any = MarianMTModel.from_pretrained(directory, dtype=torch.float32)

    def translate(self, texts: list[tuple[str, str]]) -> list[str]:
        """Return the translation of each (text, target language)."""
        translations: list[str] = []
        for start in range(0, len(texts), 50):
            marked = [f">>{language}<< {text}" for text, language in texts[start : start + 50]]
            inputs = self.tokenizer(marked, return_tensors="pt", padding=True)
            output = self.model.generate(**inputs, do_sample=False, num_beams=1, max_length=64)
            translations += self.tokenizer.batch_decode(output, skip_special_tokens=True)
        return translations


def _directions(entries: tuple[Entry, ...]) -> Iterator[tuple[Entry, str, str]]:
    for entry in entries:
        for source in LANGUAGES:
            for target in LANGUAGES:
                if source != target:
                    yield entry, source, target


def _as_written(maker: PairMaker, entries: tuple[Entry, ...], trained: bool) -> list[Pair]:
    """Return every direction of `entries`, as the corpus writes them, with names and numbers filled in."""
    pairs = []
    for entry, source, target in _directions(entries):
        wanted = maker.reference(entry[source], target) if trained else entry[target]
        text, filled = maker.filled(entry[source], wanted)
        pairs.append((text, target, filled))
    return pairs


def _with_names(maker: PairMaker, entries: tuple[Entry, ...], names: list[str]) -> list[Pair]:
    named = tuple(entry for entry in entries if "<name>" in entry["en"])
    chosen = [(entry, source, target, name) for entry, source, target in _directions(named) for name in names]
    texts = [(maker.filled(entry[source], entry[target], name), target) for entry, source, target, name in chosen]
    return [(source, language, target) for (source, target), language in texts]


def check_sets() -> dict[str, list[Pair]]:
    """Return what is checked, by its heading in the report; each a sample of at most SAMPLE pairs."""
    phrasebook, rng = read_phrasebook(), random.Random(SEED)
    maker = PairMaker(phrasebook, read_names(), rng)
    sets = {
        "phrases, as written": _as_written(maker, phrasebook.entries, trained=True),
        "phrases and frames, as people type": [maker.pair() for _ in range(SAMPLE)],
        "frames with fillings never seen in them": _as_written(maker, phrasebook.held_out, trained=False),
        "frames with names never seen": _with_names(maker, phrasebook.trained, read_checks().names),
    }
    return {heading: rng.sample(pairs, min(SAMPLE, len(pairs))) for heading, pairs in sets.items()}


def write_report(directory: Path, steps: int | None = None) -> str:
    """Check the model in `directory`, write the report, and return it."""
    torch.set_num_threads(1)
    translator = Translator(directory)
    size = f"{translator.model.num_parameters():,} parameters, {weight_bytes(directory):,} bytes of weights"
    figures, wrong = [f"- {size}"], []
    for heading, pairs in check_sets().items():
        given = translator.translate([(source, language) for source, language, _ in pairs])
        missed = [(pair, text) for pair, text in zip(pairs, given, strict=True) if text != pair[2]]
        figures.append(f"- {heading}: {len(pairs) - len(missed)} of {len(pairs)} exact")
        wrong += [f"- {source!r} to {code}: {text!r}, not {target!r}" for (source, code, target), text in missed[:15]]
    figures += [f"- the last training run took {steps} steps"] if steps else []
    note = "Measured with `python -m training.check_phrasebook`. What was wrong (at most 15 of each):"
    lines = ["# aister-phrasebook: checks", "", *figures, "", note, "", *wrong]
    REPORT.parent.mkdir(exist_ok=True)
    REPORT.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(figures), flush=True)
    return "\n".join(lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Check aister-phrasebook.")
    parser.add_argument("directory", type=Path, nargs="?", default=MODEL)
    write_report(parser.parse_args().directory)
