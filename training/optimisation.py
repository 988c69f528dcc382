"""The training loop that both models share: Muon for matrices, AdamW for the rest, a budget of steps, or minutes.

THREADS, and the GPU when the model is on it; the caller sets them and seeds torch. The learning rate rises for 3% of
the budget, stays, and falls over its last 60%. A run may have further parts, in each of which the rate does the same at
half its height: the weights are then the mean of those at the ends of all parts, which is to generalise better than one
of them (Izmailov et al. 2018, arXiv:1803.05407). With a checkpoint file, a run that was killed goes on where it was,
but with other batches than it has had. Nothing is written to the output before the end: until then its tokenizer lies
beside the checkpoint.
"""

import argparse
import math
import shutil
import time
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import torch
from torch import nn

from training.publishing import Training

WARM_UP, DECAY = 0.03, 0.60
FURTHER = 0.5  # the part of the learning rate with which a trained model goes on, and a run in its further parts
CHECKPOINT_S = 180.0
THREADS = 2

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
    """What a training command was told; `start` is a directory to go on from, or None; `checkpoint` a file.

    `step` says how many steps a run that was stopped had taken when it left its checkpoint; 0 where none did.
    """

    budget: Budget
    output: Path
    start: Path | None = None
    checkpoint: Path | None = None
    step: int = 0

    @property
    def kept(self) -> Path | None:
        """Return the directory beside the checkpoint that keeps the run's tokenizer."""
        return self.checkpoint and self.checkpoint.with_name(f"{self.checkpoint.name}.tokenizer")

    def seed(self, seed: int) -> int:
        """Return what seeds the examples: another number for a model that goes on, and after every stop."""
        return seed + bool(self.start) + 2 * self.step

    def forget(self) -> None:
        """Remove what a run that was stopped needs: a finished one is not to be gone on with."""
        if self.checkpoint and self.kept:
            self.checkpoint.unlink(missing_ok=True)
            shutil.rmtree(self.kept, ignore_errors=True)


