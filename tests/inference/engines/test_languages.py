"""How models name their languages, read from the small files beside their weights."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from inference.engines.languages import Naming, UnnamedLanguagesError, find_code, name_by_code, read_languages


def model(directory: Path, **files: object) -> Path:
    """Write a model's small files: config, tokenizer_config, vocab, special_tokens_map, aister."""
    for name, content in files.items():
        (directory / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
    return directory


MARIAN = {"model_type": "marian"}


def test_a_marian_of_one_pair(tmp_path: Path) -> None:
    files = {"tokenizer_config": {"source_lang": "en", "target_lang": "fr"}, "vocab": {"</s>": 0, "▁a": 1}}
    languages = read_languages(model(tmp_path, config=MARIAN, **files))
    assert languages.naming is Naming.TARGET_TOKEN
    assert (languages.sources, languages.targets) == ({"en": ""}, {"fr": ""})
    assert languages.pairs == [("en", "fr")]


def test_a_marian_of_one_pair_by_longer_codes(tmp_path: Path) -> None:
    files = {"tokenizer_config": {"source_lang": "eng", "target_lang": "ukr"}, "vocab": {"</s>": 0}}
    assert read_languages(model(tmp_path, config=MARIAN, **files)).pairs == [("en", "uk")]


def test_a_marian_of_several_targets(tmp_path: Path) -> None:
    vocabulary = {"</s>": 0, ">>fr<<": 1, ">>pt_br<<": 2, ">>pt<<": 3, ">>ita<<": 4, ">>zh_cn<<": 5}
    files = {"tokenizer_config": {"source_lang": "en", "target_lang": "ROMANCE"}, "vocab": vocabulary}
    languages = read_languages(model(tmp_path, config=MARIAN, **files))
    assert languages.sources == {"en": ""}
    assert languages.targets == {
        "fr": ">>fr<<",
        "it": ">>ita<<",
        "pt": ">>pt<<",
        "pt-br": ">>pt_br<<",
        "zh": ">>zh_cn<<",
    }


def test_a_marian_of_many_sources_has_them_from_aister_json(tmp_path: Path) -> None:
    files = {"tokenizer_config": {"source_lang": "ROMANCE", "target_lang": "en"}, "vocab": {"</s>": 0}}
    model(tmp_path, config=MARIAN, **files)
    with pytest.raises(UnnamedLanguagesError, match=r"Add an aister\.json"):
        read_languages(tmp_path)
    model(tmp_path, aister={"sources": ["fr", "es"], "targets": ["en"]})
    assert read_languages(tmp_path).pairs == [("fr", "en"), ("es", "en")]


def test_a_bundled_marian_translates_between_all_its_languages(tmp_path: Path) -> None:
    files = {"vocab": {"</s>": 0, ">>en<<": 1, ">>fr<<": 2, ">>de<<": 3}, "aister": {"languages": ["en", "fr"]}}
    languages = read_languages(model(tmp_path, config=MARIAN, **files))
    assert languages.targets == {"en": ">>en<<", "fr": ">>fr<<"}
    assert languages.pairs == [("en", "fr"), ("fr", "en")]


def test_a_stated_target_that_the_vocabulary_lacks_is_no_target(tmp_path: Path) -> None:
    files = {"vocab": {"</s>": 0, ">>fr<<": 2, ">>de<<": 3}, "aister": {"languages": ["en", "fr"]}}
    languages = read_languages(model(tmp_path, config=MARIAN, **files))
    assert languages.pairs == [("en", "fr")]


def test_a_marian_without_target_tokens_has_one_target(tmp_path: Path) -> None:
    files = {"tokenizer_config": {"target_lang": "fr"}, "vocab": {"</s>": 0}, "aister": {"languages": ["en", "fr"]}}
    assert read_languages(model(tmp_path, config=MARIAN, **files)).pairs == [("en", "fr")]


@pytest.mark.parametrize("where", ["additional_special_tokens", "extra_special_tokens"])
def test_an_m2m100_by_the_tokens_it_lists(tmp_path: Path, where: str) -> None:
    tokens = {where: ["__de__", "__fr__", "<s>"]}
    files = {"tokenizer_config": {"tokenizer_class": "M2M100Tokenizer"}, "special_tokens_map": tokens}
    languages = read_languages(model(tmp_path, config={"model_type": "m2m_100"}, **files))
    assert languages.naming is Naming.SOURCE_FIRST
    assert languages.sources == languages.targets == {"de": "__de__", "fr": "__fr__"}


def test_an_m2m100_whose_files_list_nothing(tmp_path: Path) -> None:
    tokenizer = {"tokenizer_class": "M2M100Tokenizer", "language_codes": "m2m100"}
    languages = read_languages(model(tmp_path, config={"model_type": "m2m_100"}, tokenizer_config=tokenizer))
    assert len(languages.sources) == 100
    assert languages.sources["fr"] == "__fr__"


def test_an_nllb(tmp_path: Path) -> None:
    names = ["zho_Hant", "fra_Latn", "zho_Hans", "ceb_Latn", "arb_Arab", "<mask>"]
    tokenizer = {"tokenizer_class": "NllbTokenizer", "extra_special_tokens": names}
    languages = read_languages(model(tmp_path, config={"model_type": "m2m_100"}, tokenizer_config=tokenizer))
    assert languages.naming is Naming.SOURCE_FIRST
    assert languages.sources == {
        "ar": "arb_Arab",
        "ceb": "ceb_Latn",
        "fr": "fra_Latn",
        "zh": "zho_Hant",
        "zh-Hans": "zho_Hans",
    }


def test_an_early_nllb_names_the_source_last(tmp_path: Path) -> None:
    tokenizer = {"tokenizer_class": "NllbTokenizer", "legacy_behaviour": True, "extra_special_tokens": ["fra_Latn"]}
    languages = read_languages(model(tmp_path, config={"model_type": "m2m_100"}, tokenizer_config=tokenizer))
    assert languages.naming is Naming.SOURCE_LAST


def test_an_mbart50(tmp_path: Path) -> None:
    added = {"5": {"content": "en_XX"}, "6": {"content": "de_DE"}, "7": {"content": "<mask>"}}
    tokenizer = {"tokenizer_class": "MBart50TokenizerFast", "added_tokens_decoder": added}
    languages = read_languages(model(tmp_path, config={"model_type": "mbart"}, tokenizer_config=tokenizer))
    assert languages.sources == languages.targets == {"de": "de_DE", "en": "en_XX"}


def test_a_t5_by_its_prompts(tmp_path: Path) -> None:
    tasks = {"translation_en_to_de": {"prefix": "translate English to German: "}, "summarization": {"prefix": "s: "}}
    languages = read_languages(model(tmp_path, config={"model_type": "t5", "task_specific_params": tasks}))
    assert languages.naming is Naming.PREFIX
    assert languages.pairs == [("en", "de")]
    assert not languages.translates("de", "en")


def test_a_model_that_names_no_languages(tmp_path: Path) -> None:
    with pytest.raises(UnnamedLanguagesError, match="no way of naming languages"):
        read_languages(model(tmp_path, config={"model_type": "bart"}))


def test_aister_json_narrows_a_model_to_what_it_was_trained_on(tmp_path: Path) -> None:
    tokenizer = {"tokenizer_class": "NllbTokenizer", "extra_special_tokens": ["fra_Latn", "deu_Latn", "eng_Latn"]}
    files = {"tokenizer_config": tokenizer, "aister": {"languages": ["en", "de"]}}
    languages = read_languages(model(tmp_path, config={"model_type": "m2m_100"}, **files))
    assert list(languages.sources) == ["en", "de"]


def test_one_language_is_no_pair(tmp_path: Path) -> None:
    files = {"vocab": {">>en<<": 1, ">>fr<<": 2}, "aister": {"languages": ["en", "fr"]}}
    languages = read_languages(model(tmp_path, config=MARIAN, **files))
    assert not languages.translates("en", "en")
    assert not languages.translates("en", "de")


@pytest.mark.parametrize(
    ("named", "code"),
    [
        ("fr", "fr"),
        ("FR", "fr"),
        (" fr-CA ", "fr"),
        ("fra", "fr"),
        ("pt-br", "pt-BR"),
        ("pt_BR", "pt-BR"),
        ("pt", "pt"),
        ("ceb", "ceb"),
        ("xx", None),
        ("", None),
        ("french", None),
    ],
)
def test_what_clients_call_a_language(named: str, code: str | None) -> None:
    assert find_code(named, ["fr", "pt", "pt-BR", "ceb"]) == code


def test_names_that_are_no_language_are_left_out() -> None:
    assert name_by_code([("ROMANCE", ">>ROMANCE<<"), ("fr", ">>fr<<"), ("", ">><<")]) == {"fr": ">>fr<<"}


def test_reading_languages_imports_no_torch() -> None:
    code = "import sys, inference.engines.languages; sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
