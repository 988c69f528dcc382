"""What languages a translation model knows, and how it wants them named. Reads small files only: no weights, no torch.

Clients name languages by ISO 639-1 code, or ISO 639-3 where there is none; models by `>>fr<<`, `__fr__`, `fr_XX`,
`fra_Latn` or "translate English to French". This module is where the two meet. Its functions may be called from any
thread.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

# ISO 639-3 and 639-1 codes, with the individual languages that models name where clients mean the whole: arb is Arabic.
ISO_639 = dict(
    re.findall(
        r"(\w+):(\w+)",
        """
        afr:af aka:ak als:sq amh:am ara:ar arb:ar asm:as ayr:ay aze:az azj:az bak:ba bam:bm bel:be ben:bn bod:bo
        bos:bs bre:br bul:bg cat:ca ces:cs cmn:zh cos:co cym:cy dan:da deu:de dzo:dz ell:el eng:en epo:eo est:et
        eus:eu ewe:ee fao:fo fas:fa fij:fj fin:fi fra:fr fry:fy fuv:ff gaz:om gla:gd gle:ga glg:gl grn:gn guj:gu
        hat:ht hau:ha hbs:sh heb:he hin:hi hrv:hr hun:hu hye:hy ibo:ig ind:id isl:is ita:it jav:jv jpn:ja kan:kn
        kas:ks kat:ka kaz:kk khk:mn khm:km kik:ki kin:rw kir:ky kmr:ku knc:kr kon:kg kor:ko kur:ku lao:lo lat:la
        lav:lv lim:li lin:ln lit:lt ltz:lb lug:lg lvs:lv mal:ml mar:mr mkd:mk mlg:mg mlt:mt mon:mn mri:mi msa:ms
        mya:my nep:ne nld:nl nno:nn nob:nb nor:no npi:ne nya:ny oci:oc ori:or orm:om ory:or pan:pa pbt:ps pes:fa
        plt:mg pol:pl por:pt pus:ps que:qu quy:qu ron:ro run:rn rus:ru sag:sg san:sa sin:si slk:sk slv:sl smo:sm
        sna:sn snd:sd som:so sot:st spa:es sqi:sq srd:sc srp:sr ssw:ss sun:su swa:sw swe:sv swh:sw tam:ta tat:tt
        tel:te tgk:tg tgl:tl tha:th tir:ti tsn:tn tso:ts tuk:tk tur:tr twi:tw uig:ug ukr:uk urd:ur uzb:uz uzn:uz
        vie:vi wln:wa wol:wo xho:xh ydd:yi yid:yi yor:yo zho:zh zsm:ms zul:zu
        """,
    )
)
# What M2M100's tokenizer knows without its files saying so, by the `language_codes` that they do say.
M2M100_CODES = {
    "m2m100": re.findall(
        r"\w+",
        """
        af am ar ast az ba be bg bn br bs ca ceb cs cy da de el en es et fa ff fi fr fy ga gd gl gu ha he hi hr ht hu
        hy id ig ilo is it ja jv ka kk km kn ko lb lg ln lo lt lv mg mk ml mn mr ms my ne nl no ns oc or pa pl ps pt
        ro ru sd si sk sl so sq sr ss su sv sw ta th tl tn tr uk ur uz vi wo xh yi yo zh zu
        """,
    ),
    "wmt21": ["en", "ha", "is", "ja", "cs", "ru", "zh", "de"],
}
_CODE = re.compile(r"[a-z]{2,3}")


class Naming(StrEnum):
    """How a model is told its languages, besides the text X that it reads."""

    TARGET_TOKEN = "target_token"  # reads `>>fr<< X </s>`, or only `X </s>` when it knows one target (Marian)
    SOURCE_FIRST = "source_first"  # reads `fra X </s>`, writes the target's token first (M2M100, NLLB, mBART-50)
    SOURCE_LAST = "source_last"  # the same, but reads `X </s> fra` (early NLLB)
    PREFIX = "prefix"  # reads `translate English to French: X </s>` (T5)


class UnnamedLanguagesError(ValueError):
    """The model's files don't tell which languages it translates. The message says what to add."""


@dataclass(frozen=True, slots=True)
class Languages:
    """The languages of one translation model.

    `sources` and `targets` map our codes to the model's own names, in the model's order; a name is empty where the
    model is not told. `prefixes` holds the pairs of a T5, each with its prompt; for other models it is empty and
    every source goes with every target.
    """

    naming: Naming
    sources: Mapping[str, str]
    targets: Mapping[str, str]
    prefixes: Mapping[tuple[str, str], str]

    def translates(self, source: str, target: str) -> bool:
        """Say whether the model translates between these two codes, which are not the same."""
        if self.prefixes:
            return (source, target) in self.prefixes
        return source != target and source in self.sources and target in self.targets

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """Every source and target that go together. Some 40,000 for NLLB."""
        return [
            (source, target) for source in self.sources for target in self.targets if self.translates(source, target)
        ]


def find_code(named: str, known: Iterable[str]) -> str | None:
    """Return the known code that a client means: 'FR', 'fra' and 'fr-CA' mean 'fr', unless 'fr-CA' is known."""
    lowered = {code.lower(): code for code in known}
    name = named.strip().lower().replace("_", "-")
    base = name.partition("-")[0]
    return lowered.get(name) or lowered.get(base) or lowered.get(ISO_639.get(base, ""))


def read_languages(directory: Path) -> Languages:
    """Read the languages of the translation model in `directory` from its configuration and vocabulary.

    An `aister.json` beside them narrows or states them: {"languages": [...]} for both ends, or "sources" and "targets".
    Raises UnnamedLanguagesError where the files don't tell, OSError where they can't be read.
    """
    tokenizer = _read_json(directory, "tokenizer_config.json")
    config = _read_json(directory, "config.json")
    stated = _read_json(directory, "aister.json")
    kind = f"{config.get('model_type', '')} {tokenizer.get('tokenizer_class', '')}".lower()
    if "marian" in kind:
        return _read_marian(directory, tokenizer, stated)
    if prefixes := _read_prefixes(config):
        return _languages_of_prefixes(prefixes)
    return _read_shared_names(directory, kind, tokenizer, stated)


def _read_marian(directory: Path, tokenizer: dict[str, Any], stated: dict[str, Any]) -> Languages:
    vocabulary = _read_json(directory, "vocab.json")
    tokens = name_by_code(
        (token[2:-2], token) for token in vocabulary if token.startswith(">>") and token.endswith("<<")
    )
    source, target = (_single(tokenizer.get(end)) for end in ("source_lang", "target_lang"))
    if tokens:
        targets = {code: tokens[code] for code in _stated(stated, "targets") or tokens if code in tokens}
    else:
        targets = dict.fromkeys((target or _stated(stated, "targets"))[:1], "")  # there is but one, as nothing chooses
    sources = dict.fromkeys(_stated(stated, "sources") or source, "")
    return _checked(Languages(Naming.TARGET_TOKEN, sources, targets, {}))


def _single(name: object) -> list[str]:
    """Return the code that a Marian's `source_lang` states, or nothing for a group of languages such as ROMANCE."""
    code = ISO_639.get(str(name), str(name))
    return [code] if code in ISO_639.values() else []