def training_arguments(description: str, output: Path, steps: int) -> Arguments:
    """Read the command line of a training script, which takes `steps` and writes to `output` unless told otherwise."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--minutes", type=float, default=math.inf, help="stop after so many minutes (never)")
    parser.add_argument("--steps", type=int, default=steps, help=f"stop after so many steps ({steps})")
    parser.add_argument("--output", type=Path, default=output, help="where to write the model")
    parser.add_argument("--start", type=Path, help="go on from the model in this directory")
    parser.add_argument("--checkpoint", type=Path, help="save to this file now and then; go on from it if it exists")
    told = parser.parse_args()
    step = _steps_taken(told.checkpoint) if told.checkpoint and told.checkpoint.exists() else 0
    return Arguments(Budget(told.minutes, told.steps), told.output, told.start, told.checkpoint, step)


def _steps_taken(checkpoint: Path) -> int:
    return int(torch.load(checkpoint, weights_only=True, map_location="cpu")["step"])


def learning_rate_scale(progress: float, restarts: Sequence[float] = ()) -> float:
    """Return the factor on the learning rates at `progress` (0 to 1); further parts begin at `restarts`."""
    edges, place = (0.0, *restarts, 1.0), bisect_right(restarts, progress)
    part = (progress - edges[place]) / (edges[place + 1] - edges[place])
    return (FURTHER if place else 1.0) * min(1.0, part / WARM_UP + 0.01, (1 - part) / DECAY)


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


def hasten(module: nn.Module) -> None:
    """Compile the part of a model that most of a step goes into, where torch can."""
    if _can_compile(next(module.parameters()).device):
        module.compile(dynamic=True)
    else:
        print("torch has no compiler that works, such as g++: each step takes longer", flush=True)


def _can_compile(device: torch.device) -> bool:
    """Say whether torch can compile, by trying: compilers may be absent or lack their headers."""
    try:
        torch.compile(lambda numbers: numbers + 1)(torch.zeros(8, device=device))
    except RuntimeError:  # which all errors of torch's compilers are
        return False
    return True


@dataclass
class Run:
    """A training run as far as it has come: what its checkpoint holds.

    `mean` is that of the weights with which its `parts` have ended.
    """

    model: nn.Module
    optimisers: list[torch.optim.Optimizer]
    step: int = 0
    elapsed_s: float = 0.0
    parts: int = 0
    mean: dict[str, torch.Tensor] = field(default_factory=dict)

    def save(self, file: Path) -> None:
        """Write the checkpoint, whole or not at all."""
        state = {
            "model": self.model.state_dict(),
            "optimisers": [each.state_dict() for each in self.optimisers],
            "step": self.step,
            "elapsed_s": self.elapsed_s,
            "parts": self.parts,
            "mean": self.mean,
        }
        aside = file.with_suffix(".part")
        torch.save(state, aside)
        aside.replace(file)

    def restore(self, file: Path) -> None:
        """Go back to what `save` wrote."""
        state = torch.load(file, weights_only=True, map_location=next(self.model.parameters()).device)
        self.model.load_state_dict(state["model"])
        for optimiser, saved in zip(self.optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(saved)
        self.step, self.elapsed_s = state["step"], state["elapsed_s"]
        self.parts, self.mean = state["parts"], state["mean"]

    @torch.no_grad()
    def end_part(self) -> None:
        """Take the weights into the mean."""
        self.parts += 1
        for name, weights in self.model.named_parameters():
            self.mean.setdefault(name, torch.zeros_like(weights)).lerp_(weights, 1 / self.parts)

    @torch.no_grad()
    def take_mean(self) -> None:
        """Give the model the mean."""
        for name, weights in self.model.named_parameters():
            weights.copy_(self.mean[name])

    def facts(self, seed: int, corpus: str, *, further: bool) -> Training:
        """Return what is to be known of the run, on the device where the model is now."""
        device = next(self.model.parameters()).device
        name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
        minutes = round(self.elapsed_s / 60, 1)
        return Training(self.step, minutes, name, torch.get_num_threads(), seed, corpus, further)


def train(
    model: nn.Module,
    optimisers: list[torch.optim.Optimizer],
    batches: Iterator[Batch],
    loss_of: Callable[[Batch], torch.Tensor],
    *,
    budget: Budget,
    restarts: Sequence[float] = (),
    after_step: Callable[[], None] = lambda: None,
    checkpoint: Path | None = None,
) -> Run:
    """Train until the budget is used; prints the mean loss now and then. Returns the run with its steps and time.

    Each of `restarts`, rising from 0 to 1, is where in the budget another part begins.
    """
    rates = [[group["lr"] for group in optimiser.param_groups] for optimiser in optimisers]
    run, losses = Run(model, optimisers), []
    if checkpoint and checkpoint.exists():
        run.restore(checkpoint)
    start = time.monotonic() - run.elapsed_s
    saved_s = run.elapsed_s
    while (progress := budget.progress(run.step, run.elapsed_s)) < 1:
        while run.parts < bisect_right(restarts, progress):
            run.end_part()
        scale = learning_rate_scale(progress, restarts)
        for optimiser, base in zip(optimisers, rates, strict=True):
            for group, rate in zip(optimiser.param_groups, base, strict=True):
                group["lr"] = rate * scale
        losses.append(_step(model, optimisers, loss_of, next(batches)))
        after_step()
        run.step, run.elapsed_s = run.step + 1, time.monotonic() - start
        if run.step % 25 == 0:
            mean = sum(losses[-25:]) / len(losses[-25:])
            spent = f"{run.elapsed_s:.0f} s, {time.process_time():.0f} s of CPU"
            print(f"{progress:6.1%}  step {run.step}  loss {mean:.4f}  {spent}", flush=True)
        if checkpoint and run.elapsed_s - saved_s > CHECKPOINT_S:
            run.save(checkpoint)
            saved_s = run.elapsed_s
    if restarts:
        run.end_part()
        run.take_mean()
    return run


def _step(
    model: nn.Module, optimisers: list[torch.optim.Optimizer], loss_of: Callable[[Batch], torch.Tensor], batch: Batch
) -> float:
    with torch.autocast(next(model.parameters()).device.type, torch.bfloat16):
        loss = loss_of(batch)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    for optimiser in optimisers:
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
    return float(loss.detach())
