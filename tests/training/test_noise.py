"""Typing noise leaves slots alone."""

import random

from training.noise import as_typed


def test_typing_noise_changes_texts_but_never_a_slot() -> None:
    rng = random.Random(1)
    typed = {as_typed("Hello there, my name is {value}.", rng) for _ in range(500)}
    assert len(typed) > 50
    assert all("{value}" in text for text in typed)
