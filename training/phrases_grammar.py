"""Articles, demonstratives, possessives and contracted prepositions of the phrasebook's six languages.

Pure functions over what a person wrote in `corpus/phrases/fillings`. Nothing here knows a word: only how a noun of a
given gender, number and first sound takes what stands before it. A new language is a function in `GRAMMARS`, an entry
in `_CONTRACTIONS` and its genders in `parse_noun`; training/README.md has the whole list.
"""

import re
import unicodedata
from dataclasses import dataclass

GENDERS = ("m", "f", "n")
DETERMINERS = ("the", "a", "this", "my", "your")
CASES = ("nom", "acc", "dat", "gen")
_NOUN = re.compile(
    r"(?:(?P<gender>[mfn]) )?(?P<odd>\*)?(?P<singular>[^,@]+?)(?:, (?P<plural>[^,@]+?))?(?:, (?P<gen>[^@]+?))?"
    r"(?: @ (?P<at>.+))?"
)


@dataclass(frozen=True, slots=True)
class Noun:
    """A noun as the fillings give it: `f *hauteur, hauteurs`.

    `odd` (the asterisk) says that the language's rule of sound fails: English "an hour", "a user"; French "le hamac";
    Spanish "el agua". In German it marks weak nouns, "den Kunden". `genitive` is German only.
    `at` is how one says to be there where no rule tells: "am Bahnhof", "in banca".
    """

    gender: str
    singular: str
    plural: str = ""
    genitive: str = ""
    odd: bool = False
    at: str = ""


def parse_noun(cell: str, language: str) -> Noun:
    """Read a noun. Raises ValueError when its gender is missing, or one that the language does not have."""
    found = _NOUN.fullmatch(cell)
    gender = found["gender"] or "" if found else ""
    if not found or gender not in {"en": ("",), "de": GENDERS}.get(language, ("m", "f")):
        raise ValueError(f"{cell!r} is no noun of {language}: write its gender, a space, singular, plural")
    rest = {"genitive": found["gen"] or "", "at": found["at"] or ""}
    return Noun(gender, found["singular"], found["plural"] or "", odd=bool(found["odd"]), **rest)


def plain(text: str) -> str:
    """Return `text` in small letters without accents."""
    return "".join(c for c in unicodedata.normalize("NFD", text.casefold()) if not unicodedata.combining(c))


def _starts_with_vowel(text: str, letters: str = "aeiou") -> bool:
    return plain(text)[:1] in tuple(letters)


def _english(determiner: str, noun: Noun, word: str, number: str, _case: str) -> str:
    if determiner == "a":
        vowel = _starts_with_vowel(word) != noun.odd
        return "" if number == "pl" else "an " if vowel else "a "
    if determiner == "this" and number == "pl":
        return "these "
    return f"{determiner} "


_FRENCH = {
    ("the", "m"): "le ",
    ("the", "f"): "la ",
    ("the", "pl"): "les ",
    ("a", "m"): "un ",
    ("a", "f"): "une ",
    ("a", "pl"): "des ",
    ("this", "m"): "ce ",
    ("this", "f"): "cette ",
    ("this", "pl"): "ces ",
    ("my", "m"): "mon ",
    ("my", "f"): "ma ",
    ("my", "pl"): "mes ",
    ("your", "m"): "votre ",
    ("your", "f"): "votre ",
    ("your", "pl"): "vos ",
}


def _french(determiner: str, noun: Noun, word: str, number: str, _case: str) -> str:
    if number == "sg" and _starts_with_vowel(word, "aeiouh") and not noun.odd:
        elided = {("the", "m"): "l'", ("the", "f"): "l'", ("this", "m"): "cet ", ("my", "f"): "mon "}
        if (determiner, noun.gender) in elided:
            return elided[determiner, noun.gender]
    return _FRENCH[determiner, noun.gender if number == "sg" else "pl"]


# Endings by gender or plural, in the order of CASES.
_DEFINITE = {"m": "der den dem des", "f": "die die der der", "n": "das das dem des", "pl": "die die den der"}
_STRONG = {"m": "er en em es", "f": "e e er er", "n": "es es em es", "pl": "e e en er"}
_MIXED = {**_STRONG, "m": " en em es", "n": "  em es"}


def _german(determiner: str, noun: Noun, _word: str, number: str, case: str) -> str:
    key, at = (noun.gender if number == "sg" else "pl"), CASES.index(case)
    if determiner == "the":
        return _DEFINITE[key].split()[at] + " "
    if determiner == "this":
        return "dies" + _STRONG[key].split()[at] + " "
    if determiner == "a" and number == "pl":
        return ""
    return {"a": "ein", "my": "mein", "your": "Ihr"}[determiner] + _MIXED[key].split(" ")[at] + " "


_SPANISH = {"the": "el la los las", "a": "un una  ", "this": "este esta estos estas", "my": "mi mi mis mis"}
_PORTUGUESE = {"the": "o a os as", "a": "um uma  ", "this": "este esta estes estas", "my": "meu minha meus minhas"}
_SPANISH["your"], _PORTUGUESE["your"] = "su su sus sus", "seu sua seus suas"


def _of_four(table: dict[str, str], determiner: str, gender: str, number: str) -> str:
    word = table[determiner].split(" ")[(gender == "f") + 2 * (number == "pl")]
    return word and word + " "


