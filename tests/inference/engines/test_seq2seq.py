"""The sequence-to-sequence engine on small models, by transformers and by CTranslate2: its answers are those of
`generate()` for each sequence alone.

CTranslate2 runs them in float32 here: integers change what models of random weights say.
"""

import random
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForSeq2SeqLM, GenerationConfig

from inference.engines.base import Delta, Failed, Finished, FinishReason, Output, Started, Usage
from inference.engines.ct2_converting import convert
from inference.engines.ct2_model import CTranslate2Model
from inference.engines.seq2seq import MAX_REQUESTS, Seq2SeqEngine, SequenceRequest
from inference.engines.seq2seq_loading import load_model
from inference.engines.translation_text import Sequence, TranslationText
from inference.errors import AisterError
from tests.inference.engines.small_translators import LINES, save_m2m100, save_marian, save_mbart50, save_nllb, save_t5

MARIAN_PAD = 106
TOKENS = 12  # few enough that no output is long enough to be taken for a loop
BANS = {
    "forced_eos_token_id": 0,
    "bad_words_ids": [[9], [12, 13]],
    "suppress_tokens": [20, 21],
    "no_repeat_ngram_size": 2,
}
"""What a generation config can ban and force, in ways that CTranslate2 knows too."""


def marian(directory: Path) -> Path:
    return save_marian(directory, targets=("en", "fr", "de"), tokenizer={"source_lang": "en"})


def strict_marian(directory: Path) -> Path:
    """Its generation config bans, forces and forbids tokens."""
    generation = {**BANS, "begin_suppress_tokens": [30], "min_length": 4, "repetition_penalty": 1.3}
    return save_marian(directory, targets=("fr",), tokenizer={"source_lang": "en"}, generation=generation)


def banning_marian(directory: Path) -> Path:
    """Its generation config bans tokens, in ways that CTranslate2 knows too."""
    generation = {**BANS, "bad_words_ids": [[9], [12, 13], [MARIAN_PAD]]}
    return save_marian(directory, targets=("fr",), tokenizer={"source_lang": "en"}, generation=generation)


def m2m100(directory: Path) -> Path:
    """It never writes <pad>, which gives the next token a wrong position with transformers."""
    save_m2m100(directory)
    settings = GenerationConfig.from_pretrained(directory)
    settings.update(bad_words_ids=[[settings.pad_token_id]])
    settings.save_pretrained(directory)
    return directory


SAVERS: dict[str, Callable[[Path], Path]] = {
    "marian": marian,
    "strict marian": strict_marian,
    "banning marian": banning_marian,
    "m2m100": m2m100,
    "nllb": save_nllb,
    "mbart50": save_mbart50,
    "t5": save_t5,
}
CONVERTED = [name for name in SAVERS if name != "strict marian"]


