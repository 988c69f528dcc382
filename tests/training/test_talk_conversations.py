"""Conversations made from the broad corpus: each answer follows from what was said; kept names are not."""

import random
import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from training import talk_conversations
from training.talk_conversations import Storyteller
from training.talk_corpus import CORPUS, Talk, bare, lines, read_talk
from training.talk_dialogue import SLOT, Dialogue, recalling
from training.talk_holdout import split


@pytest.fixture(scope="module")
def talk() -> Talk:
    return read_talk()


@pytest.fixture
def dialogue(talk: Talk) -> Dialogue:
    return Dialogue(talk)


def test_a_fact_is_unknown_then_known_then_corrected(dialogue: Dialogue) -> None:
    assert dialogue.recall("name") == "I don't know your name: you haven't told me yet, or I missed it."
    assert dialogue.tell("name", "Ayşe").startswith("Nice to meet you, Ayşe!")
    assert dialogue.recall("name") == "Your name is Ayşe."
    assert dialogue.tell("name", "Noor", corrects=True) == "Thank you for telling me. You are Noor, then."
    assert dialogue.recall("name") == "Your name is Noor."


def test_facts_of_one_kind_about_different_things_are_different_facts(dialogue: Dialogue) -> None:
    dialogue.tell("pet", "Rex", "dog")
    assert dialogue.tell("pet", "Bella", "cat") == "Bella is a lovely name for a cat. I'll remember it."
    assert dialogue.recall("pet", "dog") == "Your dog is called Rex."
    assert dialogue.tell("pet", "Ida", "cat", corrects=True) == "Your cat is called Ida, then."
    assert dialogue.recall("pet", "hamster").startswith("I don't know about a hamster of yours")


def test_a_statement_comes_back_in_the_words_in_which_it_was_made(dialogue: Dialogue) -> None:
    assert dialogue.state() == "Noted. I'll remember that."
    assert dialogue.quote("we hav 9 hens") == 'You told me: "we hav 9 hens"'
    assert dialogue.quote(None) == "I don't know that: you haven't told me yet, or I missed it."


def test_jokes_follow_one_another_and_begin_again(talk: Talk, dialogue: Dialogue) -> None:
    jokes = talk.topics["joke"].answers
    told = [dialogue.ask("joke"), dialogue.more(), *(dialogue.ask("joke") for _ in jokes[2:])]
    assert tuple(told) == jokes
    assert dialogue.ask("joke") == jokes[0]


def test_more_is_said_once_and_then_there_is_no_more(talk: Talk, dialogue: Dialogue) -> None:
    assert dialogue.more() == talk.more.nothing_before
    dialogue.ask("get-key")
    assert dialogue.more() == talk.topics["get-key"].more
    assert dialogue.more() == talk.more.nothing_more
    dialogue.recall("name")
    assert dialogue.more() == talk.more.nothing_before


def test_what_is_off_its_ground_is_answered_in_other_words_each_time(talk: Talk, dialogue: Dialogue) -> None:
    said = [dialogue.off_ground("maths") for _ in range(3)]
    assert said == [talk.off_ground_answer(talk.kinds["maths"], nth) for nth in range(3)]
    assert len(set(said)) == 3


def test_a_follow_up_has_its_own_answer_or_that_of_its_topic(talk: Talk, dialogue: Dialogue) -> None:
    documentation = talk.topics["documentation"]
    assert dialogue.follow(documentation.follow[0]) == documentation.follow[0].answer
    see = talk.topics["get-key"].follow[0]
    assert dialogue.follow(see) == talk.topics[see.see].answers[0]
    assert dialogue.last is talk.topics[see.see]


def test_every_script_can_be_played(talk: Talk) -> None:
    values = {fact + number: f"<{fact}{number}>" for fact in talk.facts for number in ("", "2", "3")}
    assert len(talk.conversations) >= 40
    for script in talk.conversations:
        turns = Dialogue(talk).play(script.turns, values)
        assert len(turns) >= 3
        assert [answer for _, answer in turns if "@" in answer or "{" in answer] == [], script.id


def test_a_script_remembers_the_last_value(talk: Talk) -> None:
    script = "> I'm {name}\n< @name!\n> no, {name2}\n< @name~\n> and who am I?\n< @name="
    turns = Dialogue(talk).play(script, {"name": "Rex", "name2": "Ida"})
    assert [answer for _, answer in turns][1:] == ["Thank you for telling me. You are Ida, then.", "Your name is Ida."]


@pytest.mark.parametrize("script", ["> hi", "< @hello\n> hi", "> hi\n@hello"])
def test_a_script_whose_lines_do_not_alternate_is_refused(dialogue: Dialogue, script: str) -> None:
    with pytest.raises(ValueError, match=r"alternate|begins with '<'"):
        dialogue.play(script, {})


