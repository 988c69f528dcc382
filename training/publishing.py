"""Writes a trained model where Aister finds it: weights in half precision, tokenizer, what Aister shows of it.

One thread. Everything in the directory is written anew; files of an earlier version with other names stay.
"""

import copy
import json
from dataclasses import asdict, dataclass
from pathlib import Path

from transformers import PreTrainedModel, PreTrainedTokenizerBase


@dataclass(frozen=True)
class Description:
    """What `aister.json` tells the catalog and the playground about a bundled model."""

    name: str
    task: str
    description: str
    languages: list[str]
    examples: list[str]
    demonstration: bool = True


def save_model(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, directory: Path) -> None:
    """Write weights (float16, safetensors), configuration and tokenizer to `directory`."""
    directory.mkdir(parents=True, exist_ok=True)
    copy.deepcopy(model).half().save_pretrained(directory)
    tokenizer.save_pretrained(directory)


def save_description(description: Description, directory: Path) -> None:
    """Write `aister.json`."""
    text = json.dumps(asdict(description), indent=2, ensure_ascii=False)
    (directory / "aister.json").write_text(text + "\n", encoding="utf-8")


def weight_bytes(directory: Path) -> int:
    """Return the size of the weights in `directory`."""
    return sum(path.stat().st_size for path in directory.glob("*.safetensors"))
