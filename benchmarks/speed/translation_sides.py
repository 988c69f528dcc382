"""Translating: our engine in int8, and CTranslate2's own batch call on the same file. Lengths are forced."""

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from benchmarks.speed import marian
from benchmarks.speed.engine_sides import WrongLengthError
from benchmarks.speed.scale import Scale
from benchmarks.speed.worker import Figures, Run
from inference.engines.base import Finished
from inference.engines.seq2seq import Seq2SeqEngine, SequenceRequest
from inference.engines.seq2seq_selection import SequenceOptions, load_sequence_model
from inference.engines.translation_text import Sequence

NAMED_TOKENS = 3000
END = 0


def sources(number: int, scale: Scale) -> list[list[int]]:
    """Return the token ids of the sentences of run `number`."""
    rng = random.Random(number)
    return [
        [*(rng.randrange(2, NAMED_TOKENS) for _ in range(scale.sentence_tokens - 1)), END]
        for _ in range(scale.sentences)
    ]


@contextmanager
def engine(scale: Scale, threads: int) -> Iterator[Run]:
    """A request for each sentence, all submitted to our engine at once."""
    marian.converted()
    options = SequenceOptions(choice="ctranslate2", converted=marian.HOME, threads=threads)
    made = Seq2SeqEngine(load_sequence_model(marian.original(), options))

    def run(number: int) -> Figures:
        requests = [
            SequenceRequest(key="benchmark", sequences=(Sequence(tuple(source)),), max_new_tokens=scale.sentence_tokens)
            for source in sources(number, scale)
        ]
        began_s = time.perf_counter()
        for request in requests:
            made.admit(request)
        tokens = 0
        while not made.is_idle:
            tokens += sum(said.usage.output_tokens for _, said in made.step() if isinstance(said, Finished))
        took_s = time.perf_counter() - began_s
        if tokens != scale.sentences * (scale.sentence_tokens - 1):  # the last one is the end, by force
            raise WrongLengthError(f"{tokens} tokens")
        return {"sentences_per_s": scale.sentences / took_s}

    yield run
    made.close()


@contextmanager
def batch_call(scale: Scale, threads: int) -> Iterator[Run]:
    """One call of CTranslate2's for all sentences."""
    import ctranslate2

    place: Any = str(marian.converted())
    translator = ctranslate2.Translator(place, device="cpu", inter_threads=1, intra_threads=threads)

    def run(number: int) -> Figures:
        asked = [[str(token) for token in source] for source in sources(number, scale)]
        began_s = time.perf_counter()
        answered = translator.translate_batch(asked, beam_size=1, max_decoding_length=scale.sentence_tokens)
        took_s = time.perf_counter() - began_s
        lengths = {len(each.hypotheses[0]) for each in answered}
        if lengths != {scale.sentence_tokens}:
            raise WrongLengthError(f"{lengths} tokens")
        return {"sentences_per_s": scale.sentences / took_s}

    yield run
