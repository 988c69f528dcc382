"""Writes a trained model where Aister finds it: weights in half precision, tokenizer, what Aister shows of it.

One thread. Everything in the directory is written anew; files of an earlier version with other names stay. How the
model was trained lies beside the weights in `training.json`, so that a report has it whenever it is measured.
"""

import copy
import json
from dataclasses import asdict, dataclass
from pathlib import Path

from transformers import PreTrainedModel, PreTrainedTokenizerBase

BUNDLED = Path(__file__).parents[1] / "inference" / "bundled"
TRAINING_FILE = "training.json"


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


@dataclass(frozen=True)
class Training:
    """One run that trained a model; `further` says that it went on from a trained one."""

    steps: int
    minutes: float
    device: str
    threads: int
    seed: int
    corpus: str
    further: bool

    def __str__(self) -> str:
        """Return a line of the report."""
        took = f"{self.steps:,} steps in {self.minutes:,} minutes on {self.device} with {self.threads} threads"
        return f"trained {'further' if self.further else 'anew'}: {took}, seed {self.seed}, {self.corpus}"


def save_training(training: Training, directory: Path, start: Path | None) -> None:
    """Write `training.json`: the runs that made the model in `start`, if it went on from there, and `training`."""
    runs = [*(read_trainings(start) if start else []), training]
    text = json.dumps([asdict(run) for run in runs], indent=1, ensure_ascii=False)
    (directory / TRAINING_FILE).write_text(text + "\n", encoding="utf-8")


def read_trainings(directory: Path) -> list[Training]:
    """Return the runs that made the model in `directory`, the first one first; none where nobody wrote them down."""
    file = directory / TRAINING_FILE
    return [Training(**run) for run in json.loads(file.read_text(encoding="utf-8"))] if file.exists() else []


def report_of(directory: Path, committed: Path) -> Path:
    """Return where the report on a model goes: to `committed` if it is a bundled one, beside the weights if not."""
    return committed if directory.resolve().parent == BUNDLED else directory / "report.md"


def weight_bytes(directory: Path) -> int:
    """Return the size of the weights in `directory`."""
    return sum(path.stat().st_size for path in directory.glob("*.safetensors"))
