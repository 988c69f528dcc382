"""Translation: from a client's texts to the sentences that the engine takes, and from its sentences back to texts.

A model that brings a lexicon reads its sentences with marks in them; what it does not know, does not keep, makes up, or
is unsure of is told to the client. `prepare` runs on a worker thread: it detects, splits and tokenises. An `Assembler`
belongs to one request and one thread.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from msgspec import UNSET, UnsetType

from inference.catalog import Task
from inference.engines import translation_text
from inference.engines.base import Delta
from inference.engines.languages import Languages, find_code
from inference.engines.lexicon import Lexicon, Masked
from inference.engines.seq2seq import Seq2SeqEngine, SequenceRequest
from inference.errors import AisterError
from inference.protocol import DoubtCode, TranslationResult, TranslationWarning
from inference.tasks.answer import Result
from inference.tasks.detection import Detection, detector_for
from inference.tasks.segmenting import is_unspaced, split_text

AUTO = "auto"
MAX_TEXTS = 128  # in one list
MAX_TEXT_CHARACTERS = 50_000
MAX_TOTAL_CHARACTERS = 100_000
# Models are trained on sentences: beyond some 200 tokens they leave things out, whatever their position table holds.
MAX_SENTENCE_TOKENS = 200
MAX_WARNED_WORDS = 20  # of each kind in one text


@dataclass(frozen=True, slots=True)
class Item:
    """One text: its language, and its parts in order: text to keep, or the place of a sentence in the request.

    `unknown` are its words that the model does not know.
    """

    parts: tuple[str | int, ...]
    source: Detection
    unknown: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PreparedTranslation:
    """What the engine is to do, which may be nothing, and how its answers make the texts.

    `masked` are the request's sentences as a model with a `lexicon` reads them, to be translated into `target`; empty
    for others.
    """

    request: SequenceRequest
    items: tuple[Item, ...]
    target: str
    masked: tuple[Masked, ...] = ()
    lexicon: Lexicon | None = None


def prepare(
    engine: Seq2SeqEngine, text: str | list[str], source: str, target: str, *, key: str, num_beams: int = 1
) -> PreparedTranslation:
    """Make a request of one text or a list of them, from `source` (a code, or auto) into `target`.

    Takes milliseconds; seconds for the first detection. Raises AisterError: empty_text, text_too_long,
    unknown_language, unsupported_pair, or wrong_task when the model does not translate.
    """
    texts = check_texts(text)
    languages = engine.text.languages
    into = find_language(languages, target, "target")
    stated = None if source.strip().lower() == AUTO else find_language(languages, source, "source")
    check_pair(languages, stated, into)
    sources = [_stated(stated)] * len(texts) if stated else detect(languages, texts, into)
    sentences = _Sentences(engine.text, into)
    most = min(engine.max_source_tokens, MAX_SENTENCE_TOKENS)
    items = tuple(_item(sentences, each, found, most) for each, found in zip(texts, sources, strict=True))
    request = SequenceRequest(key=key, sequences=tuple(sentences.sequences), num_beams=num_beams)
    engine.check(request)
    return PreparedTranslation(request, items, into, tuple(sentences.masked), engine.text.lexicon)


def check_texts(text: str | list[str]) -> list[str]:
    """Return the texts as a list. Raises AisterError (empty_text, text_too_long) with the one at fault as `param`."""
    texts = [text] if isinstance(text, str) else text
    if not texts:
        raise AisterError("empty_text", "The list has no texts. Send at least one.", param="text")
    if len(texts) > MAX_TEXTS:
        raise AisterError(
            "text_too_long", f"The list has more than {MAX_TEXTS} texts. Send several lists.", param="text"
        )
    for place, each in enumerate(texts):
        param = "text" if isinstance(text, str) else f"text[{place}]"
        if not each:
            raise AisterError("empty_text", param=param)
        if len(each) > MAX_TEXT_CHARACTERS:
            message = f"The text has {len(each)} characters; at most {MAX_TEXT_CHARACTERS} go. Split it."
            raise AisterError("text_too_long", message, param=param)
    if sum(map(len, texts)) > MAX_TOTAL_CHARACTERS:
        message = f"The texts together have more than {MAX_TOTAL_CHARACTERS} characters. Send several lists."
        raise AisterError("text_too_long", message, param="text")
    return texts


def find_language(languages: Languages, named: str, param: str) -> str:
    """Return our code of the language that a client names. Raises AisterError (unknown_language)."""
    code = find_code(named, (*languages.sources, *languages.targets))
    if code is None:
        known = ", ".join(languages.sources if param == "source" else languages.targets)
        raise AisterError(
            "unknown_language", f"The model does not know this {param} language. It knows: {known}.", param=param
        )
    return code


def detect(languages: Languages, texts: Iterable[str], target: str) -> list[Detection]:
    """Guess the language of each text by itself, among those that the model reads and that go with `target`."""
    candidates = [code for code in languages.sources if code == target or languages.translates(code, target)]
    detector = detector_for(candidates)
    return [detector.detect(text, target=target) for text in texts]


def check_pair(languages: Languages, source: str | None, target: str) -> None:
    """Raise AisterError (unsupported_pair) when the model knows both languages but not this way round."""
    if target not in languages.targets:
        raise AisterError("unsupported_pair", f"The model does not translate into {target}.", param="target")
    if source and source != target and not languages.translates(source, target):
        message = f"The model does not translate from {source} to {target}."
        raise AisterError("unsupported_pair", message, param="target")


def _stated(source: str) -> Detection:
    return Detection(source, 1.0, is_uncertain=False)


class _Sentences:
    """Collects the sentences of one request."""

    def __init__(self, text: translation_text.TranslationText, target: str) -> None:
        self.target = target
        self.sequences: list[translation_text.Sequence] = []
        self.masked: list[Masked] = []
        self._text = text

    def length(self, sentence: str, source: str) -> int:
        """Return how many tokens the sentence takes."""
        return len(self._text.encode(sentence, source, self.target).tokens)

    def add(self, sentence: str, source: Detection) -> tuple[int | str, tuple[str, ...]]:
        """Take a sentence; return its place, or itself where the model has nothing to translate, and unknown words."""
        masked = _mask(self._text.lexicon, sentence, source) if self._text.lexicon else Masked(sentence)
        if not masked.has_words and masked.kept:
            return sentence, masked.unknown
        if self._text.lexicon:
            self.masked.append(masked)
        self.sequences.append(self._text.encode(masked.text, source.language, self.target))
        return len(self.sequences) - 1, masked.unknown


def _mask(lexicon: Lexicon, sentence: str, source: Detection) -> Masked:
    language = source.language
    return lexicon.mask(sentence, language if source.confidence == 1 else lexicon.closest(sentence, language))


def _item(sentences: _Sentences, text: str, found: Detection, most: int) -> Item:
    """Take one text apart, adding its sentences, of at most `most` tokens, to those of the request."""
    source = found.language
    if source == sentences.target:
        return Item((text,), found)
    parts: list[str | int] = []
    unknown: list[str] = []
    for piece in split_text(text, source, lambda piece: sentences.length(piece, source) <= most):
        if not piece.is_sentence:
            parts.append(piece.text)
            continue
        if parts and isinstance(parts[-1], int) and is_unspaced(source) and not is_unspaced(sentences.target):
            parts.append(" ")
        part, words = sentences.add(piece.text, found)
        parts.append(part)
        unknown += words
    return Item(tuple(parts), found, tuple(unknown))


_DOUBTS: dict[DoubtCode, str] = {
    "outside_vocabulary": "The model does not know these words, so the translation may be wrong: {}.",
    "not_kept": "The model did not keep: {}.",
    "made_up": "The model made up these words, so the translation is probably wrong: {}.",
    "unsure": "The model is unsure of this translation: check it before you use it.",
}


def _warning(doubts: Mapping[DoubtCode, Sequence[str]]) -> TranslationWarning | UnsetType:
    """Return what is to be said of the doubts that there are: all of it as the message, the first as code and words."""
    found = [(code, list(dict.fromkeys(doubts[code]))) for code in _DOUBTS if code in doubts]
    if not found:
        return UNSET
    message = " ".join(_DOUBTS[code].format(_listed(words)) for code, words in found)
    code, words = found[0]
    return TranslationWarning(code=code, message=message, words=words[:MAX_WARNED_WORDS])


def _listed(words: Sequence[str]) -> str:
    more = len(words) - MAX_WARNED_WORDS
    return ", ".join(words[:MAX_WARNED_WORDS]) + (f" and {more} more" if more > 0 else "")


class Assembler:
    """Puts sentences that come in any order back into their texts, which grow from the front."""

    def __init__(
        self,
        items: Sequence[Item],
        target: str = "",
        masked: Sequence[Masked] = (),
        lexicon: Lexicon | None = None,
    ) -> None:
        """Take what a PreparedTranslation holds; the target, and what is masked, count with a lexicon only."""
        self._items = items
        self._target = target
        self._masked = masked
        self._lexicon = lexicon
        self._doubts: list[dict[DoubtCode, list[str]]] = [{} for _ in items]  # with the words that they are of
        for place, item in enumerate(items):
            self._doubt(place, "outside_vocabulary", item.unknown)
        self._item_of = {
            part: place for place, item in enumerate(items) for part in item.parts if isinstance(part, int)
        }
        self._sentences: dict[int, str] = {}
        self._told_parts = [0] * len(items)
        self._told = [""] * len(items)

    def begin(self) -> list[Delta]:
        """Return what can be told before any sentence: white space in front, and texts that stay as they are."""
        return [delta for place in range(len(self._items)) for delta in self._tell(place)]

    def feed(self, delta: Delta) -> list[Delta]:
        """Take the engine's sentence number `delta.item`; return what can be told now, by text instead of sentence."""
        place = self._item_of[delta.item]
        self._sentences[delta.item] = self._restored(delta, place, self._lexicon) if self._lexicon else delta.text
        return self._tell(place)

    def _restored(self, delta: Delta, place: int, lexicon: Lexicon) -> str:
        masked = self._masked[delta.item]
        self._doubt(place, "not_kept", masked.lost(delta.text))
        self._doubt(place, "made_up", lexicon.made_up(delta.text, self._target, masked))
        if lexicon.is_unsure(delta.log_probability):
            self._doubts[place]["unsure"] = []
        return masked.restore(delta.text)

    def _doubt(self, place: int, code: DoubtCode, words: Sequence[str]) -> None:
        if words:
            self._doubts[place].setdefault(code, []).extend(words)

    def _tell(self, place: int) -> list[Delta]:
        parts = self._items[place].parts
        text = ""
        while self._told_parts[place] < len(parts):
            part = parts[self._told_parts[place]]
            if isinstance(part, int) and part not in self._sentences:
                break
            text += self._sentences.pop(part) if isinstance(part, int) else part
            self._told_parts[place] += 1
        self._told[place] += text
        return [Delta(text, place)] if text else []

    def translations(self) -> list[TranslationResult]:
        """Return the texts as far as their sentences are here, in order."""
        self.begin()
        return [
            TranslationResult(
                text=text,
                source=item.source.language,
                confidence=item.source.confidence,
                uncertain=item.source.is_uncertain,
                warning=_warning(doubts),
            )
            for item, text, doubts in zip(self._items, self._told, self._doubts, strict=True)
        ]


