"""What only CTranslate2 does: batches on a thread of its own, conversions that are kept, and which path is chosen."""

import logging
import shutil
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import ctranslate2
import pytest
from msgspec import structs

import inference
from inference.engines import seq2seq_selection
from inference.engines.base import Delta, Failed, Finished, FinishReason, Started
from inference.engines.ct2_batches import GreedyBatch
from inference.engines.ct2_facts import ARCHITECTURES
from inference.engines.ct2_model import ONE_THREAD_PARAMETERS, CTranslate2Model
from inference.engines.ct2_store import UNFINISHED_S, ConvertedModels
from inference.engines.loading import LoadingError
from inference.engines.seq2seq import Seq2SeqEngine, SequenceRequest
from inference.engines.seq2seq_loading import TransformersModel
from inference.engines.seq2seq_selection import SequenceOptions, load_sequence_model
from inference.engines.sequence_files import WHOLE_BYTES, fingerprint
from inference.engines.translation_text import Sequence
from tests.inference.engines.small_translators import save_marian
from training.check_phrasebook import FRAMES, Translator, check, check_sets
from training.phrases_corpus import read_corpus

ROOT = Path(__file__).parents[3]
PHRASEBOOK = Path(inference.__file__).parent / "bundled" / "aister-phrasebook"
LINES = ("Good morning", "Where is the train station?", "I would like a coffee, please.", "Thank you!")
CHECKED = 40  # pairs of each set

WITHOUT_TORCH = """
import sys
from pathlib import Path
from inference.engines.seq2seq import Seq2SeqEngine
from inference.engines.seq2seq_selection import SequenceOptions, load_sequence_model
from inference.engines.sequence_pool import SequenceRequest
options = SequenceOptions(choice="ctranslate2", converted=Path(sys.argv[2]))
engine = Seq2SeqEngine(load_sequence_model(sys.argv[1], options))
engine.admit(SequenceRequest(key="k", sequences=(engine.text.encode("Good morning", "en", "fr"),)))
while not engine.is_idle:
    print(*(said.text for _, said in engine.step() if hasattr(said, "text")))
engine.admit(SequenceRequest(key="k", sequences=(engine.text.encode("Thank you! " * 9, "en", "fr"),) * 30))
engine.step()
assert not {"torch", "transformers"} & set(sys.modules)
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("converted")


@pytest.fixture
def options(home: Path) -> SequenceOptions:
    return SequenceOptions(choice="ctranslate2", converted=home, threads=1)


@pytest.fixture
def engine(options: SequenceOptions) -> Seq2SeqEngine:
    """The bundled phrasebook, as a server runs it on a CPU."""
    return Seq2SeqEngine(load_sequence_model(PHRASEBOOK, options))


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A model that CTranslate2 refuses: integers change what its random weights say."""
    return save_marian(tmp_path / "small", targets=("fr",), tokenizer={"source_lang": "en"})


def translate(engine: Seq2SeqEngine, *lines: str, key: str = "k", **settings: Any) -> SequenceRequest:
    sequences = tuple(engine.text.encode(line, "en", "fr") for line in lines)
    return SequenceRequest(key=key, sequences=sequences, **settings)


def run(engine: Seq2SeqEngine, *requests: SequenceRequest) -> list[Any]:
    for request in requests:
        engine.admit(request)
    outputs = []
    while not engine.is_idle:
        outputs += engine.step()
    return outputs


def of(request: SequenceRequest, outputs: list[Any]) -> list[Any]:
    return [said for whose, said in outputs if whose is request]


def texts(request: SequenceRequest, outputs: list[Any]) -> list[str]:
    deltas = [said for said in of(request, outputs) if isinstance(said, Delta)]
    return [delta.text for delta in sorted(deltas, key=lambda delta: delta.item)]


