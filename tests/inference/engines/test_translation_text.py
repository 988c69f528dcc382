"""Text in, token ids out, and back: as each model's own tokenizer has it, but that text is only ever text."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from inference.engines.languages import read_languages
from inference.engines.translation_text import Codec, TranslationText, make_codec
from tests.inference.engines.small_translators import LINES, save_m2m100, save_marian, save_mbart50, save_nllb, save_t5

pytestmark = pytest.mark.filterwarnings("ignore:Recommended. pip install sacremoses")

TEXT = "Good morning, how are you?"
FORGERIES = ("</s>", "<pad>", "<s>", "<unk>", ">>fr<<", "__fr__", "fra_Latn", "fr_XX", "<extra_id_0>", "<mask>")


def marian(directory: Path) -> Path:
    return save_marian(directory, targets=("en", "fr"), tokenizer={"source_lang": "en"})


SAVERS: dict[str, Callable[[Path], Path]] = {
    "marian": marian,
    "m2m100": save_m2m100,
    "nllb": save_nllb,
    "mbart50": save_mbart50,
    "t5": save_t5,
}


@pytest.fixture(scope="module", params=SAVERS)
def directory(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return SAVERS[request.param](tmp_path_factory.mktemp("models") / request.param)


@pytest.fixture(scope="module")
def tokenizer(directory: Path) -> Any:
    return AutoTokenizer.from_pretrained(directory)


@pytest.fixture(scope="module")
def codec(tokenizer: Any) -> Codec:
    return make_codec(tokenizer)


@pytest.fixture(scope="module")
def text(directory: Path, codec: Codec, tokenizer: Any) -> TranslationText:
    return TranslationText(codec, read_languages(directory), tokenizer.eos_token)


def test_plain_text_has_the_ids_that_the_tokenizer_gives_it(codec: Codec, tokenizer: Any) -> None:
    for line in LINES[:7]:
        assert codec.encode(line) == tokenizer(line, add_special_tokens=False).input_ids


def test_text_comes_back(codec: Codec, tokenizer: Any) -> None:
    for line in LINES[:7]:
        assert codec.decode(codec.encode(line)) == line


def test_control_tokens_are_not_written(codec: Codec, tokenizer: Any) -> None:
    ids = codec.encode(TEXT)
    assert codec.decode([tokenizer.pad_token_id, *ids, tokenizer.eos_token_id, tokenizer.unk_token_id]) == TEXT


@pytest.mark.parametrize("forged", FORGERIES)
@pytest.mark.parametrize("around", ["{}", "{} Good morning", "Good {} morning", "Good{}morning", "{0}{0}"])
def test_text_forges_no_control_token(codec: Codec, tokenizer: Any, forged: str, around: str) -> None:
    control = {*tokenizer.all_special_ids, *tokenizer.added_tokens_decoder} - {tokenizer.unk_token_id}
    control |= set(getattr(tokenizer, "lang_token_to_id", {}).values())
    control |= {number for token, number in tokenizer.get_vocab().items() if token.startswith(">>")}
    assert control.isdisjoint(codec.encode(around.format(forged)))


def test_forged_tokens_are_read_as_characters(codec: Codec) -> None:
    assert codec.decode(codec.encode("a </s> b")) == "a </s> b"


def test_a_sequence_is_what_the_tokenizer_makes_for_these_languages(text: TranslationText, tokenizer: Any) -> None:
    names = text.languages
    sequence = text.encode(TEXT, "en", "fr")
    if names.prefixes:
        assert list(sequence.tokens) == tokenizer(f"translate English to French: {TEXT}").input_ids
        assert sequence.first_token is None
    elif names.targets["fr"].startswith(">>"):
        assert list(sequence.tokens) == tokenizer(f">>fr<< {TEXT}").input_ids
        assert sequence.first_token is None
    else:
        tokenizer.src_lang = names.sources["en"].strip("_") if "__" in names.sources["en"] else names.sources["en"]
        assert list(sequence.tokens) == tokenizer(TEXT).input_ids
        assert sequence.first_token == tokenizer.convert_tokens_to_ids(names.targets["fr"])


def test_an_early_nllb_reads_its_source_language_last(tmp_path: Path) -> None:
    directory = save_nllb(tmp_path / "nllb", legacy_behaviour=True)
    tokenizer = AutoTokenizer.from_pretrained(directory, src_lang="eng_Latn")
    text = TranslationText(make_codec(tokenizer), read_languages(directory), tokenizer.eos_token)
    assert list(text.encode(TEXT, "en", "fr").tokens) == tokenizer(TEXT).input_ids
    assert text.encode(TEXT, "en", "fr").tokens[-1] == tokenizer.convert_tokens_to_ids("eng_Latn")


def test_unknown_languages_are_a_key_error(text: TranslationText) -> None:
    with pytest.raises(KeyError):
        text.encode(TEXT, "en", "xx")


def test_threads_do_not_change_each_others_languages(text: TranslationText) -> None:
    pairs = [pair for pair in (("en", "fr"), ("en", "de"), ("fr", "en")) if text.languages.translates(*pair)]
    expected = {pair: text.encode(TEXT, *pair) for pair in pairs}
    wrong = []

    def encode_many(pair: tuple[str, str]) -> None:
        wrong.extend(pair for _ in range(200) if text.encode(TEXT, *pair) != expected[pair])

    threads = [threading.Thread(target=encode_many, args=(pair,)) for pair in pairs * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
