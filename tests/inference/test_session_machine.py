"""Any order of events that a client may send, against the real consumer, engine and ledger: each request has one end,
deltas joined are the text, nothing follows an end, and the conversation, its cache and the ledger are what was told.
"""

import asyncio
import json
from collections.abc import Coroutine, Iterator
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from accounts.models import ApiKey
from inference import response
from inference.apps import BUNDLED, application, sessions
from inference.catalog import Catalog, ModelEntry
from inference.consumers import session
from inference.consumers.chat import ChatConsumer
from inference.manager import Model, ModelManager
from inference.models import UsageRecord
from inference.protocol import MAX_FRAME_BYTES
from inference.usage import Ledger, insert
from tests.inference.session_model import ChatModel, Event, Frame, Request
from tests.inference.session_rig import Client, Pace, PacedEngine, until

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
UNREADABLE = st.sampled_from(
    [
        Frame(data="{", error=(None, "invalid_json", None)),
        Frame(data="[1]", error=(None, "invalid_json", None)),
        Frame(data="[" * 5000, error=(None, "invalid_json", None)),
        Frame(data=b"\xff\xfe", error=(None, "invalid_json", None)),
        Frame(data='{"type":"message.create","text":"a"}', error=(None, "invalid_field", "id")),
        Frame(data='{"type":"message.create","id":"a b","text":"a"}', error=(None, "invalid_field", "id")),
        Frame(data='{"type":"conversation.get","id":7}', error=(None, "invalid_field", "id")),
    ]
)
WHICH = st.integers(0, 5)
STEPS = st.one_of(st.none(), st.integers(0, 6))
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


class Rig:
    """What all examples share: a loaded model, a ledger on the database."""

    def __init__(self) -> None:
        self.pace = Pace()
        catalog = Catalog([ModelEntry(id=MODEL, task="chat", source=str(BUNDLED / MODEL), is_default=True)])
        self.manager = ModelManager(catalog, self.load, budget_bytes=10**9, queue_capacity=8)
        self.ledger = Ledger(insert)

    def load(self, entry: ModelEntry) -> PacedEngine:
        engine = PacedEngine.load(entry.source, threads=1, max_rows=4, cache_bytes=10**9)
        engine.pace = self.pace
        return cast(PacedEngine, engine)

    @property
    def model(self) -> Model:
        return self.manager.preload([MODEL])[0].result(60)

    @property
    def engine(self) -> PacedEngine:
        return cast(PacedEngine, self.model.engine)

    def has_settled(self) -> bool:
        """True when the engine has nothing to do, and nothing to forget."""
        scheduler = self.model.scheduler
        return not scheduler.calls and not scheduler.queue.size and self.engine.is_idle

    def close(self) -> None:
        self.pace.allow(None)
        self.manager.close()
        self.ledger.close()


@pytest.fixture
def rig(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rig]:
    rig = Rig()
    monkeypatch.setattr(application(), "manager", rig.manager)
    monkeypatch.setattr(session, "ledger", rig.ledger)
    monkeypatch.setattr(ChatMachine, "rig", rig, raising=False)
    yield rig
    rig.close()