class Gate:
    """Holds CTranslate2's thread before it reports a token, once `passes` have been reported."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, passes: int) -> None:
        self.passes = passes
        self.is_reached = threading.Event()
        self.is_open = threading.Event()
        self.heard = 0
        hear = GreedyBatch._hear

        def held(batch: GreedyBatch, said: Any) -> bool:
            if self.heard >= self.passes:
                self.is_reached.set()
                assert self.is_open.wait(60)
            self.heard += 1
            return hear(batch, said)

        monkeypatch.setattr(GreedyBatch, "_hear", held)


# -- batches ----------------------------------------------------------------------------------------------------------


def test_it_says_how_it_runs(engine: Seq2SeqEngine) -> None:
    assert engine.describe() == {
        "path": "ctranslate2",
        "dtype": "int8",
        "parameters": 3_692_352,
        "source_tokens": 256,
    }


def test_sentences_are_said_as_soon_as_they_are_done(engine: Seq2SeqEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = Gate(monkeypatch, passes=2 * 4 + 1)  # the first sentence is one token and the end
    request = translate(engine, *LINES)
    engine.admit(request)
    outputs = engine.step()
    assert gate.is_reached.wait(60)
    outputs += [*engine.step(), *engine.step()]
    assert [type(said) for said in of(request, outputs)] == [Started, Delta]
    assert texts(request, outputs) == ["Bonjour"]
    gate.is_open.set()
    while not engine.is_idle:
        outputs += engine.step()
    assert texts(request, outputs) == texts(request, run(engine, request))


def test_a_cancelled_request_stops_at_its_next_token_and_counts_what_it_wrote(
    engine: Seq2SeqEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    leaving, staying = translate(engine, LINES[2], key="a"), translate(engine, LINES[1], key="b")
    alone = texts(staying, run(engine, staying))
    gate = Gate(monkeypatch, passes=6)
    engine.admit(leaving)
    engine.admit(staying)
    engine.step()
    assert gate.is_reached.wait(60)
    leaving.is_cancelled = True
    said = of(leaving, outputs := engine.step())
    assert [each.reason for each in said] == [FinishReason.CANCELLED]
    assert said[0].usage.input_tokens == len(leaving.sequences[0].tokens)
    assert said[0].usage.output_tokens == 3
    gate.is_open.set()
    while not engine.is_idle:
        outputs += engine.step()
    assert len(of(leaving, outputs)) == 1
    assert texts(staying, outputs) == alone
    tokens = of(staying, outputs)[-1].usage.output_tokens
    assert gate.heard <= 3 + 1 + tokens + 1  # what it wrote, the token it stopped at, and the other's with its end


def test_a_cancelled_beam_search_is_told_at_the_next_step(engine: Seq2SeqEngine) -> None:
    request = translate(engine, *LINES, num_beams=4)
    engine.admit(request)
    request.is_cancelled = True
    engine.step()
    assert engine.is_idle
    another = translate(engine, LINES[0], num_beams=4)
    assert texts(another, run(engine, another)) == ["Bonjour"]


def test_a_sequence_at_fault_fails_its_request_alone(engine: Seq2SeqEngine, caplog: pytest.LogCaptureFixture) -> None:
    good = [translate(engine, *LINES[start : start + 2], key=f"k{start}") for start in (0, 2)]
    alone = [texts(request, run(engine, request)) for request in good]
    beyond = Sequence(good[0].sequences[0].tokens * 70)  # past the position table; `check` would have refused it
    bad = SequenceRequest(key="bad", sequences=(good[0].sequences[0], beyond))
    engine._max_batch_tokens = 10**6
    engine._pool.admit(bad)
    outputs = run(engine, *good)
    assert [texts(request, outputs) for request in good] == alone
    assert all(isinstance(of(request, outputs)[-1], Finished) for request in good)
    failed = of(bad, outputs)[-1]
    assert isinstance(failed, Failed)
    assert failed.error.code == "internal_error"
    assert "RuntimeError" in caplog.text


def test_a_batch_that_fails_in_the_middle_repeats_no_sentence(
    engine: Seq2SeqEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests = [translate(engine, *LINES[start : start + 2], key=f"k{start}") for start in (0, 2)]
    alone = [texts(request, run(engine, request)) for request in requests]
    heard = []
    hear = GreedyBatch._hear

    def fail_once(batch: GreedyBatch, said: Any) -> bool:
        heard.append(said)
        if len(heard) == 11:
            raise RuntimeError("once")
        return hear(batch, said)

    monkeypatch.setattr(GreedyBatch, "_hear", fail_once)
    outputs = run(engine, *requests)
    assert [texts(request, outputs) for request in requests] == alone
    for request in requests:
        assert sorted(said.item for said in of(request, outputs) if isinstance(said, Delta)) == [0, 1]


def test_a_loop_is_cut(engine: Seq2SeqEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    hear = GreedyBatch._hear

    class Same:
        def __init__(self, said: Any) -> None:
            self.batch_id, self.step, self.token_id, self.log_prob = said.batch_id, said.step, 409, said.log_prob

    monkeypatch.setattr(GreedyBatch, "_hear", lambda batch, said: hear(batch, Same(said)))
    engine._model._facts.decoding["min_decoding_length"] = 60
    request = translate(engine, LINES[2] + " " + LINES[2])
    said = of(request, run(engine, request))
    assert said[-1].reason is FinishReason.LENGTH
    assert said[-1].usage.output_tokens == 1


def test_memory_is_that_of_weights_and_batch(engine: Seq2SeqEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    idle = engine.memory_bytes
    assert idle > 3_692_352
    gate = Gate(monkeypatch, passes=4)
    engine.admit(translate(engine, *LINES))
    engine.step()
    assert engine.memory_bytes > idle
    gate.is_open.set()
    engine.abandon()
    assert engine.memory_bytes == idle


def test_closing_ends_what_runs(engine: Seq2SeqEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = Gate(monkeypatch, passes=1)
    engine.admit(translate(engine, *LINES))
    engine.step()
    assert gate.is_reached.wait(60)
    gate.passes = 10**6
    gate.is_open.set()
    engine.close()
    assert engine.memory_bytes == 0
    assert gate.heard <= 2 * len(LINES)


# -- the bundled model ------------------------------------------------------------------------------------------------


def test_the_phrasebook_is_as_good_by_either_path(engine: Seq2SeqEngine) -> None:
    sets = check_sets(read_corpus())
    drawn = [each for heading, checked in sets.items() if heading != FRAMES for each in checked[:CHECKED]]
    by_transformers = Seq2SeqEngine.load(PHRASEBOOK, threads=1)
    both = [check(Translator(PHRASEBOOK, each), drawn) for each in (engine, by_transformers)]
    exact = [sum(each.is_exact for each in checked) / len(drawn) for checked in both]
    assert min(exact) > 0.8
    assert abs(exact[0] - exact[1]) <= 0.01


def test_the_phrasebook_is_unsure_of_the_same_by_either_path(engine: Seq2SeqEngine) -> None:
    texts = [("The lamp and the mirror are broken.", "en", "fr"), ("Where is the train station?", "en", "fr")]
    for path in (engine, Seq2SeqEngine.load(PHRASEBOOK, threads=1)):
        warnings = [result.warning for result in Translator(PHRASEBOOK, path).results(texts)]
        assert [warning.code if warning else None for warning in warnings] == ["unsure", None]


def test_scores_are_only_asked_for_where_the_lexicon_wants_them(engine: Seq2SeqEngine) -> None:
    asked: list[bool] = []
    translator: Any = engine._model._translator

    class Recorded:
        def translate_batch(self, *arguments: Any, **options: Any) -> Any:
            asked.append(options["return_scores"])
            return translator.translate_batch(*arguments, **options)

    engine._model._translator = Recorded()
    for lexicon in (engine.text.lexicon, structs.replace(engine.text.lexicon, unsure_below=None), None):
        engine.text.lexicon = lexicon
        run(engine, translate(engine, LINES[0]))
    assert asked == [True, False, False]


def test_a_converted_model_needs_no_torch_and_may_be_left_in_the_middle_of_a_batch(
    engine: Seq2SeqEngine, home: Path
) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", WITHOUT_TORCH, str(PHRASEBOOK), str(home)],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["Bonjour"]


# -- what is chosen ---------------------------------------------------------------------------------------------------


def chosen(source: Path, options: SequenceOptions) -> str:
    model = load_sequence_model(source, options)
    path = str(model.describe()["path"])
    model.close()
    return path


@pytest.mark.parametrize(
    ("settings", "has_gpu", "expected"),
    [
        ({"choice": "auto"}, False, "ctranslate2"),
        ({"choice": "auto"}, True, "transformers"),
        ({"choice": "auto", "dtype": "float32"}, False, "transformers"),
        ({"choice": "ctranslate2", "dtype": "float32"}, True, "ctranslate2"),
        ({"choice": "transformers"}, False, "transformers"),
    ],
)
def test_the_setting_decides(
    options: SequenceOptions, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any], has_gpu: bool, expected: str
) -> None:
    monkeypatch.setattr(seq2seq_selection, "has_gpu", lambda: has_gpu)
    assert chosen(PHRASEBOOK, replace(options, **settings)) == expected


def test_nothing_is_converted_without_a_place_for_it(options: SequenceOptions) -> None:
    assert chosen(PHRASEBOOK, replace(options, converted=None)) == "transformers"


def test_a_small_model_has_one_thread_unless_told_otherwise(options: SequenceOptions, engine: Seq2SeqEngine) -> None:
    directory = next(options.converted.iterdir())  # type: ignore[union-attr]
    asked: list[int] = []

    class Recorded(ctranslate2.Translator):  # type: ignore[misc]
        def __init__(self, *arguments: Any, **named: Any) -> None:
            asked.append(named["intra_threads"])
            super().__init__(*arguments, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("inference.engines.ct2_model.Translator", Recorded)
        for threads, limit in ((0, ONE_THREAD_PARAMETERS), (0, 1), (2, ONE_THREAD_PARAMETERS)):
            patch.setattr("inference.engines.ct2_model.ONE_THREAD_PARAMETERS", limit)
            CTranslate2Model(directory, PHRASEBOOK, threads=threads, spare_threads=3).close()
    assert asked == [1, 3, 2]


def refuses(caplog: pytest.LogCaptureFixture, source: Path, options: SequenceOptions) -> str:
    """Load the model, which transformers has to run, and return the one line that says why."""
    caplog.clear()
    with caplog.at_level(logging.INFO, logger="inference"):
        engine = Seq2SeqEngine(load_sequence_model(source, options))
    assert engine.describe()["path"] == "transformers"
    request = translate(engine, "Good morning", max_new_tokens=4)
    alone = texts(request, run(engine, request))
    original = Seq2SeqEngine.load(source, threads=1)
    assert texts(request, run(original, request)) == alone  # converting has left it as it was
    (line,) = [record.getMessage() for record in caplog.records]
    return line


def test_a_conversion_that_is_not_like_its_original_is_not_used(
    small: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    options = SequenceOptions(choice="ctranslate2", converted=tmp_path / "converted")
    line = refuses(caplog, small, options)
    assert line.startswith(f"{small} runs on transformers, as CTranslate2 can't run it: the converted model differs")
    assert list((tmp_path / "converted").iterdir()) == []


def test_settings_that_ctranslate2_does_not_know_leave_the_model_to_transformers(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = {"min_length": 3, "repetition_penalty": 1.2}
    directory = save_marian(tmp_path / "m", targets=("fr",), tokenizer={"source_lang": "en"}, generation=settings)
    line = refuses(caplog, directory, SequenceOptions(choice="ctranslate2", converted=tmp_path / "converted"))
    reason = "it does not know the settings min_length, repetition_penalty"
    assert line == f"{directory} runs on transformers, as CTranslate2 can't run it: {reason}."


def test_an_architecture_that_ctranslate2_does_not_know_is_loaded_once(
    small: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(ARCHITECTURES, "marian")
    monkeypatch.setattr(seq2seq_selection._Conversion, "_convert", refuse_to_load)
    line = refuses(caplog, small, SequenceOptions(choice="ctranslate2", converted=tmp_path / "converted"))
    reason = "it does not know the architecture marian"
    assert line == f"{small} runs on transformers, as CTranslate2 can't run it: {reason}."


def test_a_disk_that_takes_nothing_leaves_the_model_to_transformers(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("in the way")
    line = refuses(caplog, PHRASEBOOK, SequenceOptions(choice="ctranslate2", converted=tmp_path / "file" / "converted"))
    assert line.startswith(f"{PHRASEBOOK} runs on transformers, as CTranslate2 can't run it: [Errno 20]")


def test_a_model_that_is_not_there_is_said_to_be_so(tmp_path: Path) -> None:
    with pytest.raises(LoadingError, match="could not be loaded as a translation model"):
        load_sequence_model(
            tmp_path / "nowhere", SequenceOptions(choice="ctranslate2", converted=tmp_path / "converted")
        )


# -- what is kept -----------------------------------------------------------------------------------------------------


def test_a_model_is_converted_once(options: SequenceOptions, monkeypatch: pytest.MonkeyPatch) -> None:
    load_sequence_model(PHRASEBOOK, options)
    monkeypatch.setattr(seq2seq_selection, "load_original", refuse_to_load)
    assert chosen(PHRASEBOOK, options) == "ctranslate2"


def refuse_to_load(*_: object) -> TransformersModel:
    raise AssertionError("the original was loaded")


def test_a_conversion_that_is_broken_is_made_anew(
    engine: Seq2SeqEngine, home: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    options = SequenceOptions(choice="ctranslate2", converted=tmp_path)
    (first,) = home.iterdir()
    kept = shutil.copytree(first, tmp_path / first.name)
    weights = (kept / "model.bin").read_bytes()
    (kept / "model.bin").write_bytes(weights[:1000])
    assert chosen(PHRASEBOOK, options) == "ctranslate2"
    assert "can't be read and is made anew" in caplog.text
    assert (kept / "model.bin").read_bytes() == weights


def test_a_changed_model_has_another_place_and_the_old_conversion_goes(tmp_path: Path) -> None:
    store, directory = ConvertedModels(tmp_path / "converted"), tmp_path / "model"
    directory.mkdir()
    places = []
    for content in ("first", "second"):
        (directory / "model.safetensors").write_text(content)
        places.append(store.place(directory, directory))
        store.fill(places[-1], directory, lambda into: (into / "model.bin").write_text(content))  # noqa: B023
    assert list(store.root.iterdir()) == places[1:]
    assert (places[1] / "model.bin").read_text() == "second"
    (directory / "README.md").write_text("more words")
    assert store.place(directory, directory) == places[1]


def test_another_version_of_ctranslate2_converts_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = ConvertedModels(tmp_path)
    before = store.place("m", PHRASEBOOK)
    monkeypatch.setattr("inference.engines.ct2_store.ctranslate2.__version__", "9.9.9")
    assert store.place("m", PHRASEBOOK) != before


def test_a_conversion_that_fails_leaves_nothing(tmp_path: Path) -> None:
    store = ConvertedModels(tmp_path)

    def fail(into: Path) -> None:
        (into / "model.bin").write_text("half")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        store.fill(store.place("m", PHRASEBOOK), "m", fail)
    assert list(tmp_path.iterdir()) == []


def test_who_is_second_to_convert_uses_what_is_there(tmp_path: Path) -> None:
    store = ConvertedModels(tmp_path)
    place = store.place("m", PHRASEBOOK)

    def write_while_another_does(into: Path) -> None:
        (into / "model.bin").write_text("second")
        place.mkdir()
        (place / "model.bin").write_text("first")

    store.fill(place, "m", write_while_another_does)
    assert list(tmp_path.iterdir()) == [place]
    assert (place / "model.bin").read_text() == "first"


def test_what_a_killed_process_left_goes_once_it_is_old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = ConvertedModels(tmp_path)
    (tmp_path / ".converting-old").mkdir()
    place = store.place("m", PHRASEBOOK)
    store.fill(place, "m", lambda into: None)
    assert (tmp_path / ".converting-old").exists()
    now_s = seconds_after(tmp_path / ".converting-old", UNFINISHED_S + 1)
    monkeypatch.setattr("inference.engines.ct2_store.time.time", lambda: now_s)
    store.fill(place, "m", lambda into: None)
    assert list(tmp_path.iterdir()) == [place]


def seconds_after(path: Path, wait_s: float) -> float:
    return path.stat().st_mtime + wait_s


def test_large_files_are_fingerprinted_by_samples(tmp_path: Path) -> None:
    weights = tmp_path / "model.safetensors"
    with weights.open("wb") as file:
        file.truncate(WHOLE_BYTES + 1)
    before = fingerprint(tmp_path)
    assert fingerprint(tmp_path) == before
    with weights.open("r+b") as file:
        file.seek(WHOLE_BYTES)
        file.write(b"x")
    assert fingerprint(tmp_path) != before


def test_a_hub_s_revision_is_its_fingerprint(tmp_path: Path) -> None:
    revision = tmp_path / "models--a--b" / "snapshots" / "0123456789abcdef0123"
    revision.mkdir(parents=True)
    assert fingerprint(revision) == "0123456789abcdef"
