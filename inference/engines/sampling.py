"""From logits to tokens, for all rows of a batch at once.

A row's token depends on its own logits, settings, seed and token number, on nothing else in the batch. The candidates'
probabilities are laid out in the order of their ids, not of their size, so that a hair's breadth between two logits, as
batches of unlike shape bring about, can move a border but never swap two candidates.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from inference.engines.generation import Sampling

CANDIDATES = 256
"""Tokens are drawn from this many likeliest ones: sorting a whole vocabulary costs 30 to 97 ms a step, this 5 ms."""


@dataclass(eq=False, slots=True)
class Draw:
    """What the next token of one row depends on besides its logits.

    `seen`, (vocabulary,), marks the tokens of the text so far.
    """

    sampling: Sampling
    seed: int
    index: int
    seen: set[int] | None


def uniform(seed: int, index: int) -> float:
    """Return a number in [0, 1) that depends on the seed and the token's number only."""
    digest = hashlib.blake2b(f"{seed}:{index}".encode(), digest_size=4).digest()
    return int.from_bytes(digest) / 2**32


def choose_tokens(logits: torch.Tensor, draws: Sequence[Draw]) -> list[int | None]:
    """Choose the next token of each row of logits, (rows, vocabulary); None where the logits are not finite."""
    logits = _penalised(logits, draws)
    best, tokens = logits.max(-1)  # NaN comes through max, and so does infinity
    chosen = tokens.tolist()
    drawn = [row for row, draw in enumerate(draws) if draw.sampling.temperature > 0]
    if drawn:
        few = logits if len(drawn) == len(draws) else logits[drawn]
        for row, token in zip(drawn, _drawn(few, [draws[row] for row in drawn]), strict=True):
            chosen[row] = token
    finite = best.isfinite().tolist()
    return [token if ok else None for token, ok in zip(chosen, finite, strict=True)]


def _penalised(logits: torch.Tensor, draws: Sequence[Draw]) -> torch.Tensor:
    """Make tokens that were seen less likely.

    As CTRL does (arXiv:1909.05858, section 4.1), in the signed form that transformers uses.
    """
    for row, draw in enumerate(draws):
        penalty = draw.sampling.repetition_penalty
        if draw.seen and penalty != 1:
            seen = torch.tensor(sorted(draw.seen), device=logits.device)
            old = logits[row, seen]
            logits[row, seen] = torch.where(old < 0, old * penalty, old / penalty)
    return logits


def _drawn(logits: torch.Tensor, draws: Sequence[Draw]) -> list[int]:
    """Draw a token for each row of logits, (rows, vocabulary): temperature, top-k, top-p, in transformers' order."""
    best, ids = logits.topk(min(CANDIDATES, logits.shape[1]))  # both (rows, candidates), the likeliest first
    best, ids = best.double().cpu(), ids.cpu()
    below = best - best[:, :1]  # as differences, they stay numbers at the least temperature
    probabilities = torch.softmax(below / _column([d.sampling.temperature for d in draws]), -1)
    rank = torch.arange(best.shape[1])
    probabilities = probabilities.masked_fill(rank >= _column([d.sampling.top_k or CANDIDATES for d in draws]), 0)
    probabilities /= probabilities.sum(-1, keepdim=True)
    likelier = probabilities.cumsum(-1) - probabilities
    beyond = (likelier >= _column([d.sampling.top_p for d in draws])) & (rank > 0)
    ids, order = ids.sort(-1)
    cumulative = probabilities.masked_fill(beyond, 0).gather(-1, order).cumsum(-1)
    points = _column([uniform(d.seed, d.index) for d in draws]) * cumulative[:, -1:]
    places = torch.searchsorted(cumulative, points, right=True).clamp(max=ids.shape[1] - 1)
    return [int(token) for token in ids.gather(-1, places)[:, 0]]


def _column(values: Sequence[float]) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)[:, None]
