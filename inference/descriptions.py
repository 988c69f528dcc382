"""What clients are told of models and languages, loaded or not. Any thread; reads small files, once for each model."""

from functools import lru_cache
from typing import TYPE_CHECKING, Any, cast

import msgspec
from django.conf.locale import LANG_INFO

from inference.apps import manager
from inference.catalog import ModelEntry
from inference.engines.languages import Languages, UnnamedLanguagesError, read_languages
from inference.errors import AisterError

if TYPE_CHECKING:
    from inference.engines.seq2seq import Seq2SeqEngine  # brings torch


class ModelDescription(msgspec.Struct, frozen=True, kw_only=True):
    """One model of `GET /v1/models`. `engine` says how it runs, null until it is loaded."""

    id: str
    task: str
    default: bool
    demonstration: bool
    description: str
    languages: list[str]
    examples: list[str]
    loaded: bool
    engine: dict[str, Any] | None


class LanguageDescription(msgspec.Struct, frozen=True, kw_only=True):
    """One language of `GET /v1/languages`: its code, its name in English, and what can be translated from it into."""

    code: str
    name: str
    targets: list[str]


def describe(entry: ModelEntry) -> ModelDescription:
    """Return what clients see of a model."""
    model = manager().loaded(entry.id)
    return ModelDescription(
        id=entry.id,
        task=entry.task,
        default=entry.is_default,
        demonstration=entry.card.demonstration,
        description=entry.card.description,
        languages=language_codes(entry),
        examples=list(entry.card.examples),
        loaded=model is not None,
        engine=model.engine.describe() if model else None,
    )


def language_codes(entry: ModelEntry) -> list[str]:
    """Return the languages of a model, as far as they are known before it is loaded."""
    if entry.task == "translation" and not entry.card.languages:
        try:
            languages = read_model_languages(entry)
        except AisterError:
            return []
        return sorted({*languages.sources, *languages.targets})
    return list(entry.card.languages)


def describe_languages(entry: ModelEntry) -> list[LanguageDescription]:
    """Return the languages of a translation model; raise AisterError (model_unavailable) while they are not known."""
    languages = read_model_languages(entry)
    return [
        LanguageDescription(
            code=source,
            name=LANG_INFO.get(source, {}).get("name", source),
            targets=[target for target in languages.targets if languages.translates(source, target)],
        )
        for source in languages.sources
    ]


def read_model_languages(entry: ModelEntry) -> Languages:
    """Return which languages a model translates; raise AisterError (model_unavailable) while that is not known."""
    model = manager().loaded(entry.id)
    if model is not None:
        return cast("Seq2SeqEngine", model.engine).text.languages
    return read_from_disk(entry)


@lru_cache
def read_from_disk(entry: ModelEntry) -> Languages:
    """Return what the files of a model say; raise AisterError (model_unavailable) when they don't."""
    if entry.directory is None:
        raise AisterError("model_unavailable", "The model is not on this machine yet.", retry_after_s=10.0)
    try:
        return read_languages(entry.directory)
    except (OSError, UnnamedLanguagesError):
        raise AisterError("model_unavailable") from None
