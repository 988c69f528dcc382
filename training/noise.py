"""How people really type: no capitals, no full stop, a slip of the finger, a "please".

Pure functions; `random.Random` is passed in. A slot `{...}` is never changed, so that it can be filled afterwards.
"""

import random
import re
import string

_PROTECTED = re.compile(r"(\{\w+\})")
_OPENINGS = (
    *("hi, ", "Hello, ", "Hey! ", "ok, ", "Please tell me: ", "so "),
    *("and ", "Sorry, ", "Now, ", "Tell me, ", "One question: "),
)
_CLOSINGS = (" please", " thanks", ", please?", " Thank you!", " then", "??", "!", " ...")

LOWER, NO_STOP, UPPER, TYPO, OPENING, CLOSING = 0.3, 0.35, 0.02, 0.12, 0.07, 0.07


def _slip(word: str, rng: random.Random) -> str:
    """Drop, double, swap or replace one letter of `word`."""
    at = rng.randrange(len(word) - 1)
    kind = rng.randrange(4)
    if kind == 0:
        return word[:at] + word[at + 1 :]
    if kind == 1:
        return word[:at] + word[at] + word[at:]
    if kind == 2:
        return word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    return word[:at] + rng.choice(string.ascii_lowercase) + word[at + 1 :]


def _typo(text: str, rng: random.Random) -> str:
    words = text.split(" ")
    long_words = [i for i, word in enumerate(words) if len(word) > 3 and "{" not in word]
    if long_words:
        chosen = rng.choice(long_words)
        words[chosen] = _slip(words[chosen], rng)
    return " ".join(words)


def _map_unprotected(text: str, change: str) -> str:
    pieces = _PROTECTED.split(text)
    return "".join(piece if i % 2 else getattr(piece, change)() for i, piece in enumerate(pieces))


def as_typed(text: str, rng: random.Random) -> str:
    """Return `text` as somebody may type it."""
    if rng.random() < NO_STOP:
        text = text.rstrip(".?!")
    if rng.random() < OPENING and len(text) > 12:
        text = rng.choice(_OPENINGS) + text[:1].lower() + text[1:]
    if rng.random() < CLOSING and len(text) > 12:
        text = text.rstrip(".?!") + rng.choice(_CLOSINGS)
    if rng.random() < LOWER:
        text = _map_unprotected(text, "lower")
    elif rng.random() < UPPER:
        text = _map_unprotected(text, "upper")
    if rng.random() < TYPO:
        text = _typo(text, rng)
    return text
