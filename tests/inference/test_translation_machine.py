"""Any order of events that two translation clients may send, against the real consumer, engine and ledger: each request
has one end, the deltas of each text joined are its translation, nothing follows an end, a text is translated the same
whatever stands beside it, and the ledger has what was told.
"""

from collections.abc import Iterator
from typing import Any, ClassVar, cast

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import rule

from inference.catalog import ModelEntry
from tests.inference.session_machine import STEPS, UNREADABLE, WHICH, WHO, Client, Command, SessionMachine, hold
from tests.inference.session_model import Event
from tests.inference.session_rig import PacedTranslator, Rig, until
from tests.inference.translation_model import LANGUAGES, MOST_OPEN, MOST_TEXTS, Said, TranslationModel

MODEL = "aister-phrasebook"
QUEUE_CAPACITY = 8

# by name, so that Hypothesis has short values to show
BIG_TEXTS: dict[str, str | list[str]] = {
    "(long)": "Good morning. I would like a coffee, please.\n" * 10,
    "(huge)": "x" * 50_001,
    "(many)": ["Thank you."] * (MOST_TEXTS + 1),
    "(heavy)": ["x" * 40_000] * 3,
}
PHRASES = ["Good morning", " Where is the train station?\n\nThank you! ", "Guten Morgen", "Obrigado.", "12:30 — 🚆"]
SHORT_TEXTS = st.sampled_from(PHRASES)
TEXTS = st.one_of(SHORT_TEXTS, st.sampled_from(["", " \n", "</s>"]), st.text(st.characters(codec="utf-8"), max_size=12))
SOME_TEXTS = st.one_of(TEXTS, st.lists(TEXTS, max_size=5), st.sampled_from(list(BIG_TEXTS)))
SOURCES = st.sampled_from([None, "", "auto", "xx", *LANGUAGES])
TARGETS = st.sampled_from([None, "", "auto", "xx", *LANGUAGES])
TRANSLATIONS = st.fixed_dictionaries({"text": SOME_TEXTS}, optional={"source": SOURCES, "target": TARGETS})
SETTINGS = st.fixed_dictionaries({}, optional={"source": SOURCES, "target": TARGETS})
FAULTY = st.sampled_from(
    [  # what it says beside its id, and the error and field that it is told
        ({"type": "nonsense"}, "unknown_type", "type"),
        ({"type": "message.create", "text": "a"}, "unknown_type", "type"),
        ({"text": "no type"}, "unknown_type", "type"),
        ({"type": "translation.create", "target": "fr"}, "invalid_field", "text"),
        ({"type": "translation.create", "text": ["a", 7], "target": "fr"}, "invalid_field", "text[1]"),
        ({"type": "translation.create", "text": "a", "target": ["fr"]}, "invalid_field", "target"),
        ({"type": "translation.create", "text": "a", "to": "fr"}, "invalid_field", "to"),
        ({"type": "session.update", "settings": {"target": "fr", "source": 7}}, "invalid_field", "settings.source"),
        ({"type": "response.cancel"}, "invalid_field", "target"),
    ]
)
COMMANDS = st.one_of(
    st.tuples(st.just("translation.create"), TRANSLATIONS),
    st.tuples(st.just("response.cancel"), WHICH),
    st.tuples(st.just("session.update"), SETTINGS),
    st.tuples(st.just("faulty"), FAULTY),
    st.tuples(st.just("unreadable"), UNREADABLE),
    st.tuples(st.just("oversized"), st.none()),
)


def load(entry: ModelEntry) -> PacedTranslator:
    """Load the engine."""
    return cast(PacedTranslator, PacedTranslator.load(entry.source, threads=1))


class TranslationClient(Client[TranslationModel]):
    """A client of translations. What any was told, all must be."""

    path = "/v1/translate"
    mark: ClassVar[Command] = ("session.update", {})
    greeting: ClassVar[list[Command]] = [("session.update", {"target": "fr"})]
    said: Said

    def make_model(self) -> TranslationModel:
        return TranslationModel(self.said, QUEUE_CAPACITY, len(self.left_open))

    def fields(self, kind: str, about: Any) -> Event:
        """Return the fields of an event."""
        if kind == "session.update":
            return {"settings": about}
        text = about["text"]
        return about | {"text": BIG_TEXTS.get(text, text) if isinstance(text, str) else text}


