"""Weights in int8 beside bf16, for passes of few rows on a CPU: those read every weight and compute next to nothing.

Reading one byte a weight instead of two took 0.3 to 0.6 of the time at one row, 0.7 to 0.9 at four, 1.0 to 1.2 at
eight and 1.4 and more at sixteen, where computing counts. So larger passes take the weights in bf16, and both are kept.
The matrix product is torch's.
"""

from collections.abc import Iterator

import torch
from torch import nn
from torch.nn import functional
from transformers import PreTrainedModel

MOST_ROWS = 4
"""Rows of a pass for which int8 is the faster."""
WHOLE_INPUTS = 64
"""A layer's inputs must be a multiple: torch reads past the end of other rows."""


class Int8Linear(nn.Module):
    """A linear layer that has its weights twice: in bf16 (out, in), and in int8 with a scale for each output."""

    quantised: torch.Tensor
    scales: torch.Tensor

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.weight, self.bias = linear.weight, linear.bias  # tied weights stay tied
        quantised, scales = quantise(linear.weight)
        self.register_buffer("quantised", quantised, persistent=False)
        self.register_buffer("scales", scales, persistent=False)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return (..., out) for (..., in)."""
        if inputs.numel() > MOST_ROWS * inputs.shape[-1]:
            return functional.linear(inputs, self.weight, self.bias)
        rows = torch._weight_int8pack_mm(inputs.reshape(-1, inputs.shape[-1]), self.quantised, self.scales)
        outputs = rows if self.bias is None else rows + self.bias
        return outputs.view(*inputs.shape[:-1], -1)


def quantise(weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return weights (out, in) as int8, and the scales (out), in the weights' format, that make them what they were."""
    exact = weight.detach().float()
    scales = (exact.abs().amax(dim=1) / 127).clamp(min=torch.finfo(torch.float32).tiny).to(weight.dtype)
    return (exact / scales.float()[:, None]).round().clamp(-127, 127).to(torch.int8), scales


def add_int8_weights(model: PreTrainedModel) -> None:
    """Give the linear layers of a model in bf16 their weights in int8 too: half again as much memory as before."""
    layers = [(parent, name, child) for parent in model.modules() for name, child in parent.named_children()]
    for parent, name, child in layers:
        if type(child) is nn.Linear and child.in_features % WHOLE_INPUTS == 0:
            setattr(parent, name, Int8Linear(child))


def number_format(model: PreTrainedModel) -> str:
    """Return what a model computes in: `int8` where it has such weights, else as torch calls it."""
    return "int8" if list(_int8_layers(model)) else str(model.dtype).removeprefix("torch.")


def weight_bytes(model: PreTrainedModel) -> int:
    """Return the bytes of a model's weights, with those in int8."""
    added = sum(layer.quantised.nbytes + layer.scales.nbytes for layer in _int8_layers(model))
    return added + sum(parameter.nbytes for parameter in model.parameters())


def _int8_layers(model: PreTrainedModel) -> Iterator[Int8Linear]:
    return (module for module in model.modules() if isinstance(module, Int8Linear))