@pytest.fixture(scope="module")
def directories(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {name: save(tmp_path_factory.mktemp("models") / name) for name, save in SAVERS.items()}


@pytest.fixture(scope="module")
def converted(directories: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    made = {}
    for name in CONVERTED:
        made[name] = tmp_path_factory.mktemp("converted")
        convert(load_model(directories[name], threads=1), made[name], quantization="float32")
    return made


@pytest.fixture(params=["transformers", "ctranslate2"])
def path(request: pytest.FixtureRequest) -> str:
    """What the models run on."""
    return str(request.param)


@pytest.fixture
def load(path: str, directories: dict[str, Path], converted: dict[str, Path]) -> Callable[..., Seq2SeqEngine]:
    """Return a function that loads a model by its name."""

    def load(name: str, **bounds: int) -> Seq2SeqEngine:
        if path == "transformers":
            return Seq2SeqEngine.load(directories[name], threads=1, **bounds)
        if name not in converted:
            pytest.skip("runs on transformers only")
        return Seq2SeqEngine(CTranslate2Model(converted[name], directories[name], threads=1), **bounds)

    return load


@pytest.fixture
def engine(load: Callable[..., Seq2SeqEngine]) -> Seq2SeqEngine:
    return load("marian")


@pytest.fixture
def plain(directories: dict[str, Path]) -> Seq2SeqEngine:
    """An engine on transformers."""
    return Seq2SeqEngine.load(directories["marian"], threads=1)


def translate(engine: Seq2SeqEngine, *lines: str, key: str = "k", **settings: Any) -> SequenceRequest:
    sequences = tuple(engine.text.encode(line, "en", "fr") for line in lines)
    return SequenceRequest(key=key, sequences=sequences, **{"max_new_tokens": TOKENS, **settings})


def run(engine: Seq2SeqEngine, *requests: SequenceRequest) -> list[Output]:
    """Admit the requests and step until the engine is idle."""
    for request in requests:
        engine.check(request)
        assert engine.has_room_for(request)
        engine.admit(request)
    outputs = []
    while not engine.is_idle:
        outputs += engine.step()
    return outputs


def of(request: SequenceRequest, outputs: list[Output]) -> list[Any]:
    return [progress for whose, progress in outputs if whose is request]


def texts(request: SequenceRequest, outputs: list[Output]) -> list[str]:
    deltas = [progress for progress in of(request, outputs) if isinstance(progress, Delta)]
    return [delta.text for delta in sorted(deltas, key=lambda delta: delta.item)]


def generated_alone(model: Any, engine: Seq2SeqEngine, sequence: Sequence, num_beams: int) -> str:
    """Return what plain `generate()` answers."""
    forced = {} if sequence.first_token is None else {"forced_bos_token_id": sequence.first_token}
    ids = model.generate(
        torch.tensor([sequence.tokens]),
        num_beams=num_beams,
        do_sample=False,
        max_new_tokens=TOKENS + len(forced),
        **forced,
    )
    return engine._model.codec.decode(ids[0].tolist())


@pytest.mark.parametrize("name", SAVERS)
@pytest.mark.parametrize("num_beams", [1, 3])
def test_batched_answers_are_those_of_each_sequence_alone(
    directories: dict[str, Path], load: Callable[..., Seq2SeqEngine], path: str, name: str, num_beams: int
) -> None:
    engine = load(name, max_batch_sequences=16)
    lines = [line for whole in LINES[:7] for line in (whole, whole[: len(whole) // 2], whole + " " + whole[:9])]
    requests = [translate(engine, *lines[start::3], key=f"k{start}", num_beams=num_beams) for start in range(3)]
    outputs = run(engine, *requests)
    plain = AutoModelForSeq2SeqLM.from_pretrained(directories[name], dtype=torch.float32).eval()
    for request in requests:
        if path == "ctranslate2" and num_beams > 1:  # it ends searches, and ranks what they found, in its own way
            alone = [replaced(request, sequence) for sequence in request.sequences]
            expected = [texts(each, run(engine, each))[0] for each in alone]
        else:
            expected = [generated_alone(plain, engine, sequence, num_beams) for sequence in request.sequences]
        assert texts(request, outputs) == expected
    assert len({text for request in requests for text in texts(request, outputs)}) > 3


def log_probability_alone(model: Any, sequence: Sequence) -> float:
    """Return what plain `generate()` says of its answer: the sum over its tokens, but for a forced first one."""
    forced = {} if sequence.first_token is None else {"forced_bos_token_id": sequence.first_token}
    said = model.generate(
        torch.tensor([sequence.tokens]),
        do_sample=False,
        max_new_tokens=TOKENS + len(forced),
        return_dict_in_generate=True,
        output_scores=True,
        **forced,
    )
    each = model.compute_transition_scores(said.sequences, said.scores, normalize_logits=True)[0]
    return float(each[len(forced) :].sum())


@pytest.mark.parametrize("name", SAVERS)
def test_each_answer_is_as_likely_as_alone_where_the_model_is_asked(
    directories: dict[str, Path], load: Callable[..., Seq2SeqEngine], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(TranslationText, "is_scored", True)
    engine = load(name)
    request = translate(engine, *LINES[:7], *(line[: len(line) // 2] for line in LINES[:7]))
    plain = AutoModelForSeq2SeqLM.from_pretrained(directories[name], dtype=torch.float32).eval()
    plain.generation_config.forced_eos_token_id = (
        None  # a row's last token is what the model wanted, not what was forced
    )
    expected = [log_probability_alone(plain, sequence) for sequence in request.sequences]
    assert log_probabilities(request, run(engine, request)) == pytest.approx(expected, abs=0.01)
    assert len(set(expected)) > 3


def log_probabilities(request: SequenceRequest, outputs: list[Output]) -> list[float | None]:
    deltas = [said for said in of(request, outputs) if isinstance(said, Delta)]
    return [delta.log_probability for delta in sorted(deltas, key=lambda delta: delta.item)]


def test_only_greedy_answers_of_a_model_that_is_asked_say_how_likely_they_are(
    engine: Seq2SeqEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests = [translate(engine, *LINES[:2], num_beams=beams) for beams in (1, 2)]
    for request in requests:
        assert log_probabilities(request, run(engine, request)) == [None, None]
    monkeypatch.setattr(TranslationText, "is_scored", True)
    greedy, by_beams = (log_probabilities(request, run(engine, request)) for request in requests)
    assert all(each is not None and each < 0 for each in greedy)
    assert by_beams == [None, None]


def replaced(request: SequenceRequest, sequence: Sequence) -> SequenceRequest:
    """Return the request with one sequence instead of its own."""
    return SequenceRequest(
        key=request.key, sequences=(sequence,), num_beams=request.num_beams, max_new_tokens=request.max_new_tokens
    )


def test_a_request_starts_says_its_sentences_and_finishes(engine: Seq2SeqEngine) -> None:
    request = translate(engine, *LINES[:3])
    said = of(request, run(engine, request))
    assert said[0] == Started()
    assert sorted(delta.item for delta in said[1:-1]) == [0, 1, 2]
    assert isinstance(said[-1], Finished)
    assert said[-1].usage.input_tokens == sum(len(sequence.tokens) for sequence in request.sequences)
    assert said[-1].usage.output_tokens > 0
    assert said[-1].usage.cached_tokens == 0


def test_sentences_are_said_as_soon_as_they_are_done(plain: Seq2SeqEngine) -> None:
    request = translate(plain, *LINES[:7], max_new_tokens=None)
    plain.admit(request)
    spoken_at = {}
    step = 0
    while not plain.is_idle:
        spoken_at |= {said.item: step for _, said in plain.step() if isinstance(said, Delta)}
        step += 1
    assert len(set(spoken_at.values())) > 1


def test_an_answer_at_its_limit_says_so(engine: Seq2SeqEngine) -> None:
    request = translate(engine, *LINES[:7], max_new_tokens=1)
    assert of(request, run(engine, request))[-1].reason is FinishReason.LENGTH


def test_an_answer_that_ends_by_itself_says_so(plain: Seq2SeqEngine) -> None:
    plain._model.model.final_logits_bias[0, 0] = 1000.0  # the end of an output comes first
    request = translate(plain, *LINES[:3])
    said = of(request, run(plain, request))
    assert said[-1] == Finished(FinishReason.STOP, said[-1].usage)
    assert said[-1].usage.output_tokens == 0


def test_a_request_without_sequences_finishes_at_once(engine: Seq2SeqEngine) -> None:
    request = SequenceRequest(key="k", sequences=())
    assert run(engine, request) == [(request, Started()), (request, Finished(FinishReason.STOP, Usage()))]


def test_a_cancelled_request_leaves_the_batch_at_the_next_step(plain: Seq2SeqEngine) -> None:
    leaving, staying = translate(plain, *LINES[:3], key="a"), translate(plain, *LINES[3:6], key="b")
    alone = texts(staying, run(plain, staying))
    plain.admit(leaving)
    plain.admit(staying)
    plain.step()
    rows_before = len(plain._batch.rows) if plain._batch else 0
    leaving.is_cancelled = True
    outputs = plain.step()
    assert [type(said) for said in of(leaving, outputs)] == [Finished]
    assert of(leaving, outputs)[0].reason is FinishReason.CANCELLED
    assert plain._batch is not None
    assert len(plain._batch.rows) <= rows_before - 3
    while not plain.is_idle:
        outputs += plain.step()
    assert len(of(leaving, outputs)) == 1
    assert texts(staying, outputs) == alone


def test_a_cancelled_request_counts_what_it_has_written(plain: Seq2SeqEngine) -> None:
    request = translate(plain, LINES[1])
    plain._model.model.final_logits_bias[0, 0] = -1000.0  # no output ends by itself
    plain.admit(request)
    for _ in range(3):
        plain.step()
    request.is_cancelled = True
    usage = Usage(input_tokens=len(request.sequences[0].tokens), output_tokens=3)
    assert plain.step() == [(request, Finished(FinishReason.CANCELLED, usage))]
    assert plain.is_idle


def test_a_request_cancelled_while_it_waits_never_runs(engine: Seq2SeqEngine) -> None:
    request = translate(engine, *LINES[:3])
    engine.admit(request)
    request.is_cancelled = True
    assert engine.step() == [(request, Started()), (request, Finished(FinishReason.CANCELLED, Usage()))]
    assert engine.is_idle


def test_a_beam_search_stops_when_all_its_requests_are_cancelled(plain: Seq2SeqEngine) -> None:
    request = translate(plain, *LINES[:3], num_beams=4, max_new_tokens=None)
    passes = []

    def cancel_at_the_second_pass(*_: object) -> None:
        passes.append(None)
        request.is_cancelled = len(passes) >= 2

    handle = plain._model.model.model.decoder.register_forward_pre_hook(cancel_at_the_second_pass)
    outputs = run(plain, request)
    handle.remove()
    assert len(passes) == 2
    assert [type(said) for said in of(request, outputs)] == [Started, Finished]
    assert of(request, outputs)[-1].reason is FinishReason.CANCELLED


def poison(engine: Seq2SeqEngine, token: int) -> Any:
    """Make the encoder raise when it reads `token`."""

    def raise_on_token(_module: object, _arguments: object, named: dict[str, Any]) -> None:
        if (named["input_ids"] == token).any():
            raise RuntimeError(f"poisoned by {token}")

    return engine._model.model.model.encoder.register_forward_pre_hook(raise_on_token, with_kwargs=True)


def test_a_sequence_at_fault_fails_its_request_alone(plain: Seq2SeqEngine, caplog: pytest.LogCaptureFixture) -> None:
    good = [translate(plain, *LINES[start : start + 2], key=f"k{start}") for start in (0, 2)]
    alone = [texts(request, run(plain, request)) for request in good]
    poisoned = plain.text._codec.encode("Q")[-1]
    bad = SequenceRequest(key="bad", sequences=(good[0].sequences[0], Sequence((poisoned, 0))), max_new_tokens=TOKENS)
    assert poisoned not in {token for request in good for sequence in request.sequences for token in sequence.tokens}
    handle = poison(plain, poisoned)
    outputs = run(plain, good[0], bad, good[1])
    handle.remove()
    assert [texts(request, outputs) for request in good] == alone
    assert all(isinstance(of(request, outputs)[-1], Finished) for request in good)
    failed = of(bad, outputs)[-1]
    assert isinstance(failed, Failed)
    assert (failed.error.code, failed.error.message) == ("internal_error", AisterError("internal_error").message)
    assert "A batch of" in caplog.text
    assert "RuntimeError" in caplog.text
    assert f"poisoned by {poisoned}" not in caplog.text  # the text of an exception may quote a client's
    assert texts(good[0], run(plain, good[0])) == alone[0]


def test_a_failure_in_the_middle_of_decoding_repeats_no_sentence(plain: Seq2SeqEngine) -> None:
    requests = [translate(plain, *LINES[start : start + 2], key=f"k{start}") for start in (0, 2)]
    alone = [texts(request, run(plain, request)) for request in requests]
    passes = []

    def fail_once(*_: object) -> None:
        passes.append(None)
        if len(passes) == 4:
            raise RuntimeError("once")

    handle = plain._model.model.model.decoder.register_forward_pre_hook(fail_once)
    outputs = run(plain, *requests)
    handle.remove()
    assert [texts(request, outputs) for request in requests] == alone
    for request in requests:
        items = [said.item for said in of(request, outputs) if isinstance(said, Delta)]
        assert sorted(items) == [0, 1]


def test_scores_that_are_not_finite_fail_their_request_alone(plain: Seq2SeqEngine) -> None:
    good, bad = translate(plain, LINES[0], key="a"), translate(plain, LINES[1], key="b")
    alone = texts(good, run(plain, good))
    length = len(bad.sequences[0].tokens)

    def spoil(_module: object, _arguments: object, named: dict[str, Any], output: Any) -> None:
        ends = named["attention_mask"].sum(-1) == length
        output.last_hidden_state[ends] = float("nan")

    handle = plain._model.model.model.encoder.register_forward_hook(spoil, with_kwargs=True)
    outputs = run(plain, good, bad)
    handle.remove()
    assert texts(good, outputs) == alone
    assert isinstance(of(bad, outputs)[-1], Failed)
    assert texts(bad, outputs) == []


def test_after_abandoning_the_engine_goes_on(engine: Seq2SeqEngine) -> None:
    request = translate(engine, *LINES[:3])
    alone = texts(request, run(engine, request))
    lost = [translate(engine, *LINES[:2]), translate(engine, LINES[3])]
    for each in lost:
        engine.admit(each)
    engine.step()
    engine.abandon()
    assert engine.is_idle
    assert texts(request, run(engine, request)) == alone


def test_there_is_room_for_so_many_requests(engine: Seq2SeqEngine) -> None:
    request = translate(engine, LINES[0])
    for _ in range(MAX_REQUESTS):
        assert engine.has_room_for(request)
        engine.admit(translate(engine, LINES[0]))
    assert not engine.has_room_for(request)


def test_a_sequence_beyond_the_position_table_is_refused(engine: Seq2SeqEngine) -> None:
    engine.check(SequenceRequest(key="k", sequences=(Sequence((1,) * 64),)))
    with pytest.raises(AisterError) as refusal:
        engine.check(SequenceRequest(key="k", sequences=(Sequence((1, 0)), Sequence((1,) * 65))))
    assert refusal.value.code == "text_too_long"
    assert refusal.value.message == "A sentence is longer than the 64 tokens that the model reads."


def test_the_longest_sequence_is_answered_within_the_position_table(engine: Seq2SeqEngine) -> None:
    request = SequenceRequest(key="k", sequences=(Sequence((*range(2, 65), 0)),))
    assert isinstance(of(request, run(engine, request))[-1], Finished)


def test_nothing_of_a_long_source_is_cut(
    directories: dict[str, Path], load: Callable[..., Seq2SeqEngine], path: str
) -> None:
    engine = load("t5")  # its positions are relative, so that it reads what `check` would refuse
    tokens = (*random.Random(4).choices(range(3, 100), k=1200), 1)
    request = SequenceRequest(key="k", sequences=(Sequence(tokens),), max_new_tokens=TOKENS)
    engine.admit(request)
    outputs = []
    while not engine.is_idle:
        outputs += engine.step()
    plain = AutoModelForSeq2SeqLM.from_pretrained(directories["t5"], dtype=torch.float32).eval()
    whole, cut = (generated_alone(plain, engine, Sequence(read), 1) for read in (tokens, (*tokens[:1023], 1)))
    assert whole != cut
    assert texts(request, outputs) == [whole]


@pytest.mark.parametrize("num_beams", [0, 9])
def test_a_wrong_number_of_beams_is_refused(engine: Seq2SeqEngine, num_beams: int) -> None:
    with pytest.raises(AisterError) as refusal:
        engine.check(SequenceRequest(key="k", sequences=(Sequence((1, 0)),), num_beams=num_beams))
    assert refusal.value.message == "The number of beams must be 1 to 8."


@pytest.mark.parametrize("token", [-1, 10_000])
def test_a_token_that_the_model_lacks_is_refused(engine: Seq2SeqEngine, token: int) -> None:
    with pytest.raises(AisterError) as refusal:
        engine.check(SequenceRequest(key="k", sequences=(Sequence((token, 0)),)))
    assert refusal.value.code == "internal_error"


def test_memory_is_that_of_weights_and_batch(plain: Seq2SeqEngine) -> None:
    idle = plain.memory_bytes
    assert idle == sum(parameter.nbytes for parameter in plain._model.model.parameters())
    plain._model.model.final_logits_bias[0, 0] = -1000.0
    plain.admit(translate(plain, *LINES[:3]))
    plain.step()
    assert plain.memory_bytes > idle
    plain.abandon()
    assert plain.memory_bytes == idle


def test_the_engines_thread_keeps_to_its_number_of_threads(plain: Seq2SeqEngine) -> None:
    counted = []

    def step() -> None:
        torch.set_num_threads(2)
        plain.step()
        counted.append(torch.get_num_threads())

    thread = threading.Thread(target=step)
    thread.start()
    thread.join()
    assert counted == [1]


def test_a_model_that_does_not_translate_says_so(plain: Seq2SeqEngine) -> None:
    plain._model.text = None
    with pytest.raises(AisterError) as refusal:
        _ = plain.text
    assert refusal.value.code == "wrong_task"


def test_closing_lets_go_of_the_weights(engine: Seq2SeqEngine) -> None:
    assert engine.memory_bytes > 0
    engine.close()
    assert engine.is_idle
    assert engine.memory_bytes == 0
