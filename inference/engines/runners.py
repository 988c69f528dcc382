"""Which way a model is run: packed where that gives the right logits, else one conversation a pass. Decided once, when
it is loaded.

The rule of `packed.is_packable` says what should work; the self-check here says what does. Both must agree before a
model is served packed.
"""

import logging
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

import torch
from transformers import PreTrainedModel

from inference.engines.kvcache import CacheSize
from inference.engines.packed import PackedRunner, is_packable
from inference.engines.single import SingleRunner

logger = logging.getLogger(__name__)

TOLERANCES = {torch.float32: 1e-4}
LOOSE_TOLERANCE = 0.1
"""Of the largest logit.

In bf16 a prefill in chunks alone shifts logits by 0.1; a position too many or too few shifts them by far more.
"""
PROBE_LENGTHS = (23, 9)


class Cache(Protocol):
    """What is kept of a conversation: the tokens it holds, and what the model made of them."""

    tokens: list[int]

    @property
    def nbytes(self) -> int: ...
    def cut(self, length: int) -> None: ...
    def copy(self, other: Any, length: int) -> None: ...
    def expect(self, tokens: int, at_most: int) -> None: ...


C = TypeVar("C", bound=Cache)


class Runner(Protocol[C]):
    """Feeds tokens to conversations and returns the logits after the last token of each."""

    path: str
    reads_in_chunks: bool
    """False where each pass reads the whole text anyway."""

    def new_cache(self) -> C: ...
    def cache_size(self, samples: Sequence[C]) -> CacheSize: ...
    def forward(self, caches: Sequence[C], feeds: Sequence[Sequence[int]]) -> torch.Tensor: ...


@torch.inference_mode()
def choose_runner(model: PreTrainedModel) -> tuple[Runner[Any], CacheSize]:
    """Return the fastest runner whose logits are the model's own, and the size of its caches."""
    vocabulary: int = model.config.get_text_config(decoder=True).vocab_size
    prompts = [[7919 * (i + 1) % vocabulary for i in range(n)] for n in PROBE_LENGTHS]
    expected = torch.stack(
        [model(input_ids=torch.tensor([p], device=model.device)).logits[0, -1].float() for p in prompts]
    )
    own_attention = model.config._attn_implementation
    if is_packable(model):
        if size := _measured(lambda: PackedRunner(model), prompts, expected, model.dtype):
            return PackedRunner(model), size
        logger.warning("%s fails the check of packed passes and is run one conversation a pass.", type(model).__name__)
        model.set_attn_implementation(own_attention)
    if size := _measured(lambda: SingleRunner(model, keeps_cache=True), prompts, expected, model.dtype):
        return SingleRunner(model, keeps_cache=True), size
    logger.warning(
        "%s keeps no cache that can be used: its whole text is read again for each token.", type(model).__name__
    )
    return SingleRunner(model, keeps_cache=False), CacheSize(0, 0)


def _measured(
    make: Callable[[], Runner[Any]], prompts: list[list[int]], expected: torch.Tensor, dtype: torch.dtype
) -> CacheSize | None:
    """Try a runner on the prompts; return the size of its caches, or None when its logits are not the expected ones."""
    try:
        runner = make()
        caches = [runner.new_cache() for _ in prompts]
        runner.forward(
            caches, [prompts[0][:-1], prompts[1][:4]]
        )  # a prefill of both, then a decode beside a second chunk
        logits = runner.forward(caches, [prompts[0][-1:], prompts[1][4:]])
    except Exception as error:  # whatever a model's code may do with a cache or an attention it was not written for
        logger.info("%s in the self-check of a model: %s", type(error).__name__, error)
        return None
    tolerance = TOLERANCES.get(dtype, LOOSE_TOLERANCE)
    worst, scale = (logits - expected).abs().max().item(), expected.abs().max().item()
    return runner.cache_size(caches) if worst <= tolerance * scale else None
