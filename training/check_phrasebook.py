"""Checks `aister-phrasebook`: what it learnt, careless typing, fillings and names never seen, frames never seen.

    python -m training.check_phrasebook inference/bundled/aister-phrasebook

The model is asked as clients ask it: the same task and engine, one thread, greedily, the source language stated.
"""

import argparse
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from inference.engines.seq2seq import Seq2SeqEngine
from inference.protocol import TranslationResult
from inference.tasks.translation import TranslationAnswer
from training.check_guide import read_checks
from training.phrases_corpus import LANGUAGES, Phrase, Phrases, read_corpus, read_names
from training.phrases_pairs import Pair, PairMaker, varied, without_accents
from training.publishing import read_trainings, report_of, weight_bytes
from training.sealed.answering import run
from training.sealed.report import FAR_OFF_CHRF
from training.sealed.translations import chrf

REPORT = Path(__file__).parent / "reports" / "phrasebook.md"
MODEL = Path("inference/bundled/aister-phrasebook")
SAMPLE = 600
OF_EACH_FRAME = 4  # of its fillings that are held out
OF_EACH_SEALED_FRAME = 12
SEED = 7


class Translator:
    """The trained model, as clients meet it; its engine runs on transformers unless another is given."""

    def __init__(self, directory: Path, engine: Seq2SeqEngine | None = None) -> None:
        self._engine = engine or Seq2SeqEngine.load(directory, threads=1)

    def results(self, texts: Iterable[tuple[str, str, str]]) -> list[TranslationResult]:
        """Return the result for each (text, source language, target language)."""
        answers = [TranslationAnswer(*each) for each in texts]
        run(self._engine, [(answer.prepare(self._engine, "check"), answer.hear) for answer in answers])
        return [self._only(answer) for answer in answers]

    @staticmethod
    def _only(answer: TranslationAnswer) -> TranslationResult:
        (translation,) = answer.conclude(is_cancelled=False).translations or []
        return translation

    def translate(self, texts: Iterable[tuple[str, str, str]]) -> list[str]:
        """Return the translation of each (text, source language, target language)."""
        return [result.text for result in self.results(texts)]

    def describe(self) -> dict[str, Any]:
        """Return what the engine says of itself."""
        return self._engine.describe()


@dataclass(frozen=True)
class Checked:
    """One translation beside what it should be, the frame that it was made of, and whether the result warned of it."""

    pair: Pair
    frame: str
    given: str
    is_warned: bool

    @property
    def is_exact(self) -> bool:
        """Say whether it is the reference, letter for letter."""
        return self.given == self.pair.target

    @property
    def chrf(self) -> float:
        """Return how near it comes to the reference, 0 to 100."""
        return chrf(self.given, [self.pair.target])


Drawn = list[tuple[Pair, str]]  # with the frame
Change = Callable[[str], str]


def _drawn(phrases: Sequence[Phrase], count: int, maker: PairMaker, change: Change = str) -> Drawn:
    """Draw directions of `phrases` by chance, as they are written but for `change`, with values in their slots."""
    rng = maker.rng
    drawn = []
    for phrase in rng.choices(phrases, k=count):
        source, target = rng.choice(list(phrase.directions()))
        pair = Pair(varied(phrase.texts[source], change), target, phrase.texts[target], source)
        drawn.append((maker.filled(pair), phrase.frame))
    return drawn


def _unmarked(pair: Pair) -> Pair:
    """Leave the final mark out: a full stop is not missed, a question is one all the same."""
    target = pair.target.removesuffix(".") if pair.source.endswith(".") else pair.target
    return pair._replace(source=pair.source.lstrip("¿¡").rstrip(".?! "), target=target)


def _of_each_frame(phrases: Iterable[Phrase], count: int, maker: PairMaker) -> Drawn:
    frames: dict[str, list[Phrase]] = {}
    for phrase in phrases:
        frames.setdefault(phrase.frame, []).append(phrase)
    return [each for phrases in frames.values() for each in _drawn(phrases, count, maker)]


def _as_typed(phrases: Sequence[Phrase], maker: PairMaker) -> Drawn:
    return [(maker.typed(phrase), phrase.frame) for phrase in maker.rng.choices(phrases, k=SAMPLE)]


def check_sets(corpus: Phrases) -> dict[str, Drawn]:
    """Return what is checked, by its heading in the report."""
    seen = PairMaker(corpus, read_names(), random.Random(SEED))
    unseen = PairMaker(corpus, tuple(read_checks().names), random.Random(SEED))
    phrases, both = corpus.phrases(), [*corpus.phrases(), *random.Random(SEED).sample(corpus.trained, 2000)]
    named = [phrase for phrase in corpus.trained if "[name]" in phrase.texts["en"]]
    return {
        "phrases as written": _drawn(phrases, SAMPLE, seen),
        "phrases and filled frames, as people type": _as_typed(both, seen),
        "the same in small letters": _drawn(both, SAMPLE, seen, str.lower),
        "the same in capitals": _drawn(both, SAMPLE, seen, str.upper),
        "the same without accents": _drawn(_accents_free(both), SAMPLE, seen, without_accents),
        "the same without their final marks": [(_unmarked(pair), frame) for pair, frame in _drawn(both, SAMPLE, seen)],
        "frames with names never seen": _drawn(named, SAMPLE, unseen),
        FILLINGS: _of_each_frame(corpus.held_out, OF_EACH_FRAME, seen),
        FRAMES: _of_each_frame(corpus.sealed, OF_EACH_SEALED_FRAME, seen),
    }


