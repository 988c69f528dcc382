"""Small decoder models with random weights, a tokenizer trained on the spot, and ways to drive an engine."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    GPT2Config,
    GPTNeoConfig,
    GptOssConfig,
    Lfm2Config,
    LlamaConfig,
    OpenAIGPTConfig,
    PreTrainedConfig,
    PreTrainedTokenizerFast,
    Qwen3Config,
    StableLmConfig,
)

from inference.engines.base import Delta, EngineRequest, Failed, Finished, Progress
from inference.engines.decoder import DecoderEngine
from inference.engines.generation import GenerationRequest, Sampling
from inference.engines.loading import Loaded, load_causal_model
from inference.engines.runners import choose_runner

WINDOW = 16
"""Of the models with sliding attention: shorter than the prompts."""
VOCABULARY = 400
CONTEXT_TOKENS = 1024
CACHE_BYTES = 2**24

RANDOM = {"initializer_range": 0.15, "vocab_size": VOCABULARY}  # a model at its default initialisation hides errors
GPT = {"n_positions": CONTEXT_TOKENS, "n_embd": 64, "n_layer": 2, "n_head": 4}
LLAMA = {
    "max_position_embeddings": CONTEXT_TOKENS,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}
GPT_NEO = {
    "max_position_embeddings": CONTEXT_TOKENS,
    "hidden_size": 64,
    "num_layers": 2,
    "num_heads": 4,
    "attention_types": [[["global", "local"], 1]],
    "window_size": WINDOW,
}
PACKED: dict[str, PreTrainedConfig] = {
    "llama": LlamaConfig(**RANDOM, **LLAMA, head_dim=16),
    "qwen3": Qwen3Config(**RANDOM, **LLAMA, head_dim=16),
    "gemma2": Gemma2Config(**RANDOM, **LLAMA, head_dim=16, query_pre_attn_scalar=16, sliding_window=WINDOW),
    "gpt_oss": GptOssConfig(
        **RANDOM, **LLAMA, head_dim=16, num_local_experts=4, num_experts_per_tok=2, sliding_window=WINDOW,
        rope_parameters={"rope_type": "default", "rope_theta": 10_000.0},
    ),
    "gpt2": GPT2Config(**RANDOM, **GPT),
}  # fmt: skip
SINGLE: dict[str, PreTrainedConfig] = {
    "gpt_neo": GPTNeoConfig(**RANDOM, **GPT_NEO),
    "stablelm": StableLmConfig(**RANDOM, **LLAMA),
    "lfm2": Lfm2Config(**RANDOM, **LLAMA | {"num_hidden_layers": 3}, layer_types=["conv", "full_attention", "conv"]),
    "openai-gpt": OpenAIGPTConfig(**RANDOM, **GPT),  # fills no cache
}
CONFIGS = PACKED | SINGLE
TEXTS = [
    "hello world, how are you?",
    "你好世界",
    "مرحبا بالعالم",
    "🎉👨‍👩‍👧 naïve",
    "the quick brown fox jumps over the lazy dog",
]
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def train_tokenizer(template: str | None = TEMPLATE) -> PreTrainedTokenizerFast:
    """Train a byte-level tokenizer with special tokens and one added token that is not special."""
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY - 1,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=["<|im_start|>", "<|im_end|>"],
        show_progress=False,
    )
    backend.train_from_iterator(TEXTS * 10, trainer)
    backend.add_tokens([AddedToken("<think>", special=False, normalized=False)])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<|im_end|>")
    tokenizer.chat_template = template
    return tokenizer


def save_decoder(config: PreTrainedConfig, directory: Path) -> Path:
    """Save a model of this configuration, always with the same weights, and its tokenizer."""
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(copy.deepcopy(config)).save_pretrained(directory)
    train_tokenizer().save_pretrained(directory)
    return directory


def load_endless(directory: Path) -> Loaded:
    """Load a model that no token stops, so that answers are as long as they are asked to be."""
    return replace(load_causal_model(directory), stop_ids=frozenset())


class Ticking:
    """A clock on which every pass takes one second: a second goes by whenever it is looked at."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        self.now_s += 1
        return self.now_s


