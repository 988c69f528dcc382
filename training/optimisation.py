"""The training loop that both models share: Muon for matrices, AdamW for the rest, a budget of minutes or steps.

One thread; the caller seeds torch. The learning rate rises for 3% of the budget, stays, and falls over its last 60%.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch
from torch import nn

WARM_UP, DECAY = 0.03, 0.60
FURTHER = 0.5  # the part of the learning rate with which a trained model goes on

Batch = TypeVar("Batch")


@dataclass(frozen=True)
class Budget:
    """How long to train: whichever of `minutes` and `steps` ends first."""

    minutes: float
    steps: int

    def progress(self, step: int, elapsed_s: float) -> float:
        """Return the part of the budget that is used, from 0 to 1."""
        return min(1.0, max(step / self.steps, elapsed_s / (60 * self.minutes)))


@dataclass(frozen=True)
class Arguments:
    """What a training command was told; `start` is a directory to go on from, or None."""

    budget: Budget
    output: Path
    start: Path | None


def training_arguments(description: str, output: Path) -> Arguments:
    """Read the command line of a training script, which writes to `output` unless told otherwise."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--minutes", type=float, default=55.0, help="stop after so many minutes (55)")
    parser.add_argument("--steps", type=int, default=3000, help="stop after so many steps (3000)")
    parser.add_argument("--output", type=Path, default=output, help="where to write the model")
    parser.add_argument("--start", type=Path, help="go on from the model in this directory")
    told = parser.parse_args()
    return Arguments(Budget(told.minutes, told.steps), told.output, told.start)


def learning_rate_scale(progress: float) -> float:
    """Return the factor on the learning rates at `progress` (0 to 1)."""
    return min(1.0, progress / WARM_UP + 0.01, (1 - progress) / DECAY)


def make_optimisers(model: nn.Module, matrix_rate: float, other_rate: float) -> list[torch.optim.Optimizer]:
    """Return Muon over the matrices inside the layers and AdamW over embeddings, norms and biases."""
    matrices: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            inside = parameter.ndim == 2 and "embed" not in name and "lm_head" not in name and "shared" not in name
            (matrices if inside else others).append(parameter)
    muon = torch.optim.Muon(matrices, lr=matrix_rate, weight_decay=0.05, momentum=0.95, adjust_lr_fn="match_rms_adamw")
    return [muon, torch.optim.AdamW(others, lr=other_rate, betas=(0.9, 0.98), weight_decay=0.0)]


def train(
    model: nn.Module,
    optimisers: list[torch.optim.Optimizer],
    batches: Iterator[Batch],
    loss_of: Callable[[Batch], torch.Tensor],
    *,
    budget: Budget,
    after_step: Callable[[], None] = lambda: None,
) -> int:
    """Train until the budget is used; prints the mean loss now and then. Returns the number of steps taken."""
    rates = [[group["lr"] for group in optimiser.param_groups] for optimiser in optimisers]
    start, step, losses = time.monotonic(), 0, []
    while (progress := budget.progress(step, time.monotonic() - start)) < 1:
        scale = learning_rate_scale(progress)
        for optimiser, base in zip(optimisers, rates, strict=True):
            for group, rate in zip(optimiser.param_groups, base, strict=True):
                group["lr"] = rate * scale
        losses.append(_step(model, optimisers, loss_of, next(batches)))
        after_step()
        step += 1
        if step % 25 == 0:
            mean, elapsed_s = sum(losses[-25:]) / 25, time.monotonic() - start
            print(f"{progress:6.1%}  step {step}  loss {mean:.4f}  {elapsed_s:.0f} s", flush=True)
    return step


def _step(
    model: nn.Module, optimisers: list[torch.optim.Optimizer], loss_of: Callable[[Batch], torch.Tensor], batch: Batch
) -> float:
    with torch.autocast("cpu", torch.bfloat16):
        loss = loss_of(batch)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    for optimiser in optimisers:
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
    return float(loss.detach())
