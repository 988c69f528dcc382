"""What trains the phrasebook: its tokenizer, its marks, a step of training, and a run that goes on after a stop."""

import math
import random
from pathlib import Path

import pytest
import torch

from inference.engines.lexicon import Masked, read_lexicon
from training import train_phrasebook
from training.optimisation import Arguments, Budget, make_optimisers, train
from training.phrasebook_masks import MARKS, NUMBER_MARKS, make_lexicon, masked
from training.phrasebook_tokenizer import PAD, load_tokenizer, train_tokenizer
from training.phrases_corpus import LANGUAGES, Phrases
from training.phrases_pairs import Pair, PairMaker
from training.train_phrasebook import Encoder, Source, loss_of, make_model, save_lexicon, zero_pad_row


@pytest.fixture(scope="module")
def source(corpus: Phrases) -> Source:
    return Source(PairMaker(corpus, ("Anna",), random.Random(1)), make_lexicon(corpus, ("Anna",)))


@pytest.fixture(scope="module")
def tokenizer(source: Source, tmp_path_factory: pytest.TempPathFactory):
    return train_tokenizer([source.pair() for _ in range(4000)], tmp_path_factory.mktemp("tokenizer"))


def test_training_the_phrasebook_lowers_its_loss_and_keeps_the_pad_row_at_zero(source: Source, tokenizer) -> None:
    torch.set_num_threads(1)
    torch.manual_seed(1)
    pad = tokenizer.pad_token_id
    assert pad == tokenizer.vocab_size - 1 == tokenizer.convert_tokens_to_ids(PAD)
    encoder, model = Encoder(tokenizer), make_model(tokenizer)
    batch = encoder.collate([encoder.encode(source.pair()) for _ in range(16)])
    zero_pad_row(model)
    before = float(loss_of(model, batch, pad).detach())
    train(
        model,
        make_optimisers(model, matrix_rate=3e-3, other_rate=3e-3),
        iter([batch] * 8),
        lambda b: loss_of(model, b, pad),
        budget=Budget(minutes=5, steps=8),
        after_step=lambda: zero_pad_row(model),
    )
    assert float(loss_of(model, batch, pad).detach()) < before
    assert not model.get_input_embeddings().weight[pad].any()


def test_little_of_a_batch_is_padding(source: Source, tokenizer) -> None:
    made = train_phrasebook.batches(source, Encoder(tokenizer))
    sides = [side for _ in range(train_phrasebook.POOL_BATCHES) for side in next(made)]
    learnt = sum(int((side != tokenizer.pad_token_id).sum()) for side in sides)
    assert learnt > 0.85 * sum(side.numel() for side in sides)


def test_the_phrasebook_reads_without_capitals_and_writes_with_them(tokenizer) -> None:
    read = tokenizer.spm_source.encode("GUTEN Morgen, \ue000", out_type=str)
    assert read == tokenizer.spm_source.encode("guten morgen, \ue000", out_type=str)
    assert read[-1] == "\ue000"
    assert tokenizer.spm_target.decode(tokenizer.spm_target.encode("Guten Morgen, \ue000!")) == "Guten Morgen, \ue000!"


def test_languages_and_marks_are_tokens_of_the_phrasebook(tokenizer) -> None:
    wanted = {*(f">>{language}<<" for language in LANGUAGES), *MARKS, *NUMBER_MARKS}
    assert wanted <= tokenizer.encoder.keys()


def test_a_run_that_was_stopped_goes_on_from_its_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.optimisation.CHECKPOINT_S", 0.0)
    inputs, file = torch.linspace(-1, 1, 8)[:, None], tmp_path / "checkpoint.pt"

    def trained(steps: int, checkpoint: Path | None) -> tuple[int, torch.Tensor]:
        torch.manual_seed(1)
        model = torch.nn.Linear(1, 1)
        optimisers: list[torch.optim.Optimizer] = [torch.optim.AdamW(model.parameters(), lr=1e-2)]

        def batches():
            yield from [inputs] * steps

        def loss_of(batch: torch.Tensor) -> torch.Tensor:
            return (model(batch) - 3 * batch).pow(2).mean()

        budget = Budget(minutes=1e6, steps=20)
        try:
            taken = train(
                model, optimisers, batches(), loss_of, budget=budget, restarts=(0.5,), checkpoint=checkpoint
            ).step
        except StopIteration:
            taken = -1  # as if it had been killed
        return taken, model.weight.detach().clone()

    assert trained(12, file)[0] == -1
    taken, weight = trained(8, file)
    assert taken == 20
    assert torch.equal(weight, trained(20, None)[1])


