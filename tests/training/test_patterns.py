"""Patterns stand for the texts they say, and typing noise leaves slots alone."""

import random

from training.noise import as_typed
from training.patterns import choose, expand, fill, slots


def test_a_pattern_expands_to_every_combination_of_its_choices() -> None:
    assert expand("[Hi|Hello][| there]!") == ["Hi!", "Hi there!", "Hello!", "Hello there!"]


def test_a_pattern_without_choices_expands_to_itself() -> None:
    assert expand("Who was {person}?") == ["Who was {person}?"]


def test_a_chosen_text_is_one_of_the_expanded_ones() -> None:
    rng = random.Random(1)
    pattern = "[a|b] [c|d|]"
    assert {choose(pattern, rng) for _ in range(200)} == set(expand(pattern))


def test_a_known_slot_is_filled_and_an_unknown_one_stays() -> None:
    assert slots("{n} and {other}") == ["n", "other"]
    assert fill("{n} and {other}", {"n": ["7"]}, random.Random(1)) == "7 and {other}"


def test_typing_noise_changes_texts_but_never_a_slot() -> None:
    rng = random.Random(1)
    typed = {as_typed("Hello there, my name is {value}.", rng) for _ in range(500)}
    assert len(typed) > 50
    assert all("{value}" in text for text in typed)
