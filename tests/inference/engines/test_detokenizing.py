"""Text as tokens come: whole characters, whole stop strings, nothing lost."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import CTRLTokenizer, PreTrainedTokenizerFast

from inference.engines.detokenizing import Detokenizer, StopMatcher, decode
from tests.inference.engines.small_decoders import TEXTS, VOCABULARY, train_tokenizer

TOKENIZER = train_tokenizer()
HARD_TEXTS = ["你好世界再见", "مرحبا بالعالم كيف حالك", "a👨‍👩‍👧‍👦b 🇧🇪 🎉🎉", "naïve café\n\n  indented", "क्षत्रिय"]


def deltas(tokenizer: Any, tokens: list[int]) -> list[str]:
    detokenizer = Detokenizer(tokenizer)
    return [*(detokenizer.push(token) for token in tokens), detokenizer.flush()]


def encode(text: str) -> list[int]:
    return list(TOKENIZER.backend_tokenizer.encode(text, add_special_tokens=False).ids)


@pytest.mark.parametrize("text", HARD_TEXTS)
def test_deltas_are_whole_characters_and_joined_the_text(text: str) -> None:
    parts = deltas(TOKENIZER, encode(text))
    assert "".join(parts) == text
    assert len([part for part in parts if part]) > 1
    assert all("\ufffd" not in part for part in parts)


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=30))
def test_any_text_comes_back(text: str) -> None:
    text = text.replace("\ufffd", "")
    assert "".join(deltas(TOKENIZER, encode(text))) == text


@given(st.lists(st.integers(0, VOCABULARY + 20), max_size=40))
def test_any_tokens_give_the_tokenizers_text(tokens: list[int]) -> None:
    assert "".join(deltas(TOKENIZER, tokens)) == decode(TOKENIZER, tokens)


def test_special_tokens_have_no_text() -> None:
    assert "".join(deltas(TOKENIZER, [0, *encode("hi"), 1])) == "hi"


def test_a_character_cut_short_comes_last() -> None:
    parts = deltas(TOKENIZER, encode("a🇧")[:-1])
    assert parts[-1].endswith("\ufffd")
    assert all("\ufffd" not in part for part in parts[:-1])


def byte_fallback_tokenizer() -> PreTrainedTokenizerFast:
    """A tokenizer like Llama 2's: pieces with a mark for the space, bytes for what it does not know."""
    vocabulary = {"<unk>": 0, **{f"<0x{byte:02X}>": byte + 1 for byte in range(256)}, "▁hello": 257, "▁": 258, "x": 259}
    backend = Tokenizer(models.BPE(vocab=vocabulary, merges=[], byte_fallback=True, unk_token="<unk>"))
    backend.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>")


@given(st.lists(st.sampled_from([0, 1, 129, 196, 241, 257, 259]), max_size=12))
def test_broken_bytes_stop_nothing(tokens: list[int]) -> None:
    tokenizer = byte_fallback_tokenizer()
    text = "".join(deltas(tokenizer, tokens))
    assert (text.count("hello"), text.count("x")) == (tokens.count(257), tokens.count(259))


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=20))
def test_bytes_that_are_text_come_back(text: str) -> None:
    text = text.replace("\ufffd", "").strip()
    assert "".join(deltas(byte_fallback_tokenizer(), [byte + 1 for byte in text.encode()])) == text


def test_the_first_piece_loses_its_space_and_later_ones_do_not() -> None:
    assert deltas(byte_fallback_tokenizer(), [257, 257, 259]) == ["hello", " hello", "x", ""]


def test_a_slow_tokenizer_gives_its_text(tmp_path: Path) -> None:
    vocabulary = {token: number for number, token in enumerate(["hel@@", "lo", "there", "th@@", "ere", "<unk>"])}
    (tmp_path / "vocab.json").write_text(json.dumps(vocabulary))
    (tmp_path / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = CTRLTokenizer(tmp_path / "vocab.json", tmp_path / "merges.txt")
    assert not tokenizer.is_fast
    parts = deltas(tokenizer, [0, 1, 2, 3, 4])
    assert "".join(parts) == "hello there there"
    assert len([part for part in parts if part]) > 1


def test_wordpieces_are_joined() -> None:
    backend = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    backend.pre_tokenizer, backend.decoder = pre_tokenizers.Whitespace(), decoders.WordPiece()
    backend.train_from_iterator(
        TEXTS, trainers.WordPieceTrainer(vocab_size=120, special_tokens=["[UNK]"], show_progress=False)
    )
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="[UNK]")
    tokens = backend.encode("hello how are the brown dog").ids
    assert "".join(deltas(tokenizer, tokens)) == "hello how are the brown dog"


# Stop strings

LETTERS = st.text(alphabet="abc", max_size=12)
STOPS = st.lists(st.text(alphabet="abc", min_size=1, max_size=4), max_size=4)


def passed(stops: list[str], parts: list[str]) -> tuple[str, bool]:
    """Return what a matcher passes on of text that comes in these parts, and whether it stopped."""
    matcher, said = StopMatcher(stops), ""
    for part in parts:
        text, stopped = matcher.push(part)
        said += text
        if stopped:
            return said, True
    return said + matcher.flush(), False


def expected(stops: list[str], text: str) -> tuple[str, bool]:
    """The text up to the stop string that is complete first, the longest of those that end there."""
    for end in range(1, len(text) + 1):
        ending = [stop for stop in stops if text[:end].endswith(stop)]
        if ending:
            return text[: end - max(map(len, ending))], True
    return text, False


@given(STOPS, st.lists(LETTERS, max_size=6))
def test_text_ends_before_the_first_complete_stop_however_it_is_split(stops: list[str], parts: list[str]) -> None:
    assert passed(stops, parts) == expected(stops, "".join(parts))


@given(STOPS, st.lists(LETTERS, max_size=6))
def test_nothing_is_passed_on_that_a_stop_string_may_yet_take_back(stops: list[str], parts: list[str]) -> None:
    matcher, said, seen = StopMatcher(stops), "", ""
    for part in parts:
        text, stopped = matcher.push(part)
        said, seen = said + text, seen + part
        if stopped:
            return
        held = max(
            (n for n in range(len(seen) + 1) if any(s.startswith(seen[len(seen) - n :]) for s in stops)), default=0
        )
        assert said == seen[: len(seen) - held]


def test_half_a_stop_string_is_held_back_and_given_when_it_comes_to_nothing() -> None:
    matcher = StopMatcher(["<end>"])
    assert matcher.push("so <e") == ("so ", False)
    assert matcher.push("nd") == ("", False)
    assert matcher.push(" of it") == ("<end of it", False)
    assert matcher.push(" <") == (" ", False)
    assert matcher.flush() == "<"