def test_no_slot_stays_open_and_no_kept_name_is_told(talk: Talk) -> None:
    storyteller = Storyteller(talk, random.Random(7), frozenset({"anna"}))
    for _ in range(1500):
        turns = storyteller.conversation(6)
        assert [text for turn in turns for text in turn if SLOT.search(text) or "@get" in text] == []
        words = {word for value in storyteller.dialogue.told.values() for word in value.casefold().split()}
        assert words & storyteller.forbidden == set()
    assert {"anna", "bartosz"} <= storyteller.forbidden


def test_everything_in_the_corpus_is_said_at_some_time(talk: Talk) -> None:
    silent = {topic.answers[0] for topic in talk.topics.values()} | {talk.statements.acknowledge}
    silent |= {fact.unknown for fact in talk.facts.values() if not fact.things}
    silent |= {topic.more for topic in talk.topics.values() if topic.more}
    silent |= {follow.answer for topic in talk.topics.values() for follow in topic.follow if follow.answer}
    silent |= {talk.off_ground_answer(kind, 0) for kind in talk.kinds.values()}
    storyteller = Storyteller(talk, random.Random(8))
    for _ in range(60_000):
        silent -= {answer for _, answer in storyteller.conversation(6)}
        if not silent:
            break
    assert silent == set()


def test_anything_may_follow_an_answer_about_a_topic(talk: Talk) -> None:
    storyteller = Storyteller(talk, random.Random(12))
    after = set()
    for _ in range(300):
        storyteller.conversation(1)
        storyteller.dialogue.ask("get-key")
        _, answer = storyteller._turn()
        after.add(answer.split(" ")[0])
    assert {"Nice", "Noted.", "I"} <= after


def test_an_introduction_is_about_facts_only(talk: Talk) -> None:
    storyteller = Storyteller(talk, random.Random(9))
    topics = {answer for topic in talk.topics.values() for answer in topic.answers}
    for _ in range(300):
        turns = storyteller.introduction(4)
        assert len(turns) == 4
        assert storyteller.dialogue.told or storyteller.memory.stated
        assert [a for _, a in turns[1:] if a in topics] == []


def test_no_question_is_a_phrasing_of_another_topic(talk: Talk) -> None:
    """Patterns of one topic meet phrasings of another now and then: "amuse me" is a wish for a joke."""
    storyteller = Storyteller(talk, random.Random(11))
    bored = talk.topics["bored"]
    asked = {storyteller._worded(bored) for _ in range(3000)}
    assert any(storyteller.owners.get(bare(text), "bored") != "bored" for text in asked)
    texts = {bare(storyteller._question(bored)) for _ in range(3000)}
    assert {storyteller.owners[text] for text in texts & storyteller.owners.keys()} == {"bored"}


def test_the_same_seed_makes_the_same_conversations(talk: Talk) -> None:
    first, second = (Storyteller(talk, random.Random(3)) for _ in range(2))
    assert [first.conversation(5) for _ in range(50)] == [second.conversation(5) for _ in range(50)]