def _spanish(determiner: str, noun: Noun, _word: str, number: str, _case: str) -> str:
    stressed_a = noun.odd and number == "sg" and determiner in ("the", "a")
    return _of_four(_SPANISH, determiner, "m" if stressed_a else noun.gender, number)


def _portuguese(determiner: str, noun: Noun, _word: str, number: str, _case: str) -> str:
    return _of_four(_PORTUGUESE, determiner, noun.gender, number)


_LONG_ARTICLE = re.compile(r"s[^aeiou]|z|gn|ps|pn|x|y")
_ITALIAN = {
    "this": "questo questa questi queste",
    "my": "il mio|la mia|i miei|le mie",
    "your": "il suo|la sua|i suoi|le sue",
}


def _italian(determiner: str, noun: Noun, word: str, number: str, _case: str) -> str:
    vowel = _starts_with_vowel(word, "aeiouh") != noun.odd
    long = bool(_LONG_ARTICLE.match(plain(word)))
    masculine, singular = noun.gender == "m", number == "sg"
    if determiner in ("the", "a") and not singular:
        article = ("gli " if vowel or long else "i ") if masculine else "le "
        return article if determiner == "the" else ""
    if determiner == "the":
        return "l'" if vowel else "la " if not masculine else "lo " if long else "il "
    if determiner == "a":
        return ("uno " if long else "un ") if masculine else "un'" if vowel else "una "
    if determiner == "this" and singular and vowel:
        return "quest'"
    words = re.split(r"[| ]", _ITALIAN[determiner]) if determiner == "this" else _ITALIAN[determiner].split("|")
    return words[(not masculine) + 2 * (not singular)] + " "


GRAMMARS = {"en": _english, "fr": _french, "de": _german, "es": _spanish, "it": _italian, "pt": _portuguese}


def _german_word(noun: Noun, number: str, case: str) -> str:
    if number == "pl":
        return noun.plural + ("n" if case == "dat" and noun.plural[-1] not in "ns" else "")
    if noun.odd and case != "nom":
        return noun.plural
    if case == "gen" and noun.gender != "f":
        return noun.genitive or noun.singular + ("es" if noun.singular[-1] in "sßxz" else "s")
    return noun.singular


def noun_phrase(noun: Noun, language: str, determiner: str | None, number: str = "sg", case: str = "nom") -> str:
    """Return the noun with what stands before it. Raises ValueError when the plural is wanted and not given."""
    if number == "pl" and not noun.plural:
        raise ValueError(f"{noun.singular!r} has no plural in the fillings")
    word = noun.singular if number == "sg" else noun.plural
    if language == "de":
        word = _german_word(noun, number, case)
    return (GRAMMARS[language](determiner, noun, word, number, case) if determiner else "") + word


_FIRST_WORD = re.compile(r"(?:\w+'?)?")


def _of_stem(stem: str, forms: str) -> dict[tuple[str, str], str]:
    return {(stem, article): form for article, form in (pair.split("=") for pair in forms.split())}


def _italian_contractions() -> dict[tuple[str, str], str]:
    stems = {"di": "de", "a": "a", "da": "da", "in": "ne", "su": "su"}
    ends = {"il": "l", "lo": "llo", "l'": "ll'", "la": "lla", "i": "i", "gli": "gli", "le": "lle"}
    return {(stem, article): short + end for stem, short in stems.items() for article, end in ends.items()}


_CONTRACTIONS: dict[str, dict[tuple[str, str], str]] = {
    "en": {},
    "fr": _of_stem("de", "le=du les=des") | _of_stem("à", "le=au les=aux"),
    "de": _of_stem("in", "dem=im das=ins")
    | _of_stem("an", "dem=am das=ans")
    | _of_stem("zu", "dem=zum der=zur")
    | _of_stem("von", "dem=vom")
    | _of_stem("bei", "dem=beim"),
    "es": _of_stem("de", "el=del") | _of_stem("a", "el=al"),
    "it": _italian_contractions(),
    "pt": _of_stem("de", "o=do a=da os=dos as=das este=deste esta=desta estes=destes estas=destas")
    | _of_stem("em", "o=no a=na os=nos as=nas um=num uma=numa este=neste esta=nesta estes=nestes estas=nestas")
    | _of_stem("a", "o=ao a=à os=aos as=às")
    | _of_stem("por", "o=pelo a=pela os=pelos as=pelas"),
}


def with_preposition(preposition: str, phrase: str, language: str, elides: bool = True) -> str:
    """Put `preposition` before a phrase, contracted with its article or elided: "du musée", "zum Bahnhof".

    `elides` is false before an aspirated h: "de hamacs".
    """
    first = _FIRST_WORD.match(phrase)[0]  # type: ignore[index]  # it matches any text
    *before, last = preposition.split(" ")
    contracted = _CONTRACTIONS[language].get((last.casefold(), first))
    if contracted is not None:
        joined = contracted + phrase[len(first) :]
    elif language == "fr" and elides and last in ("de", "que") and _starts_with_vowel(phrase, "aeiouh"):
        joined = f"{last[:-1]}'{phrase}"
    else:
        joined = f"{last} {phrase}"
    return " ".join([*before, joined])
