"""From messages to token ids, through the model's chat template, with no way for a client's text to pass for the
template's own marks.

Called from many threads at once: nothing is set on a tokenizer after it has been made. That is also why transformers'
own calls, which set truncation and `encode_special_tokens` on the shared tokenizer each time, are not used for
encoding.
"""

import json
import re
import secrets
from collections.abc import Iterable, Sequence
from typing import Any

from jinja2 import TemplateError
from tokenizers import Tokenizer

from inference.engines.encoding import encode, encode_ids
from inference.errors import AisterError

Message = tuple[str, str]
"""Role (system, user or assistant) and text."""

PRIVATE_USE = 0xF0000
PROBE = "aister"


class ChatText:
    """The tokenizer of a chat model."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        added = tokenizer.added_tokens_decoder.items()
        self._special = {i for i, token in added if token.special}
        self._added = {
            i for i, token in added if token.special or token.content.replace("▁", " ").strip()
        }  # white space forges nothing
        if tokenizer.is_fast:
            tokenizer.backend_tokenizer.no_truncation()
            tokenizer.backend_tokenizer.no_padding()
            self._plain = _without_added_tokens(tokenizer.backend_tokenizer)
        self._has_template = bool(tokenizer.chat_template)
        self._takes_system = self._has_template and self._renders_system()

    def encode(self, messages: Sequence[Message]) -> list[int]:
        """Return the prompt that asks for the next assistant message.

        Raises AisterError `invalid_conversation` when it can't be made.
        """
        if not messages:
            raise AisterError("invalid_conversation", "There are no messages.", param="messages")
        if not self._takes_system:
            messages = _folded(messages)
        forged = _Forged()
        guarded = [(role, self._guard(role, text, forged)) for role, text in messages]
        if not self._has_template:
            return self._joined(guarded, forged)
        return self._encode_guarded(self._render(guarded), forged)

    def _guard(self, role: str, text: str, forged: "_Forged") -> str:
        """Put marks in place of what the tokenizer would take for added tokens.

        An assistant's text may hold those that are not special, such as `<think>`: there the model itself has written
        them.
        """
        controls = self._special if role == "assistant" else self._added
        pieces, end = [], 0
        for start, stop in self._find(text, controls):
            pieces += [text[end:start], forged.mark(text[start:stop])]
            end = stop
        return "".join([*pieces, text[end:]])

    def _find(self, text: str, controls: set[int]) -> list[tuple[int, int]]:
        """Return where the tokenizer sees any of these tokens in the text, in characters."""
        try:
            text.encode()
        except UnicodeEncodeError:
            raise AisterError("invalid_conversation", "A text holds half of a character: a lone surrogate.") from None
        if not self.tokenizer.is_fast:
            return _occurrences(text, [self.tokenizer.added_tokens_decoder[i].content for i in controls])
        backend = self.tokenizer.backend_tokenizer
        if controls.isdisjoint(encode_ids(backend, text)):
            return []  # as nearly always, and places take most of the time
        encoding = encode(backend, text)
        return [
            span for i, span in zip(encoding.ids, encoding.offsets, strict=True) if i in controls and span[0] < span[1]
        ]

    def _encode_guarded(self, rendered: str, forged: "_Forged") -> list[int]:
        """Encode a rendered text, what stands behind marks as plain characters."""
        parts = forged.split(rendered)  # what is no mark and what is one take turns
        return [
            i
            for n, part in enumerate(parts)
            if part
            for i in (self._encode_plain(part) if n % 2 else self._encode(part))
        ]

    def _encode(self, text: str) -> list[int]:
        """Encode text as the tokenizer does, added tokens and all."""
        if not self.tokenizer.is_fast:
            return list(self.tokenizer.encode(text, add_special_tokens=False))
        return encode_ids(self.tokenizer.backend_tokenizer, text)

    def _encode_plain(self, text: str) -> list[int]:
        """Encode text so that no added token comes of it, by characters where the vocabulary would join one."""
        ids = self._encode_without_added(text)
        if self._added.isdisjoint(ids):
            return ids
        return [i for character in text for i in self._encode_without_added(character) if i not in self._added]

    def _encode_without_added(self, text: str) -> list[int]:
        if not self.tokenizer.is_fast:
            return list(self.tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True))
        return encode_ids(self._plain, text)

    def _render(self, messages: Iterable[Message]) -> str:
        """Fill the chat template."""
        turns = [{"role": role, "content": text} for role, text in messages]
        try:
            return str(self.tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True))
        except (TemplateError, TypeError) as error:  # what templates raise themselves, and what they trip over
            message = (
                "The model's chat template refuses these messages: let user and assistant take turns, the user first."
            )
            raise AisterError("invalid_conversation", message, param="messages") from error

    def _renders_system(self) -> bool:
        """Say whether the template has a place for a system prompt: some raise, some leave it out."""
        try:
            return PROBE in self._render([("system", PROBE), ("user", "?")])
        except AisterError:
            return False

    def _joined(self, messages: Iterable[Message], forged: "_Forged") -> list[int]:
        """Lay messages one after the other with an end-of-text token behind each, as DialoGPT was trained."""
        eos = self.tokenizer.eos_token_id
        end = self._encode("\n") if eos is None else [eos]
        return [i for _, text in messages for i in [*self._encode_guarded(text, forged), *end]]


class _Forged:
    """The marks of one call: each stands for a piece of a client's text.

    They are random, so that no client can write one.
    """

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._border = "".join(chr(PRIVATE_USE + secrets.randbelow(0xFFFE)) for _ in range(4))

    def mark(self, piece: str) -> str:
        """Return a mark that stands for the piece."""
        self._pieces.append(piece)
        return f"{self._border}{len(self._pieces) - 1}{self._border}"

    def split(self, text: str) -> list[str]:
        """Split text at its marks: text, piece, text, piece, ..., text."""
        parts = re.split(f"{self._border}([0-9]+){self._border}", text)
        return [self._pieces[int(part)] if n % 2 else part for n, part in enumerate(parts)]


def _folded(messages: Sequence[Message]) -> list[Message]:
    """Put system prompts at the head of the first user message."""
    prompts = [text for role, text in messages if role == "system"]
    others = [message for message in messages if message[0] != "system"]
    first = next((n for n, (role, _) in enumerate(others) if role == "user"), None)
    if not prompts or first is None:
        return others
    others[first] = ("user", "\n\n".join([*prompts, others[first][1]]))
    return others


def _occurrences(text: str, strings: Iterable[str]) -> list[tuple[int, int]]:
    """Return where any of the strings stand in the text; of two that begin together, the longer."""
    pattern = "|".join(re.escape(s) for s in sorted(strings, key=len, reverse=True))
    return [match.span() for match in re.finditer(pattern, text)] if pattern else []


def _without_added_tokens(tokenizer: Tokenizer) -> Tokenizer:
    """Return a tokenizer of the same vocabulary that knows no added tokens, special or not."""
    description = json.loads(tokenizer.to_str())
    plain = Tokenizer.from_str(json.dumps(description | {"added_tokens": [], "post_processor": None}))
    plain.encode_special_tokens = True
    return plain
