"""Which models there are: bundled ones, and what the operator chose."""

import json
from pathlib import Path

import pytest

from inference.catalog import CatalogError, build
from inference.errors import AisterError


def make_model(directory: Path, card: dict[str, object] | None = None) -> Path:
    directory.mkdir(parents=True)
    (directory / "config.json").write_text("{}")
    (directory / "model.safetensors").write_bytes(b"x" * 1000)
    if card is not None:
        (directory / "aister.json").write_text(json.dumps(card))
    return directory


@pytest.fixture
def bundled(tmp_path: Path) -> Path:
    make_model(tmp_path / "bundled" / "one", {"name": "small-chat", "task": "chat", "demonstration": True})
    make_model(tmp_path / "bundled" / "two", {"name": "small-words", "task": "translation", "languages": ["en", "fr"]})
    return tmp_path / "bundled"


def test_bundled_models_are_the_defaults_where_nothing_is_chosen(bundled: Path) -> None:
    catalog = build(bundled, {"chat": "", "translation": ""})
    assert [(entry.id, entry.task, entry.is_default) for entry in catalog] == [
        ("small-chat", "chat", True),
        ("small-words", "translation", True),
    ]
    assert catalog.default("translation").card.languages == ("en", "fr")
    assert catalog.default("chat").size_bytes == 1000


def test_a_chosen_directory_is_the_default_and_the_bundled_model_stays(bundled: Path, tmp_path: Path) -> None:
    chosen = make_model(tmp_path / "my-model")
    catalog = build(bundled, {"chat": str(chosen)})
    assert catalog.default("chat").id == "my-model"
    assert catalog.find("chat", "small-chat").is_default is False
    assert catalog.default("translation").id == "small-words"


def test_a_hub_id_is_taken_as_it_is(bundled: Path) -> None:
    entry = build(bundled, {"chat": "org/name-1.5"}).default("chat")
    assert (entry.id, entry.source, entry.directory, entry.size_bytes) == ("org/name-1.5", "org/name-1.5", None, 0)


@pytest.mark.parametrize("source", ["/no/such/directory", "./nowhere/at/all", "a b", "org/name/more", "../up"])
def test_what_is_neither_a_directory_nor_a_hub_id_is_refused_in_one_line(bundled: Path, source: str) -> None:
    with pytest.raises(CatalogError, match="neither a directory nor a hub id") as caught:
        build(bundled, {"chat": source})
    assert "\n" not in str(caught.value)


def test_a_directory_without_a_model_is_refused(bundled: Path, tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match=r"no config\.json"):
        build(bundled, {"chat": str(tmp_path)})


def test_a_broken_card_is_refused_by_name(bundled: Path) -> None:
    (bundled / "one" / "aister.json").write_text('{"task": "cooking"}')
    with pytest.raises(CatalogError, match=r"aister\.json can't be read"):
        build(bundled, {})


def test_a_model_is_found_by_id_and_task(bundled: Path) -> None:
    catalog = build(bundled, {})
    assert catalog.find("chat", None).id == "small-chat"
    with pytest.raises(AisterError) as unknown:
        catalog.find("chat", "nobody")
    with pytest.raises(AisterError) as other:
        catalog.find("chat", "small-words")
    assert (unknown.value.code, unknown.value.param) == ("unknown_model", "model")
    assert (other.value.code, other.value.message) == ("wrong_task", "This model is for translation, not chat.")
