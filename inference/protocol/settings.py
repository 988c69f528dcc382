"""The settings of a session, and changes of them."""

from typing import Annotated, TypeVar

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from inference.protocol.fields import MAX_STOPS, MaxTokens, RepetitionPenalty, Seed, Stop, Temperature, TopK, TopP

S = TypeVar("S", "ChatSettings", "TranslationSettings")


class ChatSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a chat session answers; null is the model's own default."""

    system: str | None = None
    temperature: Temperature | None = None
    top_p: TopP | None = None
    top_k: TopK | None = None
    repetition_penalty: RepetitionPenalty | None = None
    max_tokens: MaxTokens | None = None
    seed: Seed | None = None
    stop: Annotated[list[Stop], Meta(max_length=MAX_STOPS)] | None = None


class TranslationSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Languages of translations that name none; a null source is `auto`, a null target must be named each time."""

    source: str | None = None
    target: str | None = None


class ChatSettingsUpdate(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The fields to change; null restores the default."""

    system: str | UnsetType | None = UNSET
    temperature: Temperature | UnsetType | None = UNSET
    top_p: TopP | UnsetType | None = UNSET
    top_k: TopK | UnsetType | None = UNSET
    repetition_penalty: RepetitionPenalty | UnsetType | None = UNSET
    max_tokens: MaxTokens | UnsetType | None = UNSET
    seed: Seed | UnsetType | None = UNSET
    stop: Annotated[list[Stop], Meta(max_length=MAX_STOPS)] | UnsetType | None = UNSET


class TranslationSettingsUpdate(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The fields to change; null restores the default."""

    source: str | UnsetType | None = UNSET
    target: str | UnsetType | None = UNSET


def updated(settings: S, update: Struct) -> S:
    """Return `settings` with the fields that `update` sets."""
    changes = {name: getattr(update, name) for name in update.__struct_fields__}
    return msgspec.structs.replace(settings, **{k: v for k, v in changes.items() if v is not UNSET})
