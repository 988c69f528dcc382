"""A translation session as docs/protocol.md has it: requests side by side, and lists whose texts know nothing of one
another.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

from tests.inference.session_model import Event, Fault, Request, SessionModel, error

LANGUAGES = ("en", "fr", "de", "es", "it", "pt")
AUTO = "auto"
MOST_OPEN = 16
MOST_TEXTS = 128
MOST_CHARACTERS = 50_000
MOST_TOGETHER = 100_000

Said = dict[tuple[str, str, str], Event]  # text, source, target: its translation, whoever asked, in whatever list


@dataclass(eq=False, kw_only=True)
class TranslationRequest(Request):
    """Texts to translate, from `source` (or auto) into `target`, and what was told of each."""

    texts: list[str]
    source: str
    target: str
    told: list[str]


class TranslationModel(SessionModel[TranslationRequest]):
    """One translation session. `room` is how many requests fit in the queue, `said` what all sessions were told, and
    `left` how many requests the key's earlier sessions left open: they go on.
    """

    defaults: ClassVar[Event] = {"source": None, "target": None}

    def __init__(self, said: Said, room: int, left: int) -> None:
        super().__init__()
        self.said = said
        self.room = room
        self.left = left

    # -- events -------------------------------------------------------------------------------------------------------

    def refusals(self, request: TranslationRequest) -> set[Fault]:
        """A queue that may be full refuses too, or may hold as many of this key as one may have."""
        own = self.left + len(self.open) - 1 + len(self.pending)
        is_full = own + self.others >= self.room or own >= self.room - self.room // 4
        return request.faults | ({("overloaded", None)} if is_full else set())

    def created(self, request: TranslationRequest, event: Event) -> None:
        assert "message_id" not in event

    def heard(self, request: TranslationRequest, event: Event) -> None:
        request.told[event["item"]] += event["text"]

    def completed(self, request: TranslationRequest, event: Event) -> None:
        """What was told is the translation, which is the same whenever and beside whatever a text is translated."""
        self.check_told(request, event["translations"])
        for text, translation in zip(request.texts, event["translations"], strict=True):
            assert is_framed_like(text, translation["text"])
            if translation["source"] == request.target:
                assert translation["text"] == text
            known = self.said.setdefault((text, request.source, request.target), translation)
            assert translation == known

    def cut_short(self, request: TranslationRequest, event: Event) -> None:
        """The texts as far as they came; none when the model never had it."""
        if event["translations"]:
            self.check_told(request, event["translations"])
        else:
            assert not any(request.told)

    def failed(self, request: TranslationRequest, event: Event) -> None:
        assert "translations" not in event

    def check_told(self, request: TranslationRequest, translations: list[Event]) -> None:
        """Check that the deltas of each text, joined, are its translation, and where it says that it comes from."""
        assert [each["text"] for each in translations] == request.told
        for each in translations:
            if request.source != AUTO:
                assert (each["source"], each["confidence"], each["uncertain"]) == (request.source, 1, False)
            assert each["source"] in LANGUAGES
            assert 0 <= each["confidence"] <= 1

    # -- frames -------------------------------------------------------------------------------------------------------

    def take_event(self, event: Event) -> Event | None:
        if event["type"] == "session.update":
            return self.take_settings(event)
        if len(self.open) >= MOST_OPEN:
            return error(event["id"], "too_many_open")
        source = event.get("source") or self.settings["source"] or AUTO
        target = event.get("target") or self.settings["target"]
        faults = faults_of(event["text"]) | faults_between(source, target)
        texts = [event["text"]] if isinstance(event["text"], str) else event["text"]
        self.begin(
            TranslationRequest(
                id=event["id"],
                settings=self.settings,
                faults=faults,
                texts=texts,
                source=source,
                target=target,
                told=[""] * len(texts),
            )
        )
        return None


def faults_of(text: str | list[str]) -> set[Fault]:
    """Return what is wrong with a text or a list of them."""
    texts = [text] if isinstance(text, str) else text
    faults: set[Fault] = set()
    for place, each in enumerate(texts):
        name = "text" if isinstance(text, str) else f"text[{place}]"
        faults |= set() if each else {("empty_text", name)}
        faults |= {("text_too_long", name)} if len(each) > MOST_CHARACTERS else set()
    if len(texts) > MOST_TEXTS or sum(map(len, texts)) > MOST_TOGETHER:
        faults.add(("text_too_long", "text"))
    return faults if texts else {("empty_text", "text")}


def faults_between(source: str, target: Any) -> set[Fault]:
    """Return what is wrong with the languages."""
    faults: set[Fault] = set()
    if not target:
        faults.add(("invalid_field", "target"))
    elif target not in LANGUAGES:
        faults.add(("unknown_language", "target"))
    if source not in (AUTO, *LANGUAGES):
        faults.add(("unknown_language", "source"))
    return faults


def is_framed_like(text: str, translation: str) -> bool:
    """Say whether a translation keeps the white space around its text."""
    before, after = len(text) - len(text.lstrip()), len(text.rstrip())
    return translation.startswith(text[:before]) and translation.endswith(text[after:])
