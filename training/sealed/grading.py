"""Grades one answer of the guide: right, wrong, or declined. Pure functions, any thread.

An answer is declined when it says that the model does not know, or what it is instead of what was asked. What is
neither right nor declined is confidently wrong. Patterns can't read: they let an answer pass that names the right
things and says something false of them, so a look at the answers has to confirm the figures.
"""

import re
import unicodedata
from enum import StrEnum

from training.sealed.sets import Expectation


class Verdict(StrEnum):
    """What became of an answer. `wrong` is confidently wrong: it was not declined."""

    RIGHT = "right"
    DECLINED = "declined"
    WRONG = "wrong"


_PLAIN = str.maketrans({"’": "'", "‘": "'", "“": '"', "”": '"', "\u00a0": " ", "`": "", "*": ""})  # noqa: RUF001

# Written without having seen how the model declines, so it knows many ways to.
_REFUSALS = tuple(
    re.compile(pattern)
    for pattern in (
        r"\bi (?:(?:really|simply|just|still) )?(?:don't|do not|can't|can ?not|couldn't|could not|never) (?:really )?"
        r"(?:know|answer|help|say|tell|talk|speak|judge|look|learn|do (?:that|this|it)|have (?:an|any) idea)",
        r"\bi(?:'m| am) (?:not (?:able|sure|made|trained|built|the right|for)|unable|no (?:help|expert)|lost)",
        r"\bi (?:can |could )?(?:only|just) (?:really )?(?:know|talk|speak|chat|answer|cover|help|do|understand)",
        r"\b(?:know|knows|talk|talks|answer|answers) (?:only|nothing but|little but)\b",
        r"\ball (?:that )?i (?:know|can)\b",
        r"\bi have (?:no (?:idea|way|answer|knowledge)|not learn|never learn)",
        r"\bi (?:don't|do not|didn't|did not|can't|cannot) (?:quite )?(?:understand|follow)\b",
        r"\bi know \w+ and (?:little|nothing|not much) else\b",
        r"\bi (?:haven't learn|wasn't|was not|know nothing|know (?:very |too )?little)\b",
        r"\b(?:outside|beyond|out of|off) (?:of )?(?:my|what i)\b",
        r"\b(?:no idea|over my head|more than i (?:know|can)|too (?:small|little|simple) (?:for|to))\b",
        r"(?:\bnot|n't) (?:something|one of the things|a (?:thing|topic|subject|question)) (?:that |for )?(?:i|me)\b",
    )
)
_INTRODUCTION = re.compile(r"\bi(?:'m| am)\b[^.!?]{0,60}\b(?:small|little|tiny|demonstration|demo|guide)\b")


def normalise(text: str) -> str:
    """Return the text as patterns see it: lower case, plain quotes, single spaces, no Markdown."""
    return " ".join(unicodedata.normalize("NFC", text).translate(_PLAIN).lower().split())


def refuses(answer: str) -> bool:
    """Say whether an answer says that the model does not know, or can't."""
    text = normalise(answer)
    return any(pattern.search(text) for pattern in _REFUSALS)


def declines(answer: str) -> bool:
    """Say whether an answer refuses, or introduces the model instead."""
    text = normalise(answer)
    return refuses(answer) or ("aister" in text and bool(_INTRODUCTION.search(text)))


def contains(answer: str, expected: Expectation) -> bool:
    """Say whether an answer holds all of `must`, one of `any` and none of `must_not`."""
    text = normalise(answer)
    return (
        all(re.search(pattern, text) for pattern in expected.must)
        and (not expected.any or any(re.search(pattern, text) for pattern in expected.any))
        and not any(re.search(pattern, text) for pattern in expected.must_not)
    )


def grade(answer: str, expected: Expectation) -> Verdict:
    """Return the verdict on an answer.

    Off its ground an answer is right that declines and names Aister, which it can talk about. On its ground declining
    is never right, with two exceptions: a question about the model itself or about what was said before may be refused
    in a right answer, and a greeting may introduce the model.
    """
    is_declined = declines(answer)
    if expected.ground == "off":
        if not is_declined or not contains(answer, expected):
            return Verdict.WRONG
        return Verdict.RIGHT if "aister" in normalise(answer) else Verdict.DECLINED
    if contains(answer, expected) and not _passes_over(answer, expected):
        return Verdict.RIGHT
    return Verdict.DECLINED if is_declined else Verdict.WRONG


def _passes_over(answer: str, expected: Expectation) -> bool:
    """Say whether an answer declines what it was asked, whatever words it holds."""
    if expected.about_itself or expected.ground == "memory":
        return False
    return refuses(answer) if expected.ground == "small_talk" else declines(answer)


def points_to_a_bigger_model(answer: str) -> bool:
    """Say whether an answer tells how to get a model that can do more."""
    return bool(
        re.search(r"aister_chat_model|\b(?:bigger|larger|real|other|another|better) (?:chat )?model", normalise(answer))
    )
