"""Which models exist, where they come from and what each is for.

Plain data, read once at start; no torch, no Django, any thread.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec

from inference.errors import AisterError

Task = Literal["chat", "translation"]
TASKS: tuple[Task, ...] = ("chat", "translation")
HUB_ID = re.compile(r"[A-Za-z0-9][\w.\-]*(/[A-Za-z0-9][\w.\-]*)?")


class CatalogError(Exception):
    """A model that was asked for can't be there; the message is one line that says what to do."""


class Card(msgspec.Struct, frozen=True):
    """What `aister.json`, beside a model's weights, says of it; a model without one has the defaults."""

    name: str = ""
    task: Task | None = None
    demonstration: bool = False
    description: str = ""
    languages: tuple[str, ...] = ()
    examples: tuple[str, ...] = ()


class ModelEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One model.

    `source` is a directory or a hub id; `size_bytes` is what its weights take on disk, 0 when not known.
    """

    id: str
    task: Task
    source: str
    is_default: bool = False
    card: Card = Card()

    @property
    def directory(self) -> Path | None:
        """The directory, when the source is one."""
        path = Path(self.source)
        return path if path.is_dir() else None

    @property
    def size_bytes(self) -> int:
        """What the weights take on disk, 0 when they are not on this machine yet."""
        return sum(file.stat().st_size for file in self.directory.glob("*.safetensors")) if self.directory else 0


class Catalog:
    """The models of this server, by id. The first of each task is its default."""

    def __init__(self, entries: list[ModelEntry]) -> None:
        self.entries = {entry.id: entry for entry in entries}

    def __iter__(self) -> Iterator[ModelEntry]:
        return iter(self.entries.values())

    def find(self, task: Task, model_id: str | None) -> ModelEntry:
        """Return a model of a task, the default one for None; raise AisterError (unknown_model, wrong_task)."""
        if not model_id:
            return self.default(task)
        entry = self.entries.get(model_id)
        if entry is None:
            raise AisterError("unknown_model", param="model")
        if entry.task != task:
            raise AisterError("wrong_task", f"This model is for {entry.task}, not {task}.", param="model")
        return entry

    def default(self, task: Task) -> ModelEntry:
        """Return the default model of a task; raise AisterError (unknown_model) when there is none."""
        for entry in self:
            if entry.task == task and entry.is_default:
                return entry
        raise AisterError("unknown_model", f"This server has no model for {task}.", param="model")


def build(bundled: Path, configured: dict[Task, str]) -> Catalog:
    """Return the catalog: the models that the operator configured, as defaults, and the bundled ones.

    Raises CatalogError when a configured source is neither a directory with a model nor a hub id.
    """
    chosen = [configured_entry(task, source) for task, source in configured.items() if source]
    taken = {entry.task for entry in chosen}
    return Catalog(
        chosen + [entry for entry in bundled_entries(bundled, taken) if entry.id not in {e.id for e in chosen}]
    )


def configured_entry(task: Task, source: str) -> ModelEntry:
    """Return the entry of a model that the operator chose."""
    path = Path(source).expanduser()
    if path.is_dir():
        card = read_card(path)
        if not (path / "config.json").is_file():
            raise CatalogError(f"{path} holds no model: it has no config.json. Give the directory that has it.")
        return ModelEntry(id=card.name or path.name, task=task, source=str(path), is_default=True, card=card)
    if not HUB_ID.fullmatch(source):
        raise CatalogError(f"{source} is neither a directory nor a hub id such as org/name.")
    return ModelEntry(id=source, task=task, source=source, is_default=True)


def bundled_entries(bundled: Path, taken: set[Task]) -> Iterator[ModelEntry]:
    """Yield the models that ship with Aister; one is its task's default where the operator chose none."""
    for path in sorted(bundled.iterdir() if bundled.is_dir() else ()):
        card = read_card(path)
        if card.task is not None:
            is_default = card.task not in taken
            yield ModelEntry(id=card.name, task=card.task, source=str(path), is_default=is_default, card=card)


def read_card(path: Path) -> Card:
    """Return what `aister.json` says; raise CatalogError when it can't be read."""
    file = path / "aister.json"
    if not file.is_file():
        return Card()
    try:
        return msgspec.json.decode(file.read_bytes(), type=Card)
    except (msgspec.MsgspecError, OSError) as error:
        raise CatalogError(f"{file} can't be read: {error}") from None