class ChatMachine(RuleBasedStateMachine):
    """One client of one key, which may come back with new sessions."""

    rig: Rig

    def __init__(self) -> None:
        super().__init__()
        self.key = ApiKey(name="machine")
        self.secret = self.key.make_secret()
        self.key.save()
        self.runner = asyncio.Runner()
        self.ids = 0
        self.seen: list[Request] = []
        self.left_open: list[Request] = []
        self.conversations: set[str] = set()
        self.is_sound = False  # a rule that failed leaves nothing to be checked at the end

    def do(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run the session, which stands still between rules; only the model's thread goes on."""
        self.is_sound = False
        self.runner.run(coroutine)
        self.is_sound = True

    # -- sessions -----------------------------------------------------------------------------------------------------

    @initialize(is_held=st.booleans())
    def begin(self, is_held: bool) -> None:
        self.rig.pace.allow(0 if is_held else None)
        self.do(self.connect())

    async def connect(self) -> None:
        """Open a session whose answers are short."""
        self.client, self.model = Client(self.secret), ChatModel(LONG_TEXT)
        assert (await self.client.hear())["type"] == "websocket.accept"
        greeting = await self.client.hear_event()
        assert isinstance(greeting, dict)
        assert greeting["type"] == "session.created"
        assert greeting["settings"] == self.model.settings
        (self.consumer,) = cast("set[ChatConsumer]", sessions().sessions)
        self.conversations.add(self.consumer.conversation.id)
        await self.exchange([("session.update", {"max_tokens": MAX_TOKENS})])

    async def disconnect(self) -> None:
        """Leave; what was open goes on to its row."""
        await self.client.leave()
        assert not sessions().sessions
        self.seen += self.model.ended
        if self.model.open is not None:
            self.left_open.append(self.model.open)

    # -- frames -------------------------------------------------------------------------------------------------------

    def frame(self, kind: str, about: Any, event_id: str | None = None) -> Frame:
        """Return the frame of a command, about ids that this session knows, has ended or never had."""
        self.ids += 1
        event: Event = {"type": kind, "id": event_id or f"{self.ids}"}
        match kind:
            case "unreadable":
                return cast(Frame, about)
            case "oversized":
                return Frame(data=" " * (MAX_FRAME_BYTES + 1), error=(None, "frame_too_large", None))
            case "faulty":
                said, code, param = about
                return Frame(data=json.dumps(said | {"id": event["id"]}), error=(event["id"], code, param))
            case "message.create":
                event["text"] = written_out(about)
            case "message.edit":
                known = [message["id"] for message in self.model.messages]
                event |= {
                    "message_id": [*known[-5:], "msg_nobody"][about[0] % (len(known[-5:]) + 1)],
                    "text": written_out(about[1]),
                }
            case "response.cancel":
                event["target"] = f"{self.ids - about}"  # with luck what is open or has ended, else itself
            case "session.update":
                event["settings"] = {name: written_out(value) for name, value in about.items()}
            case "conversation.load":
                event["messages"] = [message | {"text": written_out(message["text"])} for message in about]
        return Frame(event=event)

    async def exchange(self, commands: list[tuple[str, Any]], event_id: str | None = None) -> None:
        """Send frames in one go, then ask for the conversation, and hear what is said until it comes."""
        frames = [self.frame(kind, about, event_id) for kind, about in commands]
        frames.append(last := self.frame("conversation.get", None))
        self.model.pending.extend(frames)
        for frame in frames:
            self.client.say(frame)
        while self.model.pending:
            await self.hear()
        if self.model.close_code is not None:
            await self.disconnect()
            await self.connect()
        else:
            assert last.event["id"] == str(self.ids)
            self.check_cache()

    async def hear(self) -> None:
        """Let the model explain what comes next."""
        heard = await self.client.hear_event()
        if isinstance(heard, int):
            assert heard == self.model.close_code
            self.model.pending.clear()
        else:
            self.model.hear(heard)

    # -- rules --------------------------------------------------------------------------------------------------------

    @rule(text=SHORT_TEXTS, steps=STEPS)
    def ask(self, text: str, steps: int | None) -> None:
        self.do(self.exchange([("message.create", text)]))
        self.do(self.let_speak(steps))

    @rule(commands=st.lists(COMMANDS, min_size=1, max_size=4))
    def send(self, commands: list[tuple[str, Any]]) -> None:
        self.do(self.exchange(commands))

    @rule(place=WHICH, text=SHORT_TEXTS, steps=STEPS)
    def turn_back(self, place: int, text: str, steps: int | None) -> None:
        commands = [("message.edit", (place, text)) if place else ("response.regenerate", None)]
        self.do(self.exchange(commands))
        self.do(self.let_speak(steps))

    @rule(command=COMMANDS)
    def reuse_the_open_id(self, command: tuple[str, Any]) -> None:
        self.do(self.exchange([command], self.open_id))

    @rule(steps=STEPS)
    def cancel_what_is_open(self, steps: int | None) -> None:
        back = self.ids + 1 - int(self.open_id or 0)
        self.do(self.exchange([("response.cancel", back)]))
        self.do(self.let_speak(steps))

    @rule(steps=STEPS)
    def go_on(self, steps: int | None) -> None:
        self.do(self.let_speak(steps))

    @rule()
    def let_the_model_run(self) -> None:
        self.rig.pace.allow(None)

    @rule(loads=st.booleans())
    def come_back(self, loads: bool) -> None:
        self.do(self.reconnect(loads))

    @property
    def open_id(self) -> str | None:
        """The id of the request that is being answered."""
        return None if self.model.open is None else self.model.open.id

    async def let_speak(self, steps: int | None) -> None:
        """Let the model make some steps and then none; None is until the request has ended."""
        pace = self.rig.pace
        pace.allow(steps)
        if steps is not None:
            await until(lambda: pace.steps == 0 or self.rig.has_settled())
            pace.allow(0)
        while steps is None and self.model.open is not None:
            await self.hear()
        await self.exchange([])

    async def reconnect(self, loads: bool) -> None:
        """Begin a new session, with the conversation of the last one if it is to be loaded."""
        before = self.model.messages
        await self.disconnect()
        await self.connect()
        if loads:
            await self.exchange([("conversation.load", before)])

    # -- what must hold -----------------------------------------------------------------------------------------------

    def check_cache(self) -> None:
        """The cache kept for the conversation holds the prompt and the answer of its last request, as far as read."""
        if self.model.open is not None or not self.model.ended:
            return
        last = self.model.ended[-1]
        usage, engine = last.done["usage"], self.rig.engine
        kept = [kept for kept in engine._store._idle if kept.conversation == self.consumer.conversation.id]
        assert len(kept) <= 1
        if not usage["input_tokens"]:
            return
        prompt = prompt_of(engine, last)
        tokens = kept[0].cache.tokens
        assert tokens[: len(prompt)] == prompt[: len(tokens)]
        assert usage["input_tokens"] == min(len(prompt), len(tokens))
        said = engine.text.tokenizer.decode(tokens[len(prompt) :], skip_special_tokens=True).rstrip("\ufffd")
        text = "".join(last.parts)
        assert text.startswith(said) or said.startswith(text)

    def teardown(self) -> None:
        try:
            if self.is_sound:
                self.do(self.finish())
                self.check_rows()
        finally:
            self.runner.run(self.abandon())
            self.runner.close()

    async def abandon(self) -> None:
        """Leave nothing behind for the next example, whatever became of this one."""
        self.rig.pace.allow(None)
        await self.client.leave()
        await response.all_ended(30)
        await until(self.rig.has_settled)

    async def finish(self) -> None:
        """Leave for good: nothing is open, kept or reserved any more."""
        await self.exchange([])
        await self.disconnect()
        self.rig.pace.allow(None)
        await response.all_ended(30)
        assert not response.RUNNING
        await until(self.rig.has_settled)
        store = self.rig.engine._store
        assert not store._running
        assert not [kept for kept in store._idle if kept.conversation in self.conversations]
        assert not self.rig.model.scheduler.tickets
        assert self.rig.manager.slots[MODEL].leases == 0
        assert self.rig.ledger.reserved == 0

    def check_rows(self) -> None:
        """Each `response.done` that was seen has its one row; requests that nobody waited for have theirs too."""
        rows = {row.request_id: row for row in UsageRecord.objects.filter(key=self.key)}
        for request in self.seen:
            row, done = rows.pop(request.done["request_id"]), request.done
            usage = {name: getattr(row, name) for name in ("input_tokens", "cached_tokens", "output_tokens")}
            assert usage | {"truncated": done["usage"]["truncated"]} == done["usage"]
            assert (row.status, row.error_code, row.task, row.model) == (done["status"], "", "chat", MODEL)
            assert (row.transport, row.total_ms) == ("websocket", done["timing"]["total_ms"])
        certain = [request for request in self.left_open if not request.is_too_long]
        assert len(certain) <= len(rows) <= len(self.left_open)
        assert {row.status for row in rows.values()} <= {"completed", "cancelled"}


def written_out(value: Any) -> Any:
    """Return the text that a name stands for; everything else as it is."""
    return BIG_TEXTS.get(value, value) if isinstance(value, str) else value


def prompt_of(engine: PacedEngine, request: Request) -> list[int]:
    """Return the tokens that a request is to be answered from."""
    left = request.draft[request.done["usage"]["truncated"] :]
    turns = [(message["role"], message["text"]) for message in left]
    system = request.settings["system"]
    return engine.text.encode([("system", system), *turns] if system else turns)


def test_whatever_a_client_sends_a_session_holds_what_the_protocol_says(rig: Rig) -> None:
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        ChatMachine,
        settings=settings(
            max_examples=40,
            stateful_step_count=15,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        ),
    )


def test_what_reuses_an_open_id_or_is_refused_changes_nothing_for_the_open_request(rig: Rig) -> None:
    machine = ChatMachine()
    machine.begin(is_held=True)
    machine.ask("Hello!", steps=0)
    machine.reuse_the_open_id(("faulty", ({"type": "message.create"}, "invalid_field", "text")))
    machine.reuse_the_open_id(("message.create", "Hello!"))
    machine.send([("session.update", {"seed": 7, "system": "(huge)"})])
    machine.send([("session.update", {})])  # its answer shows every setting
    machine.go_on(steps=None)
    machine.teardown()
    assert [request.done["status"] for request in machine.seen] == ["completed"]