FILLINGS = "trained frames, fillings never seen in them"
FRAMES = "frames never seen"


def _accents_free(phrases: Sequence[Phrase]) -> list[Phrase]:
    """Leave out the sources that only their accents tell from another phrase's."""
    owners: dict[str, set[int]] = {}
    for place, phrase in enumerate(phrases):
        for code in phrase.sources:
            owners.setdefault(without_accents(phrase.texts[code]).casefold().rstrip(".!?"), set()).add(place)
    clashing = {place for places in owners.values() if len(places) > 1 for place in places}
    return [phrase for place, phrase in enumerate(phrases) if place not in clashing]


def check(translator: Translator, drawn: Drawn) -> list[Checked]:
    """Translate what was drawn."""
    given = translator.results((p.source, p.source_language, p.target_language) for p, _ in drawn)
    return [
        Checked(pair, frame, result.text, is_warned=bool(result.warning))
        for (pair, frame), result in zip(drawn, given, strict=True)
    ]


def _figures(checked: Sequence[Checked]) -> str:
    exact = sum(each.is_exact for each in checked)
    mean = sum(each.chrf for each in checked) / len(checked)
    return f"{exact} of {len(checked)} exact ({exact / len(checked):.1%}), chrF {mean:.1f}"


def _warnings(results: Mapping[str, Sequence[Checked]]) -> list[str]:
    """Return a table with a row a set: how many warnings the exact translations have, the others, and those far off."""
    rows = []
    for heading, checked in results.items():
        wrong = [each for each in checked if not each.is_exact]
        kinds = ([each for each in checked if each.is_exact], wrong, [c for c in wrong if c.chrf < FAR_OFF_CHRF])
        warned = (f"{sum(each.is_warned for each in of)} of {len(of)}" for of in kinds)
        rows.append(f"| {heading} | {' | '.join(warned)} |")
    return ["| with a warning | of the exact | of the others | of those far off |", "|---|---|---|---|", *rows]


def _by_frame(checked: Sequence[Checked]) -> list[str]:
    """Return a table with a row a frame, the worst first."""
    frames: dict[str, list[Checked]] = {}
    for each in checked:
        frames.setdefault(each.frame, []).append(each)
    figures = [
        (sum(c.is_exact for c in of) / len(of), sum(c.chrf for c in of) / len(of), f) for f, of in frames.items()
    ]
    rows = [f"| {frame} | {exact:.0%} | {near:.1f} |" for exact, near, frame in sorted(figures)]
    return ["| frame | exact | chrF |", "|---|---|---|", *rows]


def _mistakes(checked: Sequence[Checked], most: int = 15) -> list[str]:
    wrong = [each for each in checked if not each.is_exact][:most]
    return [f"- {c.pair.source!r} to {c.pair.target_language}: {c.given!r}, not {c.pair.target!r}" for c in wrong]


def _by_language(checked: Sequence[Checked]) -> str:
    into = {code: [each for each in checked if each.pair.target_language == code] for code in LANGUAGES}
    return ", ".join(f"{code} {sum(c.is_exact for c in of) / len(of):.1%}" for code, of in into.items() if of)


def write_report(directory: Path, report: Path | None = None) -> None:
    """Check the model in `directory`, and write the report: to `report`, or where `report_of` says."""
    torch.set_num_threads(1)
    translator = Translator(directory)
    results = {heading: check(translator, drawn) for heading, drawn in check_sets(read_corpus()).items()}
    parameters = translator.describe()["parameters"]
    figures = [f"- {parameters:,} parameters, {weight_bytes(directory):,} bytes of weights"]
    figures += [f"- {heading}: {_figures(checked)}" for heading, checked in results.items()]
    figures += [f"- {FILLINGS}, exact by target: {_by_language(results[FILLINGS])}"]
    figures += [f"- {training}" for training in read_trainings(directory)]
    lines = ["# aister-phrasebook: checks", "", "Measured with `python -m training.check_phrasebook`.", "", *figures]
    lines += ["", "## Warnings", "", *_warnings(results)]
    for heading in (FRAMES, FILLINGS):
        lines += ["", f"## {heading[0].upper()}{heading[1:]}", "", *_by_frame(results[heading])]
    lines += ["", "## What was wrong, at most 15 of each", ""]
    for heading, checked in results.items():
        lines += [f"{heading}:", "", *_mistakes(checked), ""]
    report = report or report_of(directory, REPORT)
    report.parent.mkdir(parents=True, exist_ok=True)
    report.write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")
    print("\n".join(figures), flush=True)


def main() -> None:
    """Read the command line, check, report."""
    parser = argparse.ArgumentParser(description="Check aister-phrasebook.")
    parser.add_argument("directory", type=Path, nargs="?", default=MODEL)
    parser.add_argument("--report", type=Path, help="where to write the report")
    told = parser.parse_args()
    write_report(told.directory, told.report)


if __name__ == "__main__":
    main()
