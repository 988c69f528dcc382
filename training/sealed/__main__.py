"""`python -m training.sealed`: put the sealed sets to the bundled models, or to others, and print how they did."""

import argparse
import os
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from training.sealed.answering import ROWS, Guide, Phrasebook, is_warned
from training.sealed.asking import ask_guide
from training.sealed.report import Scored, guide_table, phrasebook_table
from training.sealed.sets import read_guide, read_phrasebook
from training.sealed.translations import chrf, is_exact, keeps_marks

BUNDLED = Path(__file__).parents[2] / "inference" / "bundled"


def main(arguments: Sequence[str] | None = None) -> None:
    """Ask, grade, print the tables; write every answer where --out says."""
    parser = argparse.ArgumentParser(prog="python -m training.sealed", description=__doc__)
    parser.add_argument("sets", nargs="*", metavar="guide|phrasebook", help="Which to run; both when left out.")
    parser.add_argument("--guide", type=Path, default=BUNDLED / "aister-guide", help="Directory of the chat model.")
    parser.add_argument("--phrasebook", type=Path, default=BUNDLED / "aister-phrasebook", help="The same, translation.")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads of the model.")
    parser.add_argument("--dtype", default="auto", help="AISTER_DTYPE for the chat model.")
    parser.add_argument("--rows", type=int, default=ROWS, help="How many it answers at a time: int8 serves up to 4.")
    parser.add_argument("--out", type=Path, help="Directory for every answer, as JSON lines.")
    options = parser.parse_args(arguments)
    if unknown := set(options.sets) - {"guide", "phrasebook"}:
        parser.error(f"no such set: {', '.join(sorted(unknown))}")
    os.environ.setdefault("HF_HUB_OFFLINE", "1")  # the models are directories; nothing is to be asked of a hub
    chosen = options.sets or ["guide", "phrasebook"]
    if "guide" in chosen:
        graded = ask_guide(Guide(options.guide, options.threads, options.dtype, options.rows), read_guide())
        finish("guide", graded, guide_table(graded), options.out)
    if "phrasebook" in chosen:
        scored = ask_phrasebook(options.phrasebook, options.threads)
        finish("phrasebook", scored, phrasebook_table(scored), options.out)


def ask_phrasebook(model: Path, threads: int) -> list[Scored]:
    """Return the scored translations of all phrases."""
    phrases = read_phrasebook().phrase
    started_s = time.monotonic()
    results = Phrasebook(model, threads).translate(phrases)
    print(f"{model.name}: {len(results)} translations in {time.monotonic() - started_s:.0f} s.")
    return [
        Scored(
            id=phrase.id,
            kind=phrase.kind,
            pair=f"{phrase.source}-{phrase.target}",
            text=phrase.text,
            translation=result.text,
            is_warned=is_warned(result),
            keeps_marks=keeps_marks(phrase.text, result.text),
            is_exact=is_exact(result.text, phrase.references) if phrase.references else None,
            chrf=chrf(result.text, phrase.references) if phrase.references else None,
        )
        for phrase, result in zip(phrases, results, strict=True)
    ]


def finish(name: str, answers: Sequence[msgspec.Struct], table: str, out: Path | None) -> None:
    """Print the table, and write the answers for a person to read."""
    print(f"\n{table}\n")
    if out:
        out.mkdir(parents=True, exist_ok=True)
        (out / f"{name}.jsonl").write_bytes(msgspec.json.Encoder().encode_lines(answers))
        (out / f"{name}.md").write_text(table + "\n")


if __name__ == "__main__":
    main()