class TranslationMachine(SessionMachine[TranslationClient]):
    """Two sessions."""

    make_client = TranslationClient

    @rule(who=WHO, text=st.one_of(SHORT_TEXTS, st.lists(SHORT_TEXTS, min_size=1)), into=TARGETS, steps=STEPS)
    def translate(self, who: int, text: str | list[str], into: str | None, steps: int | None) -> None:
        self.exchange(who, [("translation.create", {"text": text, "target": into})])
        self.do(self.let_speak(steps))

    @rule(who=WHO, text=SHORT_TEXTS, times=st.integers(2, MOST_OPEN + 2))
    def translate_at_once(self, who: int, text: str, times: int) -> None:
        self.exchange(who, [("translation.create", {"text": text})] * times)

    @rule(who=WHO, commands=st.lists(COMMANDS, min_size=1, max_size=6))
    def send(self, who: int, commands: list[Command]) -> None:
        self.exchange(who, commands)

    @rule(who=WHO, command=COMMANDS, which=WHICH)
    def reuse_an_open_id(self, who: int, command: Command, which: int) -> None:
        open_ids = [*self.clients[who].model.open, None]
        self.exchange(who, [command], open_ids[which % len(open_ids)])

    @rule(who=WHO)
    def come_back(self, who: int) -> None:
        self.do(self.clients[who].disconnect(), self.clients[who].connect())


@pytest.fixture
def rig(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rig]:
    with Rig("translation", MODEL, load, QUEUE_CAPACITY).in_place(monkeypatch) as rig:
        monkeypatch.setattr(TranslationMachine, "rig", rig, raising=False)
        monkeypatch.setattr(TranslationClient, "said", {}, raising=False)
        yield rig


def test_whatever_clients_send_a_session_holds_what_the_protocol_says(rig: Rig) -> None:
    hold(TranslationMachine)


def statuses(client: TranslationClient) -> list[str]:
    """Return how a client's requests ended."""
    return [request.done["status"] for request in client.seen]


def test_requests_wait_their_turn_and_a_full_session_takes_no_more(rig: Rig) -> None:
    machine = TranslationMachine()
    machine.begin(is_held=True)
    machine.translate_at_once(0, "Good morning", times=MOST_OPEN + 1)
    assert len(machine.clients[0].model.open) > PacedTranslator.most_requests
    machine.go_on(steps=None)
    machine.translate_at_once(0, "Good morning", times=2)
    machine.go_on(steps=None)
    machine.teardown()
    assert set(statuses(machine.clients[0])) == {"completed"}


def test_a_step_that_fails_ends_the_requests_in_it_and_no_other(rig: Rig) -> None:
    machine = TranslationMachine()
    machine.begin(is_held=True)
    machine.translate(0, ["Good morning", "Obrigado."], None, steps=0)
    machine.translate(1, "Good morning", "de", steps=0)
    machine.do(until(lambda: len(rig.model.scheduler.tickets) == 2))
    machine.go_on(steps=1)  # what came while a step was held joins after it
    machine.break_a_step()
    machine.translate(1, "Good morning", "de", steps=None)
    machine.teardown()
    assert statuses(machine.clients[0]) == ["failed"]
    assert statuses(machine.clients[1]) == ["failed", "completed"]


def test_what_a_client_left_open_counts_against_its_share_when_it_comes_back(rig: Rig) -> None:
    machine = TranslationMachine()
    machine.begin(is_held=True)
    machine.translate_at_once(0, "Good morning", times=1)
    machine.do(until(lambda: rig.pace.is_waiting))
    machine.translate_at_once(0, "Good morning", times=6)
    machine.do(until(lambda: len(rig.model.scheduler.tickets) == 7))
    machine.come_back(0)
    machine.translate_at_once(0, "Good morning", times=1)
    while machine.clients[0].model.open:  # until it is refused
        machine.do(machine.clients[0].hear())
    machine.go_on(steps=None)
    machine.teardown()