def make_engine(loaded: Loaded, *, max_rows: int = 8, cache_bytes: int = CACHE_BYTES) -> DecoderEngine:
    """Make an engine as `DecoderEngine.load` does, on which every pass takes a second."""
    runner, size = choose_runner(loaded.model)
    return DecoderEngine(loaded, runner, size, threads=1, max_rows=max_rows, cache_bytes=cache_bytes, clock=Ticking())


def ask(prompt: Sequence[int], *, max_tokens: int = 8, key: str = "key", **options: Any) -> GenerationRequest:
    """Make a request: greedy, unless a sampling is given."""
    options.setdefault("sampling", Sampling(temperature=0))
    return GenerationRequest(key=key, prompt=list(prompt), max_tokens=max_tokens, **options)


def tokens(count: int, start: int = 0) -> list[int]:
    """Return as many ids, all ordinary, the same ones each time."""
    return [10 + 37 * (start + i) ** 2 % (VOCABULARY - 20) for i in range(count)]


@dataclass
class Answer:
    """What an engine said of one request."""

    progress: list[Progress] = field(default_factory=list)

    @property
    def deltas(self) -> list[str]:
        return [p.text for p in self.progress if isinstance(p, Delta)]

    @property
    def text(self) -> str:
        return "".join(self.deltas)

    @property
    def end(self) -> Finished | Failed:
        assert isinstance(self.progress[-1], Finished | Failed)
        return self.progress[-1]


class Driver:
    """Admits requests and steps the engine, as a scheduler does."""

    def __init__(self, engine: DecoderEngine) -> None:
        self.engine = engine
        self.answers: dict[EngineRequest, Answer] = {}

    def admit(self, *requests: GenerationRequest) -> None:
        for request in requests:
            self.engine.check(request)
            assert self.engine.has_room_for(request)
            self.answers[request] = Answer()
            self.engine.admit(request)

    def step(self, times: int = 1) -> None:
        for _ in range(times):
            for request, progress in self.engine.step():
                self.answers[request].progress.append(progress)

    def read_prompts(self) -> None:
        """Step until every prompt has been read."""
        self.step()
        while self.engine._prefilling:
            self.step()

    def run_until_read(self, request: GenerationRequest) -> None:
        """Let a request join, and step until every prompt has been read."""
        self.admit(request)
        self.read_prompts()

    def finish(self) -> None:
        while not self.engine.is_idle:
            self.step()

    def run(self, *requests: GenerationRequest) -> list[Answer]:
        """Answer all requests together."""
        self.admit(*requests)
        self.finish()
        return [self.answers[request] for request in requests]


class Recorder:
    """Stands around an engine's runner and keeps the tokens and logits of every row of every pass.

    `spoil_at` names a pass before which one position of one kept cache is made wrong.
    """

    def __init__(self, engine: DecoderEngine, spoil: Callable[[Any], None], spoil_at: int | None = None) -> None:
        self._runner, engine._runner = engine._runner, self  # type: ignore[assignment]
        self._spoil, self._spoil_at = spoil, spoil_at
        self.passes = 0
        self.rows: list[tuple[list[int], torch.Tensor]] = []
        self.path, self.reads_in_chunks = self._runner.path, self._runner.reads_in_chunks
        self.new_cache, self.cache_size = self._runner.new_cache, self._runner.cache_size

    def forward(self, caches: Sequence[Any], feeds: Sequence[Sequence[int]]) -> torch.Tensor:
        if self.passes == self._spoil_at:
            self._spoil(caches[0])
        logits = self._runner.forward(caches, feeds)
        self.passes += 1
        self.rows += [(list(cache.tokens), row.clone()) for cache, row in zip(caches, logits, strict=True)]
        return logits

    @torch.inference_mode()
    def worst_error(self, plain: torch.nn.Module) -> float:
        """Return the largest difference from a plain forward pass of the same tokens, as part of their scale."""
        errors = []
        for text, row in self.rows:
            expected = plain(input_ids=torch.tensor([text])).logits[0, -1]
            errors.append(((row - expected).abs().max() / expected.abs().max()).item())
        return max(errors)