def _read_prefixes(config: dict[str, Any]) -> dict[tuple[str, str], str]:
    """Return the pairs that a T5's configuration lists as `translation_en_to_fr`, with the prompt of each."""
    prefixes = {}
    for task, settings in (config.get("task_specific_params") or {}).items():
        if match := re.fullmatch(r"translation_([a-z]{2,3})_to_([a-z]{2,3})", task):
            prefixes[match[1], match[2]] = str(settings.get("prefix", ""))
    return prefixes


def _languages_of_prefixes(prefixes: dict[tuple[str, str], str]) -> Languages:
    sources, targets = (dict.fromkeys((pair[end] for pair in prefixes), "") for end in (0, 1))
    return Languages(Naming.PREFIX, sources, targets, prefixes)


def _read_shared_names(directory: Path, kind: str, tokenizer: dict[str, Any], stated: dict[str, Any]) -> Languages:
    """Read models that name a source and a target by the same tokens."""
    if "nllb" in kind:
        pattern = re.compile(r"([a-z]{3}_[A-Z][a-z]{3})")
    elif "mbart50" in kind:
        pattern = re.compile(r"([a-z]{2,3}_[A-Z]{2})")
    elif "m2m" in kind:
        pattern = re.compile(r"__([a-z]{2,3})__")
    else:
        raise UnnamedLanguagesError(
            "This model has no way of naming languages that is known here: Marian, M2M100, NLLB, mBART-50, T5."
        )
    matches = (pattern.fullmatch(token) for token in _special_tokens(directory, tokenizer))
    # The second part of an mBART-50 name is a country that says nothing (en_XX, de_DE); of an NLLB name, a script
    # that may.
    names = name_by_code((m[1].partition("_")[0] if "mbart50" in kind else m[1], m[0]) for m in matches if m)
    naming = Naming.SOURCE_LAST if "nllb" in kind and tokenizer.get("legacy_behaviour") else Naming.SOURCE_FIRST
    sources, targets = (
        {code: names[code] for code in _stated(stated, end) or names if code in names} for end in ("sources", "targets")
    )
    return _checked(Languages(naming, sources, targets, {}))


def name_by_code(names: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Map our codes to model names, given what each says of its language (`fr`, `pt_BR`, `fra_Latn`) and itself.

    The plainest of several that mean one language gets the bare code; the others keep script or country: zh and
    zh-Hant.
    """
    found: dict[str, str] = {}
    for said, name in sorted(names, key=lambda each: "_" in each[0]):
        language, _, variant = said.partition("_")
        code = ISO_639.get(language, language)
        if not _CODE.fullmatch(code):
            continue
        if code in found:
            code = f"{code}-{variant}"
        found.setdefault(code, name)
    return dict(sorted(found.items()))


def _special_tokens(directory: Path, tokenizer: dict[str, Any]) -> list[str]:
    """Return the tokenizer's special tokens, from whichever of its files lists them: that changed over the years."""
    files = [tokenizer, _read_json(directory, "special_tokens_map.json")]
    lists = [each.get(name) or [] for each in files for name in ("additional_special_tokens", "extra_special_tokens")]
    tokens = [token if isinstance(token, str) else token["content"] for each in lists for token in each]
    tokens += [token["content"] for token in (tokenizer.get("added_tokens_decoder") or {}).values()]
    tokens += _read_json(directory, "added_tokens.json")
    tokens += [f"__{code}__" for code in M2M100_CODES.get(str(tokenizer.get("language_codes")), ())]
    return list(dict.fromkeys(tokens))


def _stated(stated: dict[str, Any], end: str) -> list[str]:
    return [str(code) for code in stated.get(end) or stated.get("languages") or []]


def _checked(languages: Languages) -> Languages:
    if not languages.sources or not languages.targets:
        raise UnnamedLanguagesError(
            "The model's files don't tell its languages. Add an aister.json to its directory, "
            'such as {"sources": ["fr", "es"], "targets": ["en"]}.'
        )
    return languages


def _read_json(directory: Path, name: str) -> dict[str, Any]:
    path = directory / name
    content = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return content if isinstance(content, dict) else {}
