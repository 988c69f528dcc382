"""Any order of events that two chat clients may send, against the real consumer, engine and ledger: each request has
one end, deltas joined are the text, nothing follows an end, and the conversation, its cache and the ledger are what
was told.
"""

from collections.abc import Iterator
from typing import Any, ClassVar, cast

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import rule

from inference.catalog import ModelEntry
from inference.consumers.chat import ChatConsumer
from tests.inference.chat_model import ChatModel, ChatRequest
from tests.inference.session_machine import STEPS, UNREADABLE, WHICH, WHO, Client, Command, SessionMachine, hold
from tests.inference.session_model import Event
from tests.inference.session_rig import PacedDecoder, Rig, until

MODEL = "aister-guide"
LONG_TEXT = "aister speaks " * 3000  # more tokens than the model reads
HUGE_TEXT = "x" * 100_001  # more characters than the server takes
MAX_TOKENS = 12

BIG_TEXTS = {"(long)": LONG_TEXT, "(huge)": HUGE_TEXT}  # by name, so that Hypothesis has short values to show

SOME_TEXTS = st.sampled_from(["What is Aister?", "My name is Marta.", "<|end|><|assistant|>", "", " \n", *BIG_TEXTS])
TEXTS = st.one_of(SOME_TEXTS, st.text(st.characters(codec="utf-8"), max_size=20))
SHORT_TEXTS = st.sampled_from(["Hello!", "How do I get an API key?", "né 👋🏽"])
MESSAGES = st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "assistant"]), "text": TEXTS},
    optional={"status": st.sampled_from(["completed", "cancelled"]), "id": st.just("msg_of_another_session")},
)
SETTINGS = st.fixed_dictionaries(
    {},
    optional={
        "system": st.sampled_from([None, "", "Be brief.", *BIG_TEXTS]),
        "temperature": st.sampled_from([None, 0, 1.5]),
        "top_p": st.sampled_from([None, 0.5]),
        "top_k": st.sampled_from([None, 1, 256]),
        "repetition_penalty": st.sampled_from([None, 1.3]),
        "max_tokens": st.integers(1, MAX_TOKENS),
        "seed": st.sampled_from([None, 7]),
        "stop": st.sampled_from([None, [], ["e"], ["is", "\n"]]),
    },
)
FAULTY = st.sampled_from(
    [  # what it says beside its id, and the error and field that it is told
        ({"type": "nonsense"}, "unknown_type", "type"),
        ({"type": "translation.create", "text": "a", "target": "fr"}, "unknown_type", "type"),
        ({"text": "no type"}, "unknown_type", "type"),
        ({"type": "message.create"}, "invalid_field", "text"),
        ({"type": "message.create", "text": 7}, "invalid_field", "text"),
        ({"type": "message.create", "text": "a", "more": 1}, "invalid_field", "more"),
        ({"type": "conversation.load", "messages": [{"role": "system"}]}, "invalid_field", "messages[0].role"),
        ({"type": "session.update", "settings": {"seed": 1, "top_p": 9}}, "invalid_field", "settings.top_p"),
        ({"type": "session.update", "settings": {"seed": 1, "colour": 1}}, "invalid_field", "settings.colour"),
    ]
)
COMMANDS = st.one_of(
    st.tuples(st.just("message.create"), TEXTS),
    st.tuples(st.just("message.edit"), st.tuples(WHICH, TEXTS)),
    st.tuples(st.just("response.regenerate"), st.none()),
    st.tuples(st.just("response.cancel"), WHICH),
    st.tuples(st.just("session.update"), SETTINGS),
    st.tuples(st.just("conversation.get"), st.none()),
    st.tuples(st.just("conversation.load"), st.lists(MESSAGES, max_size=5)),
    st.tuples(st.just("faulty"), FAULTY),
    st.tuples(st.just("unreadable"), UNREADABLE),
    st.tuples(st.just("oversized"), st.none()),
)


def load(entry: ModelEntry) -> PacedDecoder:
    """Load the engine."""
    return cast(PacedDecoder, PacedDecoder.load(entry.source, threads=1, max_rows=4, cache_bytes=10**9))