def test_a_run_that_goes_on_keeps_its_tokenizer_and_gets_other_pairs_each_time(
    source: Source, corpus: Phrases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def make_source(seed: int) -> Source:
        return Source(PairMaker(corpus, ("Anna",), random.Random(seed)), source.lexicon)

    monkeypatch.setattr(train_phrasebook, "make_source", make_source)
    monkeypatch.setattr(train_phrasebook, "TOKENIZER_PAIRS", 4000)
    output, checkpoint = tmp_path / "model", tmp_path / "run.pt"

    def begun(step: int):
        return train_phrasebook._begin(Arguments(Budget(math.inf, 9), output, None, checkpoint, step))

    _, first, _ = begun(0)
    monkeypatch.setattr(train_phrasebook, "TOKENIZER_PAIRS", 2000)  # as if the corpus had changed
    (_, second, pairs), (_, third, others) = begun(100), begun(200)
    assert first.get_vocab() == second.get_vocab() == third.get_vocab()
    assert [pairs.pair() for _ in range(5)] != [others.pair() for _ in range(5)]
    assert not output.exists()


def test_a_tokenizer_that_was_kept_nowhere_can_be_saved(
    source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train_phrasebook, "TOKENIZER_PAIRS", 4000)
    learnt = train_phrasebook._learnt(source, None)
    learnt.save_pretrained(tmp_path)
    saved = load_tokenizer(tmp_path)
    assert saved.get_vocab() == learnt.get_vocab()
    assert saved("Guten Morgen, 5!").input_ids == learnt("Guten Morgen, 5!").input_ids


def unmasked(pair: Pair, source: Source) -> tuple[Pair, str]:
    """Return the pair with marks, the first of their kind, and its translation as it comes back."""
    found = masked(pair, source.lexicon, random.Random(1))
    restored = source.lexicon.mask(pair.source, pair.source_language).restore(found.target)
    return found, restored


@pytest.mark.parametrize(
    ("text", "translation"),
    [
        ("My name is Anna.", "Je m'appelle Anna."),
        ("From 5 to 15", "De 5 à 15"),
        ("From 5 to 5", "De 5 à 5"),
        ("Click <b>here</b>, {name}", "{name}, cliquez <b>ici</b>"),
    ],
)
def test_both_sides_of_a_pair_have_the_same_marks(
    source: Source, monkeypatch: pytest.MonkeyPatch, text: str, translation: str
) -> None:
    monkeypatch.setattr("training.phrasebook_masks.ANY_MARKS", 0.0)
    found, restored = unmasked(Pair(text, "fr", translation, "en"), source)
    assert found.source != text
    assert marks(found.source) == marks(found.target)
    assert restored == translation


def marks(text: str) -> list[str]:
    return sorted(set(text) & {*MARKS, *NUMBER_MARKS})


def test_pairs_have_the_same_marks_on_both_sides_and_learn_all_of_them(source: Source) -> None:
    pairs = [source.pair() for _ in range(3000)]
    assert [pair for pair in pairs if marks(pair.source) != marks(pair.target)] == []
    assert {mark for pair in pairs for mark in marks(pair.source)} == {*MARKS, *NUMBER_MARKS}


def test_no_pair_has_a_word_that_the_lexicon_does_not_know(source: Source, corpus: Phrases) -> None:
    without_names = [phrase for phrase in corpus.phrases() if "[" not in phrase.texts["en"]]
    pairs = [source.maker.typed(phrase) for phrase in without_names]
    assert [pair for pair in pairs if source.lexicon.mask(pair.source, pair.source_language).unknown] == []


def test_the_phrasebook_is_unsure_of_what_has_less_than_an_even_chance(source: Source, tmp_path: Path) -> None:
    save_lexicon(source.lexicon, tmp_path)
    lexicon = read_lexicon(tmp_path)
    assert lexicon
    assert lexicon.unsure_below == 0.7


def test_no_right_translation_counts_as_made_up(source: Source, corpus: Phrases) -> None:
    """Nor those of frames and fillings that are never trained: the warning is for what is wrong."""
    phrases = [*corpus.phrases(), *corpus.held_out[::20], *corpus.sealed[::20]]
    pairs = [masked(source.maker.typed(phrase), source.lexicon, source.maker.rng) for phrase in phrases]
    assert [p for p in pairs if source.lexicon.made_up(p.target, p.target_language, Masked(p.source))] == []
