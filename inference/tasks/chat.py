"""Chat: from a draft of a conversation to what the decoder engine takes, and from its answer back to a message."""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, ClassVar, TypeVar

import msgspec

from inference.catalog import Task
from inference.engines.base import Delta
from inference.engines.generation import GenerationRequest, Sampling, common_length
from inference.errors import AisterError
from inference.protocol import ChatSettings, Message
from inference.tasks.answer import Result
from inference.tasks.conversation import Conversation, new_message

if TYPE_CHECKING:
    from inference.engines.decoder import DecoderEngine  # brings torch

DEFAULT_MAX_TOKENS = 1024

Turns = list[tuple[str, str]]
T = TypeVar("T")


class ChatAnswer:
    """One answer to the last message of a draft."""

    task: ClassVar[Task] = "chat"

    def __init__(
        self, conversation: Conversation, draft: list[Message], settings: ChatSettings, *, is_kept: bool = True
    ) -> None:
        self.conversation = conversation
        self.draft = draft
        self.settings = settings
        self.is_kept = is_kept  # a session's conversation; that of a plain HTTP request is found by its prefix
        self.truncated = 0
        self.message_id: str | None = draft[-1].id
        self.parts: list[str] = []

    def prepare(self, engine: "DecoderEngine", key: str) -> GenerationRequest:
        """Return what the engine is to do; raise AisterError (text_too_long, invalid_conversation)."""
        wanted = self.settings.max_tokens or DEFAULT_MAX_TOKENS
        context = engine.max_context_tokens
        turns: Turns = [(message.role, message.text) for message in self.draft]
        prompt, self.truncated = fit(engine, self.settings.system, turns, context - min(wanted, context // 2))
        return GenerationRequest(
            key=key,
            goes_ahead=any(message.role == "assistant" for message in self.draft),
            prompt=prompt,
            max_tokens=min(wanted, context - len(prompt)),
            sampling=sampling(engine, self.settings),
            stop=tuple(self.settings.stop or ()),
            conversation=self.conversation.id if self.is_kept else None,
            shared_tokens=system_tokens(engine, self.settings.system, prompt),
        )

    def begin(self) -> Sequence[Delta]:
        """Nothing is known of an answer before its first token."""
        return ()

    def hear(self, delta: Delta) -> Sequence[Delta]:
        """Keep the text and pass it on."""
        self.parts.append(delta.text)
        return (delta,)

    def conclude(self, *, is_cancelled: bool) -> Result:
        """Let the answer stand in the conversation. One cancelled before its first token leaves it as it was."""
        text = "".join(self.parts)
        if is_cancelled and not text:
            return Result()
        message = new_message("assistant", text)
        if is_cancelled:
            message = msgspec.structs.replace(message, status="cancelled")
        self.conversation.stand([*self.draft, message])
        return Result(message=message)


def fit(engine: "DecoderEngine", system: str | None, turns: Turns, room_tokens: int) -> tuple[list[int], int]:
    """Return the prompt's token ids and how many of the oldest messages were left out to make it fit.

    Whole turns go, never the system prompt, never the last message. Raises AisterError (text_too_long) when those two
    alone are too long.

    They go in steps of a quarter of the room, counted from the conversation's beginning: so the next turns leave out
    the same and are read from the kept cache. If each turn left out one more, the whole prompt would be read each time.
    """
    prompt = encode(engine, system, turns)
    if len(prompt) <= room_tokens:
        return prompt, 0
    starts = [position for position, (role, _) in enumerate(turns) if role == "user"]
    least = first_of(starts, lambda start: len(encode(engine, system, turns[start:])) <= room_tokens)
    step_tokens = max(1, room_tokens // 4)
    enough_tokens = -(-asked_tokens(engine, system, turns, least) // step_tokens) * step_tokens
    left_out = first_of(starts, lambda start: asked_tokens(engine, system, turns, start) >= enough_tokens)
    prompt = encode(engine, system, turns[left_out:])
    if len(prompt) > room_tokens:
        message = (
            f"The message has {len(prompt):,} tokens with its system prompt; {room_tokens:,} fit. "
            "Shorten it, or lower max_tokens."
        )
        raise AisterError("text_too_long", message, param="text")
    return prompt, left_out


def first_of(starts: list[int], claim: Callable[[int], bool]) -> int:
    """Return the first of which a claim holds that holds of all after it, or the last one.

    Found by halving, so that a long history is not tokenised once for each of its turns.
    """
    return starts[min(bisect_left(starts, True, key=claim), len(starts) - 1)]


def asked_tokens(engine: "DecoderEngine", system: str | None, turns: Turns, start: int) -> int:
    """Return how long the prompt of the user message at `start` was with all before it: later turns don't change it."""
    return len(encode(engine, system, turns[: start + 1]))


def encode(engine: "DecoderEngine", system: str | None, turns: Turns) -> list[int]:
    """Return the token ids of a rendered conversation."""
    return engine.text.encode([("system", system), *turns] if system else turns)


def system_tokens(engine: "DecoderEngine", system: str | None, prompt: list[int]) -> int:
    """Return how many of the prompt's first tokens any conversation with this system prompt begins with."""
    return common_length(prompt, encode(engine, system, [("user", "?")]))


def sampling(engine: "DecoderEngine", settings: ChatSettings) -> Sampling:
    """Return how to draw tokens: the session's settings, and the model's own where it has none."""
    defaults = engine.defaults
    return Sampling(
        temperature=chosen(settings.temperature, defaults.temperature),
        top_p=chosen(settings.top_p, defaults.top_p),
        top_k=chosen(settings.top_k, defaults.top_k),
        repetition_penalty=chosen(settings.repetition_penalty, defaults.repetition_penalty),
        seed=settings.seed,
    )


def chosen(setting: T | None, default: T) -> T:
    """Return the setting, or the default where it is null."""
    return default if setting is None else setting
