"""CTranslate2 against transformers: what the two paths of translation give for the same model, and how fast.

    python -m benchmarks.translation_paths            # quality, and speed of the bundled model
    python -m benchmarks.translation_paths --large    # speed of a Marian of 75M random weights, 24 tokens in and out

Quality is the rate of exact translations over the phrasebook's whole check sets. Speed is sentences a second with so
many requests of one sentence each always under way, the paths alternating, the median of several runs. One thread each.
"""

import argparse
import random
import statistics
import tempfile
import time
from pathlib import Path

from benchmarks.speed import marian
from inference.engines.base import Finished
from inference.engines.seq2seq import Seq2SeqEngine, SequenceRequest
from inference.engines.seq2seq_selection import Choice, SequenceOptions, load_sequence_model
from inference.engines.translation_text import Sequence
from training.check_phrasebook import MODEL, Drawn, Translator, check, check_sets
from training.phrases_corpus import read_corpus

PATHS: tuple[Choice, ...] = ("transformers", "ctranslate2")
CONCURRENT = (1, 8, 32)
TOKENS = 24


def sentences_a_second(engine: Seq2SeqEngine, sequences: list[Sequence], concurrent: int, total: int) -> float:
    """Answer `total` requests of one sentence, of which so many are always under way."""
    waiting = [
        SequenceRequest(key="k", sequences=(sequences[turn % len(sequences)],), max_new_tokens=TOKENS)
        for turn in range(total)
    ]
    started_s = time.perf_counter()
    for request in waiting[:concurrent]:
        engine.admit(request)
    del waiting[:concurrent]
    while not engine.is_idle:
        ended = sum(isinstance(said, Finished) for _, said in engine.step())
        for request in waiting[:ended]:
            engine.admit(request)
        del waiting[:ended]
    return total / (time.perf_counter() - started_s)


def compare_quality(engines: dict[Choice, Seq2SeqEngine], sets: dict[str, Drawn]) -> None:
    """Print how many translations of each check set are exact, by each path, and how many are the same by both."""
    for heading, drawn in sets.items():
        checked = {path: check(Translator(MODEL, engine), drawn) for path, engine in engines.items()}
        exact = {path: sum(each.is_exact for each in of) for path, of in checked.items()}
        same = sum(map(str.__eq__, *([each.given for each in of] for of in checked.values())))
        print(f"{heading}: {exact}, {same} the same, of {len(drawn)}", flush=True)


def compare_speed(engines: dict[Choice, Seq2SeqEngine], sequences: list[Sequence], rounds: int, times: int) -> None:
    """Print the medians of alternating runs."""
    for concurrent in CONCURRENT:
        measured: dict[Choice, list[float]] = {path: [] for path in engines}
        for turn in range(rounds + 1):
            for path, engine in engines.items():
                speed = sentences_a_second(engine, sequences, concurrent, concurrent * times)
                measured[path] += [speed] * (turn > 0)  # the first is for warming up
        medians = {path: statistics.median(speeds) for path, speeds in measured.items()}
        ratio = statistics.median(map(float.__truediv__, measured["ctranslate2"], measured["transformers"]))
        figures = ", ".join(f"{path} {median:.1f}/s" for path, median in medians.items())
        print(f"{concurrent} concurrent: {figures}; ratio {ratio:.1f}", flush=True)


def load(source: Path, home: Path) -> dict[Choice, Seq2SeqEngine]:
    """Load the model for each path."""
    return {
        path: Seq2SeqEngine(load_sequence_model(source, SequenceOptions(choice=path, converted=home, threads=1)))
        for path in PATHS
    }


def main() -> None:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--large", action="store_true")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--times", type=int, default=4, help="requests of a run, for each that is under way")
    arguments = parser.parse_args()
    if arguments.large:
        chance = random.Random(0)
        sequences = [Sequence((*(chance.randrange(2, 3000) for _ in range(TOKENS - 1)), 0)) for _ in range(64)]
        compare_speed(load(marian.original(), marian.HOME), sequences, arguments.rounds, arguments.times)
        return
    with tempfile.TemporaryDirectory() as home:
        engines = load(MODEL, Path(home))
        sets = check_sets(read_corpus())
        compare_quality(engines, sets)
        pairs = [pair for pair, _ in sets["phrases as written"][:64]]
        encode = engines["transformers"].text.encode
        sequences = [encode(pair.source, pair.source_language, pair.target_language) for pair in pairs]
        compare_speed(engines, sequences, arguments.rounds, arguments.times)


if __name__ == "__main__":
    main()
