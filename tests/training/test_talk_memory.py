"""What is told comes back: each answer follows from what the person wrote before, in the same conversation."""

import random
import re

import pytest

from training.talk_corpus import STATEMENT, Talk, read_talk
from training.talk_dialogue import SLOT, Dialogue, Turn
from training.talk_memory import Memory, Told, frequent_words

TURNS = 12


@pytest.fixture(scope="module")
def talk() -> Talk:
    return read_talk()


def told(talk: Talk, seed: int) -> tuple[Memory, list[Turn]]:
    """Return a memory and the turns that filled it: tellings and questions in turn."""
    rng = random.Random(seed)
    memory = Memory(talk, rng, Dialogue(talk), frozenset({"anna"}), frequent_words(talk))
    return memory, [memory.recall() if turn % 2 else memory.tell() for turn in range(TURNS)]


def test_a_quotation_stands_in_an_earlier_message_letter_by_letter(talk: Talk) -> None:
    quoted = 0
    for seed in range(200):
        _, turns = told(talk, seed)
        for place, (_, answer) in enumerate(turns):
            if answer.startswith("You told me: "):
                quoted += 1
                assert answer.removeprefix("You told me: ").strip('"') in {text.strip('"') for text, _ in turns[:place]}
    assert quoted > 100


def test_what_is_known_of_a_fact_stands_in_an_earlier_message(talk: Talk) -> None:
    known = 0
    for seed in range(200):
        _, turns = told(talk, seed)
        for place, (_, answer) in enumerate(turns):
            if found := re.fullmatch(r"Your (?:name|pet|number|hobby) is (.+)\.", answer):
                known += 1
                assert any(found[1] in text for text, _ in turns[:place]), answer
    assert known > 100


def test_nothing_is_known_of_what_was_never_told(talk: Talk) -> None:
    for seed in range(50):
        memory = Memory(talk, random.Random(seed), Dialogue(talk), frozenset(), frequent_words(talk))
        assert memory.recall()[1].startswith("I don't know ")


def test_no_slot_stays_open_and_no_forbidden_word_is_told(talk: Talk) -> None:
    for seed in range(300):
        memory, turns = told(talk, seed)
        assert [text for turn in turns for text in turn if SLOT.search(text)] == []
        assert {word for value in memory.dialogue.told.values() for word in value.casefold().split()} & {
            "anna"
        } == set()


def test_half_of_the_values_are_in_no_list(talk: Talk) -> None:
    memory = Memory(talk, random.Random(1), Dialogue(talk), frozenset(), frequent_words(talk))
    name = talk.facts["name"]
    values = [memory.value(name) for _ in range(600)]
    listed = {value.casefold() for value in talk.values["names"]}
    assert 0.4 < sum(value.casefold() not in listed for value in values) / len(values) < 0.6


def test_figures_are_varied_and_what_is_around_them_stays(talk: Talk) -> None:
    memory = Memory(talk, random.Random(1), Dialogue(talk), frozenset(), frequent_words(talk))
    assert re.fullmatch(r"\d\d euros", memory._varied("40 euros", talk.facts["amount"]))


def test_a_statement_made_from_a_pattern_is_asked_for_by_one_of_its_words(
    talk: Talk, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, part in (("MADE", 1.0), ("STATED", 1.0), ("TOGETHER", 0.0), ("KNOWN", 1.0)):
        monkeypatch.setattr(f"training.talk_memory.{name}", part)
    for seed in range(100):
        memory = Memory(talk, random.Random(seed), Dialogue(talk), frozenset(), frequent_words(talk))
        text, _ = memory.tell()
        question, answer = memory.recall()
        assert answer == talk.statements.answer.replace("{text}", text)
        assert set(re.findall(r"\w+", text.casefold())) & set(re.findall(r"\w+", question.casefold())), question


def test_statements_made_from_patterns_are_no_questions(talk: Talk) -> None:
    rng = random.Random(1)
    texts = [pattern.text(rng) for pattern in talk.patterns[STATEMENT] for _ in range(20)]
    assert [text for text in texts if text.endswith("?") or text.startswith(("how ", "what ", "why ", "can "))] == []


def fresh(talk: Talk, seed: int) -> Memory:
    return Memory(talk, random.Random(seed), Dialogue(talk), forbidden=frozenset(), frequent=frozenset())


def test_several_facts_are_acknowledged_by_their_number_and_none_is_told_twice(
    talk: Talk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.talk_memory.STATED", 0.0)
    monkeypatch.setattr("training.talk_memory.NAME", 0.4)
    answers = set()
    for seed in range(600):
        memory = fresh(talk, seed)
        _, answer = memory._tell_several()
        known = memory.dialogue.told
        numbered = {2: "Both are noted. I'll remember them.", 3: "All three are noted. I'll remember them."}
        named = f"Nice to meet you, {known.get('name')}! I'll remember that."
        assert answer == (named if "name" in known else numbered[len(known)])
        answers.add(answer.split(" ")[0])
    assert answers == {"Nice", "Both", "All"}


def test_statements_told_with_facts_are_acknowledged_as_statements(talk: Talk) -> None:
    for seed in range(200):
        memory = fresh(talk, seed)
        _, answer = memory._tell_several()
        if memory.stated and "name" not in memory.dialogue.told:
            assert answer == talk.statements.acknowledge


def test_only_what_was_told_just_now_is_corrected_without_being_named(talk: Talk) -> None:
    memory = fresh(talk, 1)
    name = talk.facts["name"]
    memory._tell_this(name, "")
    assert {"{old}" in memory._correction("name") for _ in range(200)} == {True, False}
    memory.recall()
    assert {"{old}" in memory._correction("name") for _ in range(200)} == {True}


def test_a_statement_is_not_asked_for_by_a_word_that_stands_in_a_message_with_a_fact(talk: Talk) -> None:
    memory = fresh(talk, 1)
    memory.messages = ["we sold the zebra and the quagga", "my zebra is called Rex"]
    told = Told(talk.statements.statement[0], memory.messages[0], 0, {})
    assert "quagga" in memory._telling_words(told)
    assert "zebra" not in memory._telling_words(told)


def test_each_message_that_tells_is_kept(talk: Talk) -> None:
    memory, turns = told(talk, 3)
    assert memory.messages == [text for text, _ in turns[0::2]]
