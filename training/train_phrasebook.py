"""Trains `aister-phrasebook`, the bundled translation model, from `corpus/phrases`.

    python -m training.train_phrasebook

Two threads, or a GPU where there is one; a C++ compiler, if there is one, with which torch makes a step faster; fixed
seeds. `--checkpoint FILE` lets a run that was killed go on, and `--start DIR` goes on from a trained model. Afterwards
it writes a report (see check_phrasebook.py).
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import torch
from torch.nn import functional
from transformers import GenerationConfig, MarianConfig, MarianMTModel, MarianTokenizer

from inference.engines.lexicon import FILE, Lexicon
from training.check_guide import forbidden_words
from training.check_phrasebook import write_report
from training.optimisation import FURTHER, THREADS, Arguments, hasten, make_optimisers, train, training_arguments
from training.phrasebook_masks import make_lexicon, masked
from training.phrasebook_tokenizer import CONTEXT_TOKENS, load_tokenizer, train_tokenizer
from training.phrases_corpus import LANGUAGES, Phrases, read_corpus, read_names
from training.phrases_pairs import Pair, PairMaker
from training.publishing import Description, save_description, save_model, save_training

SEED = 20261122
STEPS = 15_000
BATCH_PAIRS = 128
RATE = 3e-3
TOKENIZER_PAIRS = 40_000
POOL_BATCHES = 64  # as many batches of pairs are sorted by length at once, so that little is padded

DESCRIPTION = Description(
    name="aister-phrasebook",
    task="translation",
    description="A small demonstration model that translates common phrases and website texts between six languages.",
    languages=list(LANGUAGES),
    examples=[
        "Good morning",
        "Where is the train station?",
        "Your message has been sent.",
        "I would like a coffee, please.",
    ],
)

Batch = tuple[torch.Tensor, torch.Tensor]


def make_model(tokenizer: MarianTokenizer) -> MarianMTModel:
    """Return a fresh Marian of about 4 million parameters, with one embedding for both sides."""
    pad, eos = tokenizer.pad_token_id, tokenizer.eos_token_id
    config = MarianConfig(
        vocab_size=tokenizer.vocab_size,
        d_model=192,
        encoder_layers=3,
        decoder_layers=3,
        encoder_attention_heads=6,
        decoder_attention_heads=6,
        encoder_ffn_dim=512,
        decoder_ffn_dim=512,
        activation_function="swish",
        max_position_embeddings=CONTEXT_TOKENS,
        scale_embedding=True,
        share_encoder_decoder_embeddings=True,
        dropout=0.0,
        pad_token_id=pad,
        eos_token_id=eos,
        bos_token_id=None,
        forced_eos_token_id=None,
        decoder_start_token_id=pad,
    )
    model = MarianMTModel(config)
    model.set_attn_implementation("eager")  # on sentences this short a third faster than sdpa
    model.generation_config = GenerationConfig(
        pad_token_id=pad,
        eos_token_id=eos,
        decoder_start_token_id=pad,
        bad_words_ids=[[pad]],
        max_length=CONTEXT_TOKENS,
        num_beams=1,
    )
    return model


class Encoder:
    """Turns pairs into batches of token ids."""

    def __init__(self, tokenizer: MarianTokenizer) -> None:
        self._pad: int = tokenizer.pad_token_id
        self._end: int = tokenizer.eos_token_id
        self._unknown: int = tokenizer.unk_token_id
        self._ids: dict[str, int] = tokenizer.get_vocab()
        self._source, self._target = tokenizer.spm_source, tokenizer.spm_target

    def encode(self, pair: Pair) -> tuple[list[int], list[int]]:
        """Return (source ids behind the target language's token, target ids); both end in `</s>`."""
        pieces = [f">>{pair.target_language}<<", *self._source.encode(pair.source, out_type=str)]
        return self._numbers(pieces), self._numbers(self._target.encode(pair.target, out_type=str))

    def _numbers(self, pieces: list[str]) -> list[int]:
        return [*(self._ids.get(piece, self._unknown) for piece in pieces), self._end]

    def collate(self, examples: list[tuple[list[int], list[int]]]) -> Batch:
        """Return (sources, targets), each (pairs, tokens), padded at the right."""
        return self._padded([source for source, _ in examples]), self._padded([target for _, target in examples])

    def _padded(self, rows: list[list[int]]) -> torch.Tensor:
        longest = max(map(len, rows))
        return torch.tensor([row + [self._pad] * (longest - len(row)) for row in rows])


@dataclass(frozen=True)
class Source:
    """Where pairs come from, as the model reads them: with marks."""

    maker: PairMaker
    lexicon: Lexicon

    def pair(self) -> Pair:
        """Return one pair after another."""
        return masked(self.maker.pair(), self.lexicon, self.maker.rng)


def batches(source: Source, encoder: Encoder) -> Iterator[Batch]:
    """Yield batches of BATCH_PAIRS pairs for ever."""
    while True:
        pool = [encoder.encode(source.pair()) for _ in range(BATCH_PAIRS * POOL_BATCHES)]
        pool.sort(key=lambda example: max(map(len, example)))
        starts = list(range(0, len(pool), BATCH_PAIRS))
        source.maker.rng.shuffle(starts)
        yield from (encoder.collate(pool[start : start + BATCH_PAIRS]) for start in starts)


def _embeddings(model: MarianMTModel) -> torch.Tensor:
    """Return the embeddings that encoder, decoder and output share: (tokens, width)."""
    weight: torch.Tensor = model.state_dict(keep_vars=True)["model.shared.weight"]
    return weight


def loss_of(model: MarianMTModel, batch: Batch, pad: int) -> torch.Tensor:
    """Return the mean cross entropy over the target tokens."""
    source, target = (side.to(model.device) for side in batch)
    shifted = torch.cat([target.new_full((len(target), 1), pad), target[:, :-1]], 1)
    mask = (source != pad).long()
    hidden = model.model(input_ids=source, attention_mask=mask, decoder_input_ids=shifted, use_cache=False)
    wanted = target != pad
    logits = functional.linear(hidden.last_hidden_state[wanted], _embeddings(model))
    return functional.cross_entropy(logits.float(), target[wanted])


def zero_pad_row(model: MarianMTModel) -> None:
    """Keep the embedding of `<pad>` at zero: transformers starts decoding from it, CTranslate2 from a zero vector."""
    with torch.no_grad():
        _embeddings(model)[model.config.pad_token_id] = 0


def save_lexicon(lexicon: Lexicon, directory: Path) -> None:
    """Write the lexicon beside the weights, a word a line."""
    text = msgspec.json.format(msgspec.json.encode(lexicon), indent=1)
    (directory / FILE).write_bytes(text + b"\n")


def make_source(seed: int) -> Source:
    """Return the source of pairs; it never uses a name that the checks use."""
    forbidden = forbidden_words()
    names = tuple(name for name in read_names() if name.casefold() not in forbidden)
    corpus = read_corpus()
    return Source(PairMaker(corpus, names, random.Random(seed)), make_lexicon(corpus, names))


def _begin(arguments: Arguments) -> tuple[MarianMTModel, MarianTokenizer, Source]:
    """Return a fresh model, its tokenizer and its source of pairs; or those of `start`, with new pairs.

    A run that goes on from its checkpoint keeps its tokenizer, whatever has become of the corpus, and gets other pairs
    than it has had.
    """
    torch.manual_seed(SEED)
    torch.set_num_threads(THREADS)
    source = make_source(arguments.seed(SEED))
    if arguments.start:
        model = MarianMTModel.from_pretrained(arguments.start, dtype=torch.float32, attn_implementation="eager")
        return model.train(), load_tokenizer(arguments.start), source
    tokenizer = load_tokenizer(arguments.kept) if arguments.kept and arguments.step else _learnt(source, arguments.kept)
    return make_model(tokenizer), tokenizer, source


def _learnt(source: Source, kept: Path | None) -> MarianTokenizer:
    """Return a new tokenizer; its files stay in `kept`, if there is to be one."""
    pairs = [source.pair() for _ in range(TOKENIZER_PAIRS)]
    with TemporaryDirectory() as aside:
        return train_tokenizer(pairs, kept or Path(aside))


def _corpus(corpus: Phrases) -> str:
    """Return how much there is to learn from."""
    return f"{len(corpus.phrases()):,} sentences and {len(corpus.frames):,} frames in {len(LANGUAGES)} languages"


def main() -> None:
    """Train, save, check, report."""
    arguments = training_arguments("Train aister-phrasebook.", Path("inference/bundled/aister-phrasebook"), STEPS)
    model, tokenizer, source = _begin(arguments)
    torch.nn.Module.to(model, "cuda" if torch.cuda.is_available() else "cpu")
    print(f"{model.num_parameters():,} parameters, {tokenizer.vocab_size} tokens, on {model.device}", flush=True)
    zero_pad_row(model)
    hasten(model.model)
    rate = RATE * (FURTHER if arguments.start else 1)
    run = train(
        model,
        make_optimisers(model, matrix_rate=rate, other_rate=rate),
        batches(source, Encoder(tokenizer)),
        lambda batch: loss_of(model, batch, tokenizer.pad_token_id),
        budget=arguments.budget,
        after_step=lambda: zero_pad_row(model),
        checkpoint=arguments.checkpoint,
    )
    facts = run.facts(SEED, _corpus(source.maker.corpus), further=bool(arguments.start))
    save_model(model.cpu().eval(), tokenizer, arguments.output)
    save_lexicon(source.lexicon, arguments.output)
    save_description(DESCRIPTION, arguments.output)
    save_training(facts, arguments.output, arguments.start)
    arguments.forget()
    write_report(arguments.output)


if __name__ == "__main__":
    main()
