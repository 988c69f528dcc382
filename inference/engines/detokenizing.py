"""From tokens to text, as they come: whole characters only, and never a part of a stop string.

Used by the engine's thread only.
"""

from collections.abc import Sequence
from typing import Any

from tokenizers.decoders import DecodeStream

INCOMPLETE = "\ufffd"
"""What a tokenizer makes of bytes that are no whole character, or not yet."""


class Detokenizer:
    """Turns the tokens of one answer into text. What it says, joined, is the tokenizer's text of all of them.

    Special tokens have no text. Bytes that are no text, in a tokenizer that then changes what it made of those before,
    come out as one replacement character, and what follows them is decoded anew.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._begin()

    def push(self, token: int) -> str:
        """Take one more token; return the text that it completes."""
        self._tokens.append(token)
        return self._compared() if self._stream is None else self._streamed(self._stream, token)

    def flush(self) -> str:
        """Return what is left when no more tokens come, a character cut short included."""
        text = decode(self._tokenizer, self._tokens)
        return text[len(self._said) :] if text.startswith(self._said) else INCOMPLETE

    def _begin(self) -> None:
        """Begin to decode, with nothing read and nothing said."""
        self._tokens: list[int] = []
        self._said = self._decoded = ""
        self._stream = DecodeStream(skip_special_tokens=True) if self._tokenizer.is_fast else None

    def _streamed(self, stream: DecodeStream, token: int) -> str:
        """Let the tokenizers library decode step by step."""
        try:
            text = stream.step(self._tokenizer.backend_tokenizer, token) or ""
        except Exception:  # what was said has changed; the exception quotes the text, which must not reach a log
            return self._begun_anew(token)
        self._said += text
        return text

    def _compared(self) -> str:
        """Decode everything and return what the last token left as it was: slower, but right for any tokenizer."""
        text = decode(self._tokenizer, self._tokens)
        if not text.startswith(self._said):
            return self._begun_anew(self._tokens[-1])
        settled = self._decoded if text.startswith(self._decoded) else self._said
        new, self._said, self._decoded = settled[len(self._said) :], settled, text.rstrip(INCOMPLETE)
        return new

    def _begun_anew(self, token: int) -> str:
        """Give up on what came before the last token, and on that too if it can't be read alone."""
        is_alone = len(self._tokens) == 1
        self._begin()
        return INCOMPLETE if is_alone else INCOMPLETE + self.push(token)


def decode(tokenizer: Any, tokens: Sequence[int]) -> str:
    """Return the text of the tokens, without special ones."""
    if tokenizer.is_fast:
        return str(tokenizer.backend_tokenizer.decode(list(tokens), skip_special_tokens=True))
    return str(tokenizer.decode(list(tokens), skip_special_tokens=True))


class StopMatcher:
    """Passes text on until a stop string is complete, holding back what may be the beginning of one.

    The stop string that is complete first ends the text, wherever the deltas were split.
    """

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = tuple(s for s in stops if s)
        self._held = ""

    def push(self, text: str) -> tuple[str, bool]:
        """Take more text; return what may be passed on, and whether a stop string was met.

        After that, push nothing more.
        """
        if not self._stops:
            return text, False
        text, self._held = self._held + text, ""
        if found := self._first_stop(text):
            return text[: found[1]], True
        kept = self._held_length(text)
        text, self._held = text[: len(text) - kept], text[len(text) - kept :]
        return text, False

    def flush(self) -> str:
        """Return what was held back, when no more text comes."""
        text, self._held = self._held, ""
        return text

    def _first_stop(self, text: str) -> tuple[int, int] | None:
        """Return end and start of the stop string that ends first; of two that end together, the longer."""
        starts = ((stop, text.find(stop)) for stop in self._stops)
        return min(((start + len(stop), start) for stop, start in starts if start >= 0), default=None)

    def _held_length(self, text: str) -> int:
        """Return the length of the longest end of the text that begins a stop string."""
        longest = min(len(text), max(len(s) for s in self._stops) - 1)
        return next(
            (n for n in range(longest, 0, -1) if any(s.startswith(text[len(text) - n :]) for s in self._stops)), 0
        )