def test_scripts_are_played_with_made_up_values(talk: Talk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(talk_conversations, "SCRIPTED", 1.0)
    storyteller = Storyteller(talk, random.Random(4))
    lengths = {len(storyteller.conversation(6)) for _ in range(200)}
    assert lengths == {len(script.turns.strip().splitlines()) // 2 for script in talk.conversations}


def test_a_question_kept_out_of_training_is_never_made(talk: Talk) -> None:
    topic, free = talk.topics["get-key"], Storyteller(talk, random.Random(2))
    asked = Counter(bare(free._question(topic)) for _ in range(3000))
    apart = frozenset(text for text, _ in asked.most_common(50))
    bound = Storyteller(talk, random.Random(2), held_out=apart)
    assert {bare(bound._question(topic)) for _ in range(3000)} & apart == set()
    assert {bare(bound._own(topic)) for _ in range(3000)} & apart == set()


def test_no_conversation_has_a_phrasing_kept_out_of_training(talk: Talk) -> None:
    trained, held_out = split(talk)
    tellers = [Storyteller(trained, random.Random(6), held_out=each) for each in (frozenset[str](), held_out.texts())]
    asked = [{bare(text) for _ in range(2000) for text, _ in teller.conversation(6)} for teller in tellers]
    assert asked[0] & held_out.texts() != set()
    assert asked[1] & held_out.texts() == set()


def test_the_plainest_phrasing_is_asked_most(talk: Talk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(talk_conversations, "as_typed", lambda text, _: text)
    monkeypatch.setattr(talk_conversations, "PLAINEST", 0.1)
    storyteller, topic = Storyteller(talk, random.Random(5)), talk.topics["what-is-aister"]
    monkeypatch.setattr(storyteller.rephrasing, "surrounded", lambda text: text)
    asked = Counter(storyteller._question(topic) for _ in range(2000))
    (plainest, times), (_, next_times) = asked.most_common(2)
    assert plainest == "What is Aister?"
    assert times > 100
    assert times > 3 * next_times


def test_texts_of_mere_marks_are_asked_as_they_are_written(talk: Talk) -> None:
    unclear = talk.topics["unclear-answer"]
    marks = {line for line in lines(unclear.ask) if not re.search(r"\w", line)}
    assert len(marks) > 1
    storyteller = Storyteller(talk, random.Random(1))
    asked = {storyteller._question(unclear) for _ in range(6000)}
    assert marks <= asked
    assert "" not in asked


def test_words_are_made_unclear_before_they_are_mistyped(talk: Talk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(talk_conversations, "as_typed", lambda text, _: f"{text} (typed)")
    storyteller = Storyteller(talk, random.Random(1))
    monkeypatch.setattr(storyteller.rephrasing, "unclear", lambda text: f"unclear: {text}")
    monkeypatch.setattr(storyteller.rephrasing, "surrounded", lambda text: f"hi, {text}")
    question, answer = storyteller._unclear()
    assert question.startswith("hi, unclear: ")
    assert question.count("(typed)") == 1
    assert question.endswith(" (typed)")
    assert answer == talk.unsure


def told_and_asked(talk: Talk, *, name_known: bool) -> Iterator[tuple[Storyteller, str, str]]:
    """Yield a storyteller that told and asked in one message, with it and its answer; each time it has begun anew."""
    storyteller = Storyteller(talk, random.Random(1))
    for _ in range(300):
        storyteller._begin()
        if name_known:
            storyteller.memory.tell_name()
        yield storyteller, *storyteller._tell_and_ask()


def test_what_is_told_with_a_question_is_quoted_with_it(talk: Talk) -> None:
    quoted = 0
    for storyteller, text, _ in told_and_asked(talk, name_known=False):
        assert storyteller.memory.messages == [text]
        for told in storyteller.memory.stated:
            question, answer = storyteller.memory._ask_back(told)
            quoted += answer == f'You told me: "{text}"'
            assert answer in (f'You told me: "{text}"', storyteller.talk.statements.unknown), question
    assert quoted > 30


def test_who_tells_a_name_with_a_question_is_greeted(talk: Talk) -> None:
    greeted = 0
    for storyteller, _, answer in told_and_asked(talk, name_known=False):
        name = storyteller.dialogue.told.get("name")
        greeted += bool(name)
        assert answer.startswith(f"Nice to meet you, {name}! " if name else "Noted. ")
    assert greeted > 150


def test_who_corrects_a_name_is_not_met_again(talk: Talk) -> None:
    for storyteller, _, answer in told_and_asked(talk, name_known=True):
        name = storyteller.dialogue.told["name"]
        assert answer.startswith((f"Thank you for telling me. You are {name}, then. ", "Noted. ")), answer


def test_answers_that_give_back_what_was_told_are_known_from_those_that_acknowledge(talk: Talk) -> None:
    recalls = recalling(talk)
    for fact in talk.facts.values():
        dialogue, thing = Dialogue(talk), "first dog" if fact.things else ""
        for answer in (
            dialogue.recall(fact.id, thing),
            dialogue.tell(fact.id, "Rex", thing),
            dialogue.tell(fact.id, "Rex, the third", thing, corrects=True),
        ):
            assert not recalls(answer), answer
        assert recalls(dialogue.recall(fact.id, thing))
    assert recalls(dialogue.quote("we hav 9 hens, then.\nYour"))
    assert not recalls(dialogue.quote(None))


def test_only_the_fact_of_the_last_turn_was_told_just_now(dialogue: Dialogue) -> None:
    later: list[Callable[[], str]] = [dialogue.more, dialogue.state, dialogue.unsure]
    later += [lambda: dialogue.ask("get-key"), lambda: dialogue.recall("name"), lambda: dialogue.off_ground("maths")]
    for turn in later:
        dialogue.tell("pet", "Rex", "dog")
        assert dialogue.latest == "pet dog"
        turn()
        assert dialogue.latest == ""


def test_a_corpus_without_an_answer_to_what_is_unclear_is_refused(tmp_path: Path) -> None:
    shutil.copytree(CORPUS, tmp_path / "talk")
    path = tmp_path / "talk" / "off_ground" / "answers.toml"
    path.write_text(re.sub(r"(?m)^unsure = .*$", "", path.read_text(encoding="utf-8")), encoding="utf-8")
    with pytest.raises(ValueError, match="no file of off_ground has 'unsure'"):
        read_talk(tmp_path / "talk")
