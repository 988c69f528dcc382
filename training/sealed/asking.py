"""Puts a set of questions and conversations to the guide, and grades what it answers."""

import time

from training.sealed.answering import Guide
from training.sealed.grading import grade, points_to_a_bigger_model
from training.sealed.report import Graded
from training.sealed.sets import Expectation, GuideSet


def ask_guide(guide: Guide, asked: GuideSet) -> list[Graded]:
    """Return the graded answers to all questions, then those to all turns of the conversations."""
    started_s = time.monotonic()
    answers = guide.converse([[question.text] for question in asked.question])
    graded = [
        judge("questions", question.id, question, answer)
        for question, (answer,) in zip(asked.question, answers, strict=True)
    ]
    told = guide.converse([[turn.text for turn in each.turn] for each in asked.conversation])
    for each, heard in zip(asked.conversation, told, strict=True):
        for place, (turn, answer) in enumerate(zip(each.turn, heard, strict=True), start=1):
            graded.append(judge("turns", f"{each.id}.{place}", turn, answer, conversation=each.id))
    print(f"Guide: {len(graded)} answers in {time.monotonic() - started_s:.0f} s.")
    return graded


def judge(group: str, name: str, expected: Expectation, answer: str, *, conversation: str | None = None) -> Graded:
    """Return an answer with its verdict."""
    return Graded(
        group=group,
        id=name,
        ground=expected.ground,
        text=expected.text,
        answer=answer,
        verdict=grade(answer, expected),
        conversation=conversation,
        points_to_a_bigger_model=points_to_a_bigger_model(answer),
    )
