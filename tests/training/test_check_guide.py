"""How the guide is checked: by what the corpus says, on what it never trained on; the sealed set is in no corpus."""

from collections.abc import Iterable, Iterator

import pytest

from training.check_guide import CONVERSATIONS, OFF_GROUND, Judge, Verdict, development, forbidden_words, read_checks
from training.sealed.overlap import FEWEST_WORDS, Named, Overlap, overlaps, question_texts, turn_texts, words_of
from training.sealed.sets import read_guide
from training.talk_corpus import Talk, lines, read_talk
from training.talk_dialogue import Dialogue

MOST_COPIED = 0.07
MOST_MET = 0.12  # of the turns of conversations: what people tell and ask for is often told in the same words


@pytest.fixture(scope="module")
def talk() -> Talk:
    return read_talk()


@pytest.fixture(scope="module")
def judge(talk: Talk) -> Judge:
    return Judge(talk)


def test_only_the_topics_own_answer_is_right(talk: Talk, judge: Judge) -> None:
    answer = talk.topics["get-key"].answers[0]
    assert judge.verdict(answer, "get-key") is Verdict.RIGHT
    assert judge.verdict(answer, "use-key") is Verdict.WRONG
    assert judge.verdict(answer.rstrip("."), "get-key") is Verdict.WRONG
    assert judge.verdict(answer, OFF_GROUND) is Verdict.WRONG


def test_a_refusal_is_right_off_the_ground_and_declined_on_it(talk: Talk, judge: Judge) -> None:
    for refusal in (talk.unsure, talk.off_ground_answer(talk.kinds["maths"], 0)):
        assert judge.verdict(refusal, OFF_GROUND) is Verdict.RIGHT
        assert judge.verdict(refusal, "get-key") is Verdict.DECLINED


def test_every_held_out_question_belongs_to_a_topic(talk: Talk) -> None:
    assert read_checks().questions.keys() <= talk.topics.keys() | {OFF_GROUND}
    assert len(read_checks().asked()) >= 100


def test_every_held_out_conversation_can_be_played(talk: Talk) -> None:
    for script in read_checks().conversations:
        turns = Dialogue(talk).play(script, {"name": "Zbigniew"})
        assert any("Zbigniew" in answer for _, answer in turns)
    assert "zbigniew" in forbidden_words()


def test_the_development_set_has_questions_of_nearly_every_topic(talk: Talk) -> None:
    asked = {topic for _, topic in development()}
    assert OFF_GROUND in asked
    assert len(asked & talk.topics.keys()) > 0.9 * len(talk.topics)


def overlap(sealed: Iterator[Named], corpus: Iterable[str]) -> Overlap:
    """Return counts and ids, so that an assertion that fails shows no text; of the texts that are long enough."""
    enough = (each for each in sealed if len(words_of(each[1])) >= FEWEST_WORDS)
    (found,) = overlaps({"sealed": enough}, corpus)
    return found


def test_few_sealed_questions_stand_in_the_corpus(talk: Talk) -> None:
    """Two who know the same documentation ask the same now and then; the card has figures without these."""
    corpus = [line for entry in (*talk.topics.values(), *talk.kinds.values()) for line in lines(entry.ask)]
    found = overlap(question_texts(read_guide()), corpus)
    assert found.texts > 200
    assert len(found.copied) < MOST_COPIED * found.texts


def test_few_turns_of_the_development_conversations_stand_in_the_corpus(talk: Talk) -> None:
    entries = (*talk.topics.values(), *talk.kinds.values(), *talk.facts.values(), *talk.statements.statement)
    corpus = [line for entry in entries for line in lines(entry.ask)]
    conversations = len(read_guide(CONVERSATIONS).conversation)
    found = overlap(turn_texts(read_guide(CONVERSATIONS)), corpus)
    assert conversations >= 90
    assert found.texts > 300
    assert len(found.copied) < MOST_MET * found.texts
