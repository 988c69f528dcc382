"""Words that nobody ever wrote, so that copying is learnt and not a list. Pure functions of a `random.Random`."""

import random

_STARTS = (
    "B",
    "Br",
    "C",
    "Ch",
    "D",
    "Dr",
    "F",
    "Fl",
    "G",
    "Gr",
    "H",
    "J",
    "K",
    "Kr",
    "L",
    "M",
    "N",
    "P",
    "Pr",
    "Qu",
    "R",
    "S",
    "Sh",
    "St",
    "T",
    "Th",
    "Tr",
    "V",
    "W",
    "X",
    "Y",
    "Z",
    "A",
    "E",
    "I",
    "O",
    "U",
)
_MIDDLES = (
    "a",
    "e",
    "i",
    "o",
    "u",
    "ai",
    "ea",
    "ee",
    "io",
    "oo",
    "ar",
    "el",
    "in",
    "or",
    "un",
    "y",
    "ä",
    "é",
    "ö",
    "ü",
)
_ENDS = (
    "b",
    "d",
    "f",
    "g",
    "k",
    "l",
    "ll",
    "m",
    "n",
    "nd",
    "ns",
    "r",
    "rt",
    "s",
    "sh",
    "st",
    "t",
    "th",
    "tt",
    "v",
    "x",
    "z",
    "zk",
)

_LETTERS = "aaabcdeeefghiiijklmnooopqrstuuvwxyzáéèíöüšłç"
MERE_LETTERS = 0.25  # so that letters which seldom stand side by side are copied, too: "Zbigniew"


def made_up_word(rng: random.Random) -> str:
    """Return a word of one to three syllables, such as 'Drulen'; now and then mere letters, such as 'Bzigwo'."""
    if rng.random() < MERE_LETTERS:
        return "".join(rng.choices(_LETTERS, k=rng.randint(3, 9))).capitalize()
    syllables = rng.randint(1, 3)
    word = rng.choice(_STARTS) + rng.choice(_MIDDLES)
    for _ in range(syllables - 1):
        word += rng.choice(_ENDS)[:1] + rng.choice(_MIDDLES)
    return word + (rng.choice(_ENDS) if rng.random() < 0.6 else "")