class TranslationAnswer:
    """One answer to `translation.create`."""

    task: ClassVar[Task] = "translation"
    truncated = 0
    message_id: str | None = None

    def __init__(self, text: str | list[str], source: str | None, target: str | None) -> None:
        """Take what the client sent, or its session's settings say. No source is `auto`; no target is refused."""
        self._text = text
        self._source = source or AUTO
        self._target = target
        self._assembler = Assembler(())

    def prepare(self, engine: Seq2SeqEngine, key: str) -> SequenceRequest:
        """Return what the engine is to do. Worker thread. Raises AisterError, as the function `prepare` does."""
        if not self._target:
            raise AisterError("invalid_field", "Name the language to translate into.", param="target")
        prepared = prepare(engine, self._text, self._source, self._target, key=key)
        self._assembler = Assembler(prepared.items, prepared.target, prepared.masked, prepared.lexicon)
        return prepared.request

    def begin(self) -> Sequence[Delta]:
        """Return what the client is told first, before the model has said anything. Event loop."""
        return self._assembler.begin()

    def hear(self, delta: Delta) -> Sequence[Delta]:
        """Take one sentence and return what the client is told. Event loop."""
        return self._assembler.feed(delta)

    def conclude(self, *, is_cancelled: bool) -> Result:  # noqa: ARG002  # a cancelled answer holds what came before
        """Return the texts, as far as they came. Event loop."""
        return Result(translations=self._assembler.translations())
