"""The grader of the guide's answers: what is right, what is declined, what is confidently wrong."""

from typing import Any

import pytest

from training.sealed.grading import Verdict, contains, declines, grade, normalise, points_to_a_bigger_model
from training.sealed.sets import Expectation


def about(**fields: Any) -> Expectation:
    return Expectation(**{"ground": "about", "text": "?", "any": ("keys create", "admin"), **fields})


OFF = Expectation(ground="off", text="What is the capital of Peru?")

REFUSALS = [
    "I don't know that.",
    "I really don't know.",
    "Sorry, I can\u2019t help with cooking.",
    "That's outside of what I know.",
    "I'm not able to look things up.",
    "I only know Aister.",
    "I can only talk about Aister.",
    "All I know is Aister.",
    "I have no idea, sorry.",
    "That is not something I can answer.",
    "I was not made for that.",
    "That lies beyond my little world.",
    "I didn't understand that.",
    "I know Aister and little else.",
    "I'm a small demonstration model for Aister.",
    "I am just the guide to Aister.",
]

PLAIN_ANSWERS = [
    "Make one in the admin, or with `manage.py keys create`.",
    "A key can't be shown again: only its hash is stored.",
    "Text is not stored.",
    "Lima.",
    "The key is not known: make a new one.",
    "Aister only answers for the host of AISTER_URL.",
    "Nice to meet you, Marta!",
    "You don't know your key any more? Make a new one.",
]


@pytest.mark.parametrize("answer", REFUSALS)
def test_who_says_that_it_does_not_know_declines(answer: str) -> None:
    assert declines(answer)


@pytest.mark.parametrize("answer", PLAIN_ANSWERS)
def test_an_answer_that_says_what_can_not_be_done_does_not_decline(answer: str) -> None:
    assert not declines(answer)


def test_all_of_must_one_of_any_and_none_of_must_not_make_an_answer_right() -> None:
    expected = about(must=("mit", r"\bfree\b"), any=("licence", "license"), must_not=("gpl",))
    assert contains("Free, under the MIT licence.", expected)
    assert not contains("Under the MIT licence.", expected)
    assert not contains("Free, under MIT terms.", expected)
    assert not contains("Free, under the MIT licence, not the GPL.", expected)


def test_without_any_must_is_enough() -> None:
    assert contains("MIT", about(must=("mit",), any=()))


def test_case_quotes_markdown_and_line_breaks_do_not_matter() -> None:
    assert normalise("Run **`Keys\n create`**, it\u2019s\u00a0easy") == "run keys create, it's easy"
    assert contains("`manage.py keys\ncreate`", about())


def test_an_answer_with_the_facts_is_right() -> None:
    assert grade("In the admin.", about()) is Verdict.RIGHT


def test_an_answer_without_the_facts_is_confidently_wrong() -> None:
    assert grade("Ask your bank.", about()) is Verdict.WRONG
    assert grade("", about()) is Verdict.WRONG


def test_declining_on_its_ground_is_never_right_whatever_words_it_holds() -> None:
    assert grade("I don't know that.", about()) is Verdict.DECLINED
    assert grade("I can only talk about Aister, such as keys and the admin.", about()) is Verdict.DECLINED
    assert grade("I'm a small model that knows Aister: ask me about the admin.", about()) is Verdict.DECLINED


def test_a_question_about_the_model_may_be_answered_by_what_it_can_not_do() -> None:
    expected = about(any=("small",), about_itself=True)
    assert grade("I'm a small model, I can only talk about Aister.", expected) is Verdict.RIGHT
    assert grade("I don't know.", expected) is Verdict.DECLINED


def test_a_greeting_may_introduce_the_model_but_not_refuse() -> None:
    greeting = Expectation(ground="small_talk", text="hi", any=("hello",))
    assert grade("Hello! I'm the guide to Aister.", greeting) is Verdict.RIGHT
    assert grade("Hello! I don't know that.", greeting) is Verdict.DECLINED
    assert grade("I'm the guide to Aister.", greeting) is Verdict.DECLINED
    assert grade("Set PORT to 9000.", greeting) is Verdict.WRONG


def test_what_was_told_has_to_be_named() -> None:
    name = Expectation(ground="memory", text="What is my name?", must=(r"\bþórdís\b",))
    assert grade("Your name is Þórdís.", name) is Verdict.RIGHT
    assert grade("I only know that you are Þórdís.", name) is Verdict.RIGHT
    assert grade("Your name is Þórdísdís.", name) is Verdict.WRONG
    assert grade("I don't know your name.", name) is Verdict.DECLINED


def test_a_name_may_come_in_another_composition_of_its_letters() -> None:
    assert grade("You are O\u0301scar.", Expectation(ground="memory", text="?", must=("óscar",))) is Verdict.RIGHT


def test_off_its_ground_only_declining_is_right_and_has_to_name_what_it_can_talk_about() -> None:
    assert grade("I don't know that. I can talk about Aister.", OFF) is Verdict.RIGHT
    assert grade("I don't know that.", OFF) is Verdict.DECLINED
    assert grade("Lima.", OFF) is Verdict.WRONG
    assert grade("Aister is a server.", OFF) is Verdict.WRONG


def test_declining_in_forbidden_words_is_wrong() -> None:
    off = Expectation(ground="off", text="?", must_not=("lima",))
    assert grade("I only know Aister, but it is Lima.", off) is Verdict.WRONG


@pytest.mark.parametrize("answer", ["Set AISTER_CHAT_MODEL.", "Use a bigger model.", "A real chat model knows more."])
def test_an_answer_may_point_to_a_bigger_model(answer: str) -> None:
    assert points_to_a_bigger_model(answer)
    assert not points_to_a_bigger_model("I am a small model.")
