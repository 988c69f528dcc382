"""Which language a text is in, and how sure that is. For worker threads: the first text takes seconds.

lingua's n-gram models are loaded once for each language and shared by all detectors of the process. Measured on 2
cores: six languages take 170 MB and 2.3 s to load, all 75 take 1,050 MB and 11 s; in low accuracy mode 15 and 66 MB,
and 0.1 and 0.5 s. Then a text takes 0.1 to 1 ms. Low accuracy is worst at what people try first ("Thank you" comes
out as German, "ok" as nothing), so it is for long lists of languages.
"""

import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass

from lingua import IsoCode639_1, Language, LanguageDetector, LanguageDetectorBuilder

# "ok" and "taxi", which are right in many languages, come out at 0.4 and 0.2; whole sentences mostly above 0.8.
UNCERTAIN_BELOW = 0.5
HIGH_ACCURACY_LANGUAGES = 12  # some 30 MB each
READ_CHARACTERS = 1000  # more says nothing new
PAUSE_S = 0.02  # between two languages: enough for a few small requests
MAX_DETECTORS = 8  # sets of languages kept; most models need one

_NAMES = {"no": "nb"}  # ours to lingua's, where they differ: M2M100 writes Bokmål `no`


@dataclass(frozen=True, slots=True)
class Detection:
    """The best guess at a text's language; `confidence` is 0 to 1. When `is_uncertain`, it may well be another."""

    language: str
    confidence: float
    is_uncertain: bool


class Detector:
    """Tells some languages apart. Any thread may use it."""

    def __init__(self, languages: tuple[str, ...]) -> None:
        """Take the codes to choose from, 1 or more. Loads what they need, so it takes long."""
        self._languages = languages
        self._codes = _known_to_lingua(languages)
        self._lingua = _build(list(self._codes)) if len(self._codes) > 1 else None

    def detect(self, text: str, *, target: str = "") -> Detection:
        """Guess the language of a text that is to be translated into `target`.

        An uncertain guess is never `target` itself: who asks for a translation has most likely no text in that
        language. A lone language is certain, as there is nothing to choose. A text without letters gives English or
        the first language, at confidence 0.
        """
        if len(self._languages) == 1:
            return Detection(self._languages[0], 1.0, is_uncertain=False)
        values = self._values(text)
        if values and values[0][1] >= UNCERTAIN_BELOW:
            return Detection(*values[0], is_uncertain=False)
        for language, confidence in values:
            if language != target:
                return Detection(language, confidence, is_uncertain=True)
        others = [language for language in self._languages if language != target]
        return Detection("en" if "en" in others else others[0], 0.0, is_uncertain=True)

    def _values(self, text: str) -> list[tuple[str, float]]:
        """Return languages with their confidence, highest first, without those that can't be."""
        if self._lingua is None:
            return []
        found = self._lingua.compute_language_confidence_values(text[:READ_CHARACTERS])
        return [(self._codes[each.language], round(each.value, 3)) for each in found if each.value >= 0.001]


_detectors: dict[tuple[str, ...], Detector] = {}
_lock = threading.Lock()


def detector_for(languages: Iterable[str]) -> Detector:
    """Return the detector for a set of languages, building it at first use; others wait meanwhile."""
    wanted = tuple(sorted(set(languages)))
    with _lock:
        if wanted not in _detectors:
            while len(_detectors) >= MAX_DETECTORS:
                del _detectors[next(iter(_detectors))]
            _detectors[wanted] = Detector(wanted)
        return _detectors[wanted]


def _known_to_lingua(languages: Iterable[str]) -> dict[Language, str]:
    """Map lingua's languages to our codes, for those that it knows."""
    codes = {}
    for code in languages:
        name = _NAMES.get(code, code).upper()
        if len(name) == 2 and hasattr(IsoCode639_1, name):
            codes[Language.from_iso_code_639_1(getattr(IsoCode639_1, name))] = code
    return codes


def _build(languages: list[Language]) -> LanguageDetector:
    """Build a detector one language after the other, with pauses in which others run: lingua holds the interpreter.

    All at once, a server would answer nobody for as long as all of them take.
    """
    for language in languages:
        _builder([language], len(languages)).build()
        time.sleep(PAUSE_S)
    return _builder(languages, len(languages)).build()


def _builder(languages: list[Language], of: int) -> LanguageDetectorBuilder:
    """Return what loads some languages of a set of `of`, whose size decides how accurate it is."""
    builder = LanguageDetectorBuilder.from_languages(*languages).with_preloaded_language_models()
    return builder if of <= HIGH_ACCURACY_LANGUAGES else builder.with_low_accuracy_mode()
