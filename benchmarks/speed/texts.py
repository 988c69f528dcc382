"""Prompts of unlike text: the same for both sides of a run, other ones in every run."""

import random
import string


def prompts(number: int, count: int, tokens: int, vocabulary: int) -> list[list[int]]:
    """Return the token ids of run `number`: `count` prompts of `tokens` tokens."""
    rng = random.Random(number)
    return [[rng.randrange(vocabulary) for _ in range(tokens)] for _ in range(count)]


def texts(number: int, count: int, characters: int) -> list[str]:
    """Return the texts of run `number`; the tokenizer of `shapes` makes one token of each character."""
    rng = random.Random(number)
    return ["".join(rng.choices(string.ascii_letters, k=characters)) for _ in range(count)]
