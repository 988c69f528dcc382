"""What is asked of a decoder engine: plain data without torch, so that tasks can make requests before it is loaded."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from inference.engines.base import EngineRequest
from inference.errors import AisterError


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the next token is chosen.

    A `temperature` of 0 takes the likeliest token. `top_k` of 0 sets no limit of its own. A `seed` of None draws a
    fresh one for the request; with a seed, the same request gives the same tokens, alone or in a batch.
    """

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    repetition_penalty: float = 1.0
    seed: int | None = None


@dataclass(eq=False, slots=True, kw_only=True)
class GenerationRequest(EngineRequest):
    """A prompt to be continued by up to `max_tokens` tokens.

    `stop` are strings that end the answer and are left out of it. `conversation` names the conversation whose KV cache
    is kept between requests; None (plain HTTP) looks for a kept cache of the same `key` that the prompt extends.
    `shared_tokens` of the prompt's first tokens, its system prompt, may be taken from another conversation of the key.
    """

    prompt: Sequence[int]
    max_tokens: int
    sampling: Sampling = field(default_factory=Sampling)
    stop: tuple[str, ...] = ()
    conversation: str | None = None
    shared_tokens: int = 0


def check_settings(request: GenerationRequest) -> None:
    """Raise AisterError `invalid_field` for a setting that no token can be chosen by: it would fail the whole batch."""
    sampling = request.sampling
    claims = {
        "max_tokens": request.max_tokens >= 1,
        "temperature": 0 <= sampling.temperature < math.inf,
        "top_p": 0 < sampling.top_p <= 1,
        "top_k": sampling.top_k >= 0,
        "repetition_penalty": 0 < sampling.repetition_penalty < math.inf,
        "stop": all(request.stop),
    }
    for param, holds in claims.items():
        if not holds:
            raise AisterError("invalid_field", f"{param} is out of range.", param=param)


def common_length(a: Sequence[int], b: Sequence[int]) -> int:
    """Return the length of the longest common prefix."""
    return next((n for n, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