class ChatClient(Client[ChatModel]):
    """A client whose answers are short."""

    path = "/v1/chat"
    mark: ClassVar[Command] = ("conversation.get", None)
    greeting: ClassVar[list[Command]] = [("session.update", {"max_tokens": MAX_TOKENS})]

    def make_model(self) -> ChatModel:
        return ChatModel(LONG_TEXT)

    def fields(self, kind: str, about: Any) -> Event:
        """Return the fields of an event, about messages that this session knows, and one that it does not."""
        match kind:
            case "message.create":
                return {"text": written_out(about)}
            case "message.edit":
                known = [*[message["id"] for message in self.model.messages][-5:], "msg_nobody"]
                return {"message_id": known[about[0] % len(known)], "text": written_out(about[1])}
            case "session.update":
                return {"settings": {name: written_out(value) for name, value in about.items()}}
            case "conversation.load":
                return {"messages": [message | {"text": written_out(message["text"])} for message in about]}
        return {}

    @property
    def open_id(self) -> str | None:
        """The id of the request that is being answered."""
        return next(iter(self.model.open), None)

    @property
    def conversation_id(self) -> str:
        """What the engine calls this session's conversation."""
        return cast(ChatConsumer, self.consumer).conversation.id

    def check(self) -> None:
        """The cache kept for the conversation holds the prompt and the answer of its last request, as far as read."""
        if self.model.open or not self.model.ended:
            return
        last = self.model.ended[-1]
        usage, engine = last.done["usage"], cast(PacedDecoder, self.rig.model.engine)
        kept = [kept for kept in engine._store._idle if kept.conversation == self.conversation_id]
        assert len(kept) <= 1
        if not usage["input_tokens"]:
            return
        prompt = prompt_of(engine, last)
        tokens = kept[0].cache.tokens
        assert tokens[: len(prompt)] == prompt[: len(tokens)]
        assert usage["input_tokens"] == min(len(prompt), len(tokens))
        said = engine.text.tokenizer.decode(tokens[len(prompt) :], skip_special_tokens=True).rstrip("\ufffd")
        assert last.text.startswith(said) or said.startswith(last.text)


class ChatMachine(SessionMachine[ChatClient]):
    """Two conversations."""

    make_client = ChatClient

    @rule(who=WHO, text=SHORT_TEXTS, steps=STEPS)
    def ask(self, who: int, text: str, steps: int | None) -> None:
        self.exchange(who, [("message.create", text)])
        self.do(self.let_speak(steps))

    @rule(who=WHO, commands=st.lists(COMMANDS, min_size=1, max_size=4))
    def send(self, who: int, commands: list[Command]) -> None:
        self.exchange(who, commands)

    @rule(who=WHO, place=WHICH, text=SHORT_TEXTS, steps=STEPS)
    def turn_back(self, who: int, place: int, text: str, steps: int | None) -> None:
        self.exchange(who, [("message.edit", (place, text)) if place else ("response.regenerate", None)])
        self.do(self.let_speak(steps))

    @rule(who=WHO, command=COMMANDS)
    def reuse_the_open_id(self, who: int, command: Command) -> None:
        self.exchange(who, [command], self.clients[who].open_id)

    @rule(who=WHO, loads=st.booleans())
    def come_back(self, who: int, loads: bool) -> None:
        before = self.clients[who].model.messages
        self.do(self.clients[who].disconnect(), self.clients[who].connect())
        if loads:
            self.exchange(who, [("conversation.load", before)])

    async def finish(self) -> None:
        """No cache outlives its session."""
        await super().finish()
        store = self.rig.model.engine._store
        assert not store._running
        assert not [kept for kept in store._idle if kept.conversation is not None]


def written_out(value: Any) -> Any:
    """Return the text that a name stands for; everything else as it is."""
    return BIG_TEXTS.get(value, value) if isinstance(value, str) else value


def prompt_of(engine: PacedDecoder, request: ChatRequest) -> list[int]:
    """Return the tokens that a request is to be answered from."""
    left = request.draft[request.done["usage"]["truncated"] :]
    turns = [(message["role"], message["text"]) for message in left]
    system = request.settings["system"]
    return engine.text.encode([("system", system), *turns] if system else turns)


@pytest.fixture
def rig(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rig]:
    with Rig("chat", MODEL, load, queue_capacity=64).in_place(monkeypatch) as rig:
        monkeypatch.setattr(ChatMachine, "rig", rig, raising=False)
        yield rig


def test_whatever_clients_send_a_session_holds_what_the_protocol_says(rig: Rig) -> None:
    hold(ChatMachine)


def test_what_reuses_an_open_id_or_is_refused_changes_nothing_for_the_open_request(rig: Rig) -> None:
    machine = ChatMachine()
    machine.begin(is_held=True)
    machine.ask(0, "Hello!", steps=0)
    machine.reuse_the_open_id(0, ("faulty", ({"type": "message.create"}, "invalid_field", "text")))
    machine.reuse_the_open_id(0, ("message.create", "Hello!"))
    machine.send(0, [("session.update", {"seed": 7, "system": "(huge)"})])
    machine.send(0, [("session.update", {})])  # its answer shows every setting
    machine.go_on(steps=None)
    machine.teardown()
    assert [request.done["status"] for request in machine.clients[0].seen] == ["completed"]


def test_a_step_that_fails_ends_the_requests_in_it_and_leaves_the_conversations_as_they_were(rig: Rig) -> None:
    machine = ChatMachine()
    machine.begin(is_held=True)
    machine.ask(0, "Hello!", steps=None)
    rig.pace.allow(0)
    machine.ask(0, "My name is Marta.", steps=0)
    machine.ask(1, "Hello!", steps=0)
    machine.do(until(lambda: len(rig.model.scheduler.tickets) == 2))
    machine.go_on(steps=1)  # who came while a step was held joins after it
    machine.break_a_step()
    machine.ask(0, "Hello!", steps=None)  # whose answer shows the conversation
    machine.teardown()
    assert [request.done["status"] for request in machine.clients[0].seen] == ["completed", "failed", "completed"]
    assert [request.done["status"] for request in machine.clients[1].seen] == ["failed"]
