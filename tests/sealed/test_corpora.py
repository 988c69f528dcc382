"""What the sealed sets are compared with: every kind of text that trains, patterns and frames by a fixed sample."""

from collections import Counter
from pathlib import Path

import pytest

from training.phrases_corpus import LANGUAGES, Phrases, read_corpus
from training.sealed.corpora import OF_EACH, phrases_texts, talk_texts
from training.talk_corpus import (
    Conversation,
    Correction,
    Fact,
    FollowUp,
    Kind,
    MoreFile,
    Statement,
    StatementFile,
    Talk,
    Together,
    Togethers,
    Topic,
)
from training.talk_patterns import Choice, parse

FACT = Fact(
    id="name",
    values="names",
    tell="I'm {value}\ncall me {value}",
    ask="who am I",
    acknowledge="an answer",
    corrected="an answer",
    answer="an answer",
    unknown="an answer",
)


def together(tell: str) -> Together:
    return Together(acknowledge="an answer", tell=tell)


def talk(**patterns: Choice) -> Talk:
    """Return a corpus with one entry of each kind; whatever the guide says is "an answer"."""
    follow = FollowUp(ask="where do I put it", answer="an answer")
    return Talk(
        topics={
            "key": Topic(id="key", answers=("an answer",), ask="get a key\na key?", more="an answer", follow=(follow,))
        },
        facts={"name": FACT},
        together=Togethers(named=together("I'm {name} from {home}"), two=together("two"), three=together("three")),
        statements=StatementFile(
            acknowledge="an answer",
            answer="an answer",
            unknown="an answer",
            about="what of {word}?",
            statement=(Statement(tell="my {word} broke", ask="what broke"),),
        ),
        kinds={"maths": Kind(id="maths", openings=("an answer",), ask="what is 1 + 1")},
        endings=("an answer",),
        more=MoreFile(nothing_more="an answer", nothing_before="an answer", more="go on\nmore"),
        fact_corrections=("no, {value}",),
        topic_corrections=(Correction(said="key", wanted="key", ask="the other key"),),
        conversations=(Conversation(id="a", turns="> hi, {name} here\n< @name!\n> bye\n< an answer"),),
        values={},
        kept_names=(),
        patterns={name: (choice,) for name, choice in patterns.items()},
        unsure="an answer",
        synonyms={},
        around={},
    )


def test_all_that_people_may_say_to_the_guide_is_gathered_and_nothing_that_it_answers() -> None:
    assert sorted(talk_texts(talk())) == sorted(
        [
            *("get a key", "a key?", "where do I put it", "what is 1 + 1", "the other key"),
            *("go on", "more", "no, {value}", "hi, {name} here", "bye"),
            *("I'm {value}", "call me {value}", "who am I", "I'm {name} from {home}", "two", "three"),
            *("my {word} broke", "what broke", "what of {word}?"),
        ]
    )


def test_each_pattern_gives_the_same_sample_whatever_others_there_are() -> None:
    cats, dogs = parse("(a|my|the) cat", {}), parse("(a|my|the) dog", {})
    texts = Counter(talk_texts(talk(key=cats, maths=dogs)))
    of_cats = {text: count for text, count in texts.items() if "cat" in text}
    assert of_cats.keys() == {"a cat", "my cat", "the cat"}
    assert sum(of_cats.values()) == OF_EACH
    alone = Counter(talk_texts(talk(key=cats)))
    assert {text: count for text, count in alone.items() if "cat" in text} == of_cats


@pytest.fixture
def phrases(tmp_path: Path) -> Phrases:
    """Return a corpus of two phrases, a frame with 200 fillings, and one that is never trained."""

    def aligned(text: str) -> str:
        return " | ".join(f"{text} {code}" for code in LANGUAGES)

    for name, content in {
        "site/a.txt": [aligned("save")],
        "everyday/a.txt": [aligned("hello")],
        "frames/a.txt": [" | ".join(f"see [town] {code}" for code in LANGUAGES)],
        "fillings/a.txt": ["[town: in]", *(" | ".join([f"Town{nth}"] * len(LANGUAGES)) for nth in range(200))],
        "held_out/frames.txt": [" | ".join(f"leave [town] {code}" for code in LANGUAGES)],
        "held_out/fillings.txt": ["Town0"],
        "spellings.txt": ["email | e-mail"],
    }.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("\n".join(content) + "\n", encoding="utf-8")
    return read_corpus(tmp_path)


def test_phrases_are_gathered_in_every_language(phrases: Phrases) -> None:
    gathered = set(phrases_texts(phrases))
    missing = {f"{text} {code}" for text in ("save", "hello") for code in LANGUAGES} - gathered
    assert missing == set()


def test_each_frame_gives_a_sample_of_its_trained_sentences_in_every_language(phrases: Phrases) -> None:
    gathered = [text for text in phrases_texts(phrases) if "Town" in text]
    assert Counter(text[-2:] for text in gathered) == dict.fromkeys(LANGUAGES, OF_EACH)
    trained = {text for phrase in phrases.trained for text in phrase.texts.values()}
    assert len(trained) > len(LANGUAGES) * OF_EACH
    assert set(gathered) <= trained
    assert gathered == [text for text in phrases_texts(phrases) if "Town" in text]
