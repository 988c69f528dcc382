"""The scores of translations: exactness, chrF, and what must come through untouched."""

import pytest

from training.sealed.translations import chrf, is_exact, keeps_marks, normalise


@pytest.mark.parametrize(
    "translation",
    ["Bonne nuit !", "bonne nuit!", "Bonne\u00a0nuit\u202f!", "Bonne nuit", "BONNE NUIT."],
)
def test_case_spaces_and_the_last_mark_do_not_keep_a_translation_from_being_exact(translation: str) -> None:
    assert is_exact(translation, ["Bonsoir", "Bonne nuit !"])


@pytest.mark.parametrize("translation", ["Bonne nuit ?", "Bonne nuit mon ami", "Bone nuit", ""])
def test_another_translation_is_not_exact(translation: str) -> None:
    assert not is_exact(translation, ["Bonne nuit !"])


def test_accents_and_quotes_count_and_do_not() -> None:
    assert not is_exact("Ou est la gare ?", ["Où est la gare ?"])
    assert is_exact("L\u2019addition", ["L'addition"])
    assert normalise("Ou\u0301 :") == "Oú:"


@pytest.mark.parametrize(
    ("source", "translation", "is_kept"),
    [
        ("Hello {name}", "Bonjour {name}", True),
        ("Hello {name}", "Bonjour {nom}", False),
        ("Hello {name}", "Bonjour name", False),
        ("%s of %s", "%s von %s", True),
        ("%s of %s", "%s von", False),
        ("Hello", "Hallo {name}", False),
        ("<b>Now</b>", "<b>Jetzt</b>", True),
        ("<b>Now</b>", "<b>Jetzt<b>", False),
        ('<a href="/x">Help</a>', '<a href="/x">Hilfe</a>', True),
        ('<a href="/x">Help</a>', '<a href="/y">Hilfe</a>', False),
        ("Write to a@b.org", "Schreiben Sie an a@b.org", True),
        ("See https://x.org/a", "Siehe https://x.org/b", False),
    ],
)
def test_placeholders_tags_and_addresses_have_to_come_through(source: str, translation: str, is_kept: bool) -> None:
    assert keeps_marks(source, translation) is is_kept


def test_chrf_is_100_for_the_reference_and_0_for_other_letters() -> None:
    assert chrf("Guten Tag", ["Guten Tag"]) == pytest.approx(100)
    assert chrf("xyz", ["Guten Tag"]) == 0
    assert chrf("", ["Guten Tag"]) == 0
    assert chrf("Guten Tag", []) == 0


def test_chrf_is_the_f_score_of_character_ngrams_with_recall_twice() -> None:
    """By hand: "abc" against "abd" has 2/3 of the letters and 1/2 of the pairs, precision and recall alike."""
    assert chrf("abc", ["abd"]) == pytest.approx(100 * (2 / 3 + 1 / 2 + 0) / 3)
    # "ab" against "abcd": precision 1 and 1, recall 2/4 and 1/3
    precision, recall = 1, (1 / 2 + 1 / 3) / 2
    assert chrf("ab", ["abcd"]) == pytest.approx(100 * 5 * precision * recall / (4 * precision + recall))


def test_chrf_takes_the_nearest_reference_and_no_notice_of_spaces() -> None:
    assert chrf("Guten Tag", ["Hallo", "Guten  Tag"]) == pytest.approx(100)
    assert chrf("GutenTag", ["Guten Tag"]) == pytest.approx(100)
