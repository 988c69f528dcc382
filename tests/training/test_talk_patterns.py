"""Patterns stand for texts as people write them; what does not follow their format is refused with its line."""

import random
from pathlib import Path

import pytest

from training.talk_corpus import Talk, lines, read_talk
from training.talk_patterns import Choice, parse, read_file, read_patterns

CLASSES = {"a": ["a", "the", ""], "key": ["key", "api key"]}
FEWEST_TEXTS = 12


@pytest.fixture(scope="module")
def talk() -> Talk:
    return read_talk()


def texts(pattern: Choice, draws: int = 400) -> set[str]:
    rng = random.Random(1)
    return {pattern.text(rng) for _ in range(draws)}


def test_a_pattern_stands_for_all_its_alternatives() -> None:
    found = texts(parse("(get|make (it|them)) <a> <key>?", CLASSES))
    assert len(found) == 3 * 3 * 2
    assert {"get key?", "make it a key?", "make them the api key?"} <= found


@pytest.mark.parametrize(
    ("pattern", "message"),
    [("(a|b", r"'\(' is not closed"), ("a|b)", r"'\)' closes nothing"), ("<b>", "no class 'b'"), ("a < b", "begins")],
)
def test_a_pattern_that_does_not_follow_the_format_is_refused(pattern: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse(pattern, CLASSES)


def test_patterns_of_one_id_may_stand_in_two_files(tmp_path: Path) -> None:
    (tmp_path / "classes.txt").write_text("# words\nkey = key | api key\n", encoding="utf-8")
    (tmp_path / "a.txt").write_text("# a\nget-key\n  get <key>\n", encoding="utf-8")
    (tmp_path / "b.txt").write_text("get-key\n  (new) key\n\n", encoding="utf-8")
    assert [texts(each) for each in read_patterns(tmp_path)["get-key"]] == [{"get key", "get api key"}, {"new key"}]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("# a\nget-key\n  get <key>\n  (get\n", r"a\.txt, line 4: '\(get': '\(' is not closed"),
        ("\n  get a key\nget-key\n", r"a\.txt, line 2: a pattern stands below the id"),
    ],
)
def test_a_pattern_out_of_format_is_refused_with_its_file_and_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "a.txt").write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        read_file(tmp_path / "a.txt", CLASSES)


def test_a_class_without_words_is_refused_with_its_file_and_line(tmp_path: Path) -> None:
    (tmp_path / "classes.txt").write_text("a = a | the\nkey | api key\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"classes\.txt, line 2: "):
        read_patterns(tmp_path)


@pytest.mark.parametrize("indent", [" ", "  ", "\t", "   "])
def test_a_pattern_is_whole_however_far_it_is_indented(tmp_path: Path, indent: str) -> None:
    (tmp_path / "a.txt").write_text(f"get-key\n{indent}get a key\n   \n", encoding="utf-8")
    assert [texts(each) for each in read_file(tmp_path / "a.txt", {})["get-key"]] == [{"get a key"}]


def test_each_topic_has_patterns_for_many_texts(talk: Talk) -> None:
    rng = random.Random(2)
    counts = {name: len({rng.choice(talk.patterns[name]).text(rng) for _ in range(300)}) for name in talk.topics}
    assert {name: count for name, count in counts.items() if count < FEWEST_TEXTS} == {}


def test_patterns_make_no_text_without_words_and_leave_no_marks(talk: Talk) -> None:
    rng = random.Random(3)
    made = [each.text(rng) for patterns in talk.patterns.values() for each in patterns for _ in range(3)]
    assert [text for text in made if not text or set(text) & set("<>|()[]") or "  " in text] == []


def test_a_pattern_of_a_topic_seldom_makes_a_phrasing_of_another(talk: Talk) -> None:
    owners = {line.casefold(): topic.id for topic in talk.topics.values() for line in lines(topic.ask)}
    rng = random.Random(4)
    made = [(name, rng.choice(patterns).text(rng)) for name, patterns in talk.patterns.items() for _ in range(60)]
    astray = [(name, text) for name, text in made if owners.get(text.casefold(), name) != name]
    assert len(astray) < len(made) / 250, astray
