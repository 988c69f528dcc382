"""Texts taken apart into sentences and what stands between them."""

import pytest
import sentencex
from hypothesis import example, given
from hypothesis import strategies as st

from inference.tasks.segmenting import SEARCHED_CHARACTERS, Part, is_unspaced, split_text

LANGUAGES = ["en", "fr", "de", "es", "it", "pt", "zh", "ja", "hi", "ar", "hy", "xx"]
AWKWARD = st.text(
    st.sampled_from("aBzÉ .!?\n\t\r\"'“”«»()。？1é😀\u0301\u200d:;,—-[]{}…।\u2028\x85\x0b\x00\xa0\u2009\u3000")  # noqa: RUF001
)


NO_WORDS = ["12345", "😀 👍🏽", "  \n\t ", "...", "3,50 €", "- 12", "\u200b", "1) 2) 3"]
ADDRESSES = ["https://example.com/a?b=c", "(www.example.com)", "me@example.com.", "- http://localhost:80\n\tme@b.co.uk"]


def sentences(text: str, language: str = "en", *, longest: int = 10_000) -> list[str]:
    return [part.text for part in split_text(text, language, lambda piece: len(piece) <= longest) if part.is_sentence]


@given(st.one_of(st.text(), AWKWARD), st.sampled_from(LANGUAGES), st.integers(1, 40))
@example("B\u2028. A.\xa0B. c", "de", 5)
def test_parts_join_to_the_text(text: str, language: str, longest: int) -> None:
    parts = split_text(text, language, lambda piece: len(piece) <= longest)
    assert "".join(part.text for part in parts) == text
    assert all(part.text for part in parts)


@given(st.one_of(st.text(), AWKWARD), st.sampled_from(LANGUAGES), st.integers(1, 40))
def test_sentences_fit_and_have_letters_and_no_space_around_them(text: str, language: str, longest: int) -> None:
    for sentence in sentences(text, language, longest=longest):
        assert len(sentence) <= longest
        assert sentence == sentence.strip()
        assert any(character.isalpha() for character in sentence)


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        ("en", "Dr. Smith met Mr. J. R. Jones at 5 p.m. on Jan. 3rd. It cost $3.50. Really? Yes!", 4),
        ("en", "It is approx. 5 km, e.g. to Ms. Lee, i.e. 3.5 miles. See fig. 3 and p. 7.", 2),
        ("en", 'She said "Go! Now." Then she left.', 2),
        ("fr", "M. Dupont est là. Mme. Curie aussi, p. ex. à la page p. 5. Bonjour ! Ça va ?", 4),
        ("fr", "Né en 44 av. J.-C. à Rome, Mlle. Durand a dit : « Bien sûr. »", 1),
        ("de", "Am 3. Oktober kam Hr. Dr. Müller, z. B. mit ca. 5 Leuten, inkl. Kindern. Wie geht's?", 2),
        ("es", "¡Hola! ¿Cómo estás? El Sr. García y la Dña. Ana viven en EE.UU. desde 1990.", 3),
        ("it", "Il sig. Rossi e la Dott.ssa Bianchi vanno a S. Pietro. Va bene?", 2),
        ("pt", "O Sr. Silva e a Profa. Lima moram na Av. Central. Tudo bem? Ver pág. 3.", 3),
        ("zh", "你好。我叫李。你呢？", 3),  # noqa: RUF001
    ],
)
def test_abbreviations_end_no_sentence(language: str, text: str, expected: int) -> None:
    assert len(sentences(text, language)) == expected


def test_lines_and_cells_are_never_joined() -> None:
    assert sentences("Dear\tMs. Lee\r\nthank you\n\n for\x0bthis\u2028letter") == [
        "Dear",
        "Ms. Lee",
        "thank you",
        "for",
        "this",
        "letter",
    ]


@pytest.mark.parametrize("language", ["zh", "zh-Hant", "ja"])
def test_scripts_without_spaces_are_known_by_their_language(language: str) -> None:
    assert is_unspaced(language)


@pytest.mark.parametrize("language", ["en", "ko", "pt-BR", "xx"])
def test_all_others_have_spaces(language: str) -> None:
    assert not is_unspaced(language)


@pytest.mark.parametrize("text", [*NO_WORDS, *ADDRESSES])
def test_what_needs_no_translating_is_kept_as_it_stands(text: str) -> None:
    assert sentences(text) == []


@pytest.mark.parametrize("text", ["See https://example.com", "https://example.com是什么", "me@home", "Ann@b.com and I"])
def test_words_beside_an_address_are_a_sentence(text: str) -> None:
    assert sentences(text) == [text]


def test_symbols_and_bullets_around_a_sentence_are_kept_as_they_stand() -> None:
    assert split_text("• Hello 😀\n1) two ⚠️", "en", lambda _: True) == [
        Part("• ", is_sentence=False),
        Part("Hello", is_sentence=True),
        Part(" 😀", is_sentence=False),
        Part("\n", is_sentence=False),
        Part("1) ", is_sentence=False),
        Part("two", is_sentence=True),
        Part(" ⚠️", is_sentence=False),
    ]


def test_a_long_sentence_is_split_after_a_clause_near_its_middle() -> None:
    text = "We walked along the river, past the old mill, and came home late"
    assert sentences(text, longest=50) == ["We walked along the river,", "past the old mill, and came home late"]


def test_a_long_sentence_without_clauses_is_split_at_spaces() -> None:
    assert sentences("one two three four five six", longest=14) == ["one two three", "four five six"]


def test_a_long_word_is_split_where_it_must_be() -> None:
    assert sentences("a" * 100, longest=30) == ["a" * 25] * 4


def test_a_long_line_is_taken_apart_as_a_short_one_is() -> None:
    unit = 'Dr. Smith came at 5 p.m. on the 3rd. "Go! Now," he said... Really? It cost $3.50! '
    assert sentences(unit * 1000) == sentences(unit) * 1000
    assert sentences("你好。我叫李。" * 5000, "zh") == ["你好。", "我叫李。"] * 5000
    assert sentences("a" * 50_000, longest=50_000) == ["a" * 50_000]


@pytest.mark.parametrize("text", ["你好。" * 10_000, "「" + "你好。" * 10_000 + "」", "a" * 30_000, "Hi! " * 10_000])
def test_no_long_line_is_searched_at_one_go(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    lengths = []
    search = sentencex.segment

    def record(language: str, part: str) -> list[str]:
        lengths.append(len(part))
        return search(language, part)

    monkeypatch.setattr(sentencex, "segment", record)
    sentences(text, "zh")
    assert max(lengths) <= SEARCHED_CHARACTERS
    assert sum(lengths) <= 2 * len(text)


@pytest.mark.parametrize("unit", ["a", "a.", "(", "Mr. ", " ", "\n \n ", "Hi! ", "- ", "a, ", "-", "M. ", '"a. '])
def test_no_text_takes_more_than_linear_time(unit: str) -> None:
    asked = 0

    def fits(piece: str) -> bool:
        nonlocal asked
        asked += len(piece)
        return len(piece) <= 100

    text = (unit * 50_000)[:50_000]
    assert "".join(part.text for part in split_text(text, "fr", fits)) == text
    assert asked <= 50_000 * 30
