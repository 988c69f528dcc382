"""Models of real shapes with random weights: speed does not depend on what they say.

None of them has an end token, so every answer is as long as it may be. They are made once, in
`build/benchmarks/models`.
"""

import fcntl
import string
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice, product
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
MODELS = ROOT / "build" / "benchmarks" / "models"
LLAMAS: dict[str, dict[str, Any]] = {
    "135m": {  # SmolLM2-135M
        "hidden_size": 576,
        "intermediate_size": 1536,
        "num_hidden_layers": 30,
        "num_attention_heads": 9,
        "num_key_value_heads": 3,
        "vocab_size": 49152,
    },
    "tiny": {
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "vocab_size": 512,
    },
}
TEMPLATE = "{% for message in messages %}{{ message.role }}: {{ message.content }}\n{% endfor %}assistant: "


def llama(shape: str) -> Path:
    """Return the directory of a Llama model in bf16, made if it is not there yet."""
    directory = MODELS / f"llama-{shape}"
    with alone():
        if not (directory / "tokenizer.json").exists():
            make_llama(shape, directory)
    return directory


@contextmanager
def alone() -> Iterator[None]:
    """Let no other process make a model until the block ends: both sides of a row start at the same time."""
    MODELS.mkdir(parents=True, exist_ok=True)
    with (MODELS / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def make_llama(shape: str, directory: Path) -> None:
    """Write a model and its tokenizer; the tokenizer last, so that half a model is made anew."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(1)
    ends: dict[str, Any] = {"bos_token_id": None, "eos_token_id": None, "pad_token_id": None}
    config = LlamaConfig(**LLAMAS[shape], **ends, tie_word_embeddings=True, max_position_embeddings=8192)
    model: Any = LlamaForCausalLM(config)
    model.to(torch.bfloat16)
    model.generation_config.update(**ends, do_sample=False)
    model.save_pretrained(directory)
    make_tokenizer(LLAMAS[shape]["vocab_size"]).save_pretrained(directory)


def make_tokenizer(size: int) -> Any:
    """Return a tokenizer that reads a character a token, and for whatever token is chosen says a word of its own."""
    import transformers
    from tokenizers import Tokenizer, decoders, models

    words = ("".join(letters) for letters in product(string.ascii_lowercase, repeat=4))
    pieces = [*string.printable, *(f" {word}" for word in islice(words, size - len(string.printable)))]
    tokenizer = Tokenizer(models.BPE(vocab={piece: n for n, piece in enumerate(pieces)}, merges=[], unk_token="?"))
    tokenizer.decoder = decoders.Fuse()
    wrap: Any = transformers.PreTrainedTokenizerFast
    return wrap(tokenizer_object=tokenizer, chat_template=TEMPLATE, clean_up_tokenization_spaces=False)
