"""Two clients whose sessions share a model, in any order of what both may do, against the real consumers, engine and
ledger. What they send, and what must hold besides, is in test_chat_machine.py and test_translation_machine.py.
"""

import asyncio
import json
import os
from collections.abc import Coroutine, Sequence
from typing import Any, ClassVar, Generic, TypeVar, cast

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from accounts.models import ApiKey
from inference import response
from inference.apps import sessions
from inference.consumers.session import SessionConsumer
from inference.models import UsageRecord
from inference.protocol import MAX_FRAME_BYTES
from tests.inference.session_model import MOST_INVALID_FRAMES, Event, Frame, Request, SessionModel
from tests.inference.session_rig import Rig, Socket, until

EXAMPLES = max(40, 10 * int(os.environ.get("ROUNDS", "0")))  # 1000 in make torture

WHO = st.integers(0, 1)
WHICH = st.integers(0, 5)
STEPS = st.one_of(st.none(), st.integers(0, 6))
UNREADABLE = st.sampled_from(
    [
        Frame(data="{", error=(None, "invalid_json", None)),
        Frame(data="[1]", error=(None, "invalid_json", None)),
        Frame(data="[" * 5000, error=(None, "invalid_json", None)),
        Frame(data=b"\xff\xfe", error=(None, "invalid_json", None)),
        Frame(data='{"type":"session.update","settings":{}}', error=(None, "invalid_field", "id")),
        Frame(data='{"type":"session.update","id":"a b","settings":{}}', error=(None, "invalid_field", "id")),
        Frame(data='{"type":"response.cancel","id":7,"target":"1"}', error=(None, "invalid_field", "id")),
    ]
)

Command = tuple[str, Any]
M = TypeVar("M", bound=SessionModel[Any])


class Client(Generic[M]):
    """The client of one key, which may come back with new sessions; each has a model of its own."""

    path: ClassVar[str]
    mark: ClassVar[Command]  # what is answered at once, so that all before it has been handled
    greeting: ClassVar[list[Command]] = []
    model: M

    def __init__(self, rig: Rig, name: str, clients: "Sequence[Client[M]]") -> None:
        self.rig = rig
        self.clients = clients
        self.key = ApiKey(name=name)
        self.secret = self.key.make_secret()
        self.key.save()
        self.ids = 0
        self.seen: list[Request] = []
        self.left_open: list[Request] = []
        self.uncertain = 0
        self.model = self.make_model()

    def make_model(self) -> M:
        """Return the model of a new session."""
        raise NotImplementedError

    def fields(self, kind: str, about: Any) -> Event:
        """Return the fields of an event of this task."""
        raise NotImplementedError

    def check(self) -> None:
        """Check what must hold when nothing is on its way."""

    # -- sessions -----------------------------------------------------------------------------------------------------

    async def connect(self) -> None:
        """Open a session."""
        self.socket, self.model = Socket(self.path, self.secret), self.make_model()
        assert (await self.socket.hear())["type"] == "websocket.accept"
        greeting = await self.socket.hear_event()
        assert isinstance(greeting, dict)
        assert greeting["type"] == "session.created"
        assert greeting["settings"] == self.model.settings
        self.consumer = next(
            each for each in cast("set[SessionConsumer]", sessions().sessions) if each.key_id == self.key.pk
        )
        await self.exchange(self.greeting)

    async def disconnect(self) -> None:
        """Leave; what was open goes on to its row."""
        await self.socket.leave()
        assert self.consumer not in sessions().sessions
        self.seen += self.model.ended
        for request in self.model.open.values():
            self.left_open.append(request)
            self.uncertain += bool(self.model.refusals(request))

    # -- frames -------------------------------------------------------------------------------------------------------

    def frame(self, kind: str, about: Any, event_id: str | None = None) -> Frame:
        """Return the frame of a command."""
        self.ids += 1
        envelope: Event = {"type": kind, "id": event_id or f"{self.ids}"}
        match kind:
            case "unreadable":
                return cast(Frame, about)
            case "oversized":
                return Frame(data=" " * (MAX_FRAME_BYTES + 1), error=(None, "frame_too_large", None))
            case "faulty":
                said, code, param = about
                return Frame(data=json.dumps(said | {"id": envelope["id"]}), error=(envelope["id"], code, param))
            case "response.cancel":
                ended = [request.id for request in self.model.ended[-1:]]
                targets = [f"{self.ids - 1}", *self.model.open, *ended, envelope["id"], "nobody"]
                return Frame(envelope | {"target": targets[about % len(targets)]})
            case _:
                return Frame(envelope | self.fields(kind, about))

    async def exchange(self, commands: list[Command], event_id: str | None = None) -> None:
        """Send frames in one go, then the mark, and hear what is said until that is answered."""
        frames = [self.frame(kind, about, event_id) for kind, about in commands]
        frames.append(self.frame(*self.mark))
        self.model.pending.extend(frames)
        for frame in frames:
            self.socket.say(frame)
        while self.model.pending:
            await self.hear()
        if self.model.close_code is not None:
            await self.disconnect()
            await self.connect()
        else:
            assert self.consumer.open.keys() <= self.model.open.keys()  # what has ended is not open any more
            self.check()

    async def hear(self) -> None:
        """Let the model explain what comes next."""
        heard = await self.socket.hear_event()
        if isinstance(heard, int):
            assert heard == self.model.close_code
            self.model.pending.clear()
        else:
            for client in self.clients:
                client.note_elsewhere()
            self.model.hear(heard)

    def note_elsewhere(self) -> None:
        """Remember the most that were open beside this session since it asked: it may hear of a full queue much later,
        when all that filled it has been heard to end.
        """
        before = self.model.others if self.model.open or self.model.pending else 0
        self.model.others = max(before, self.open_elsewhere)

    @property
    def open_elsewhere(self) -> int:
        """How many requests of other keys may be open."""
        others = [client for client in self.clients if client is not self]
        return sum(len(client.model.open) + len(client.left_open) for client in others)


C = TypeVar("C", bound=Client[Any])


class SessionMachine(RuleBasedStateMachine, Generic[C]):
    """What both clients may do, whatever the task."""

    rig: Rig
    make_client: ClassVar[type[Client[Any]]]

    def __init__(self) -> None:
        super().__init__()
        self.clients: list[C] = []
        self.clients += [cast(C, self.make_client(self.rig, name, self.clients)) for name in ("one", "two")]
        self.runner = asyncio.Runner()
        self.is_sound = False  # a rule that failed leaves nothing to be checked at the end

    def do(self, *coroutines: Coroutine[Any, Any, None]) -> None:
        """Run the sessions, which stand still between rules; only the model's thread goes on."""
        self.is_sound = False
        for coroutine in coroutines:
            self.runner.run(coroutine)
        self.is_sound = True

    def exchange(self, who: int, commands: list[Command], event_id: str | None = None) -> None:
        """Let a client send frames and hear their answers."""
        self.do(self.clients[who].exchange(commands, event_id))

    @initialize(is_held=st.booleans())
    def begin(self, is_held: bool) -> None:
        self.rig.pace.allow(0 if is_held else None)
        self.do(*(client.connect() for client in self.clients))

    @rule(who=WHO, which=WHICH, steps=STEPS)
    def cancel(self, who: int, which: int, steps: int | None) -> None:
        self.exchange(who, [("response.cancel", which)])
        self.do(self.let_speak(steps))

    @rule(who=WHO, frames=st.lists(UNREADABLE, min_size=MOST_INVALID_FRAMES - 1, max_size=MOST_INVALID_FRAMES))
    def babble(self, who: int, frames: list[Frame]) -> None:
        self.exchange(who, [("unreadable", frame) for frame in frames])

    @rule(steps=STEPS)
    def go_on(self, steps: int | None) -> None:
        self.do(self.let_speak(steps))

    @rule()
    def let_the_model_run(self) -> None:
        self.rig.pace.allow(None)

    @rule()
    def break_a_step(self) -> None:
        self.do(self.fail())

    async def let_speak(self, steps: int | None) -> None:
        """Let the model make some steps and then none; None is until every request has ended."""
        pace = self.rig.pace
        pace.allow(steps)
        if steps is not None:
            await until(lambda: pace.steps == 0 or self.rig.has_settled())
            pace.allow(0)
        for client in self.clients:
            while steps is None and client.model.open:
                await client.hear()
            await client.exchange([])

    async def fail(self) -> None:
        """Let the next step fail, if there is one, and everything end."""
        for client in self.clients:
            client.model.may_fail = True
        self.rig.pace.is_broken = True
        await self.let_speak(None)
        self.rig.pace.is_broken = False
        for client in self.clients:
            client.model.may_fail = False

    # -- what must hold -----------------------------------------------------------------------------------------------

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
        for client in self.clients:
            await client.socket.leave()
        await response.all_ended(30)
        await until(self.rig.has_settled)

    async def finish(self) -> None:
        """Leave for good: nothing is open, kept or reserved any more."""
        for client in self.clients:
            await client.exchange([])
            await client.disconnect()
        assert not sessions().sessions
        self.rig.pace.allow(None)
        await response.all_ended(30)
        assert not response.RUNNING
        await until(self.rig.has_settled)
        assert not self.rig.model.scheduler.tickets
        assert self.rig.manager.slots[self.rig.model_id].leases == 0
        assert self.rig.ledger.reserved == 0

    def check_rows(self) -> None:
        """Each `response.done` that was seen has its one row; requests that nobody waited for have theirs too."""
        for client in self.clients:
            rows = {row.request_id: row for row in UsageRecord.objects.filter(key=client.key)}
            for request in client.seen:
                self.check_row(rows.pop(request.done["request_id"]), request.done)
            assert len(client.left_open) - client.uncertain <= len(rows) <= len(client.left_open)
            assert {row.status for row in rows.values()} <= {"completed", "cancelled", "failed"}

    def check_row(self, row: UsageRecord, done: Event) -> None:
        """Check that a row says what the client was told."""
        usage = {name: getattr(row, name) for name in ("input_tokens", "cached_tokens", "output_tokens")}
        assert usage | {"truncated": done["usage"]["truncated"]} == done["usage"]
        error_code = done["error"]["code"] if done["status"] == "failed" else ""
        assert (row.status, row.error_code) == (done["status"], error_code)
        assert (row.task, row.model, row.transport) == (self.rig.task, self.rig.model_id, "websocket")
        assert row.total_ms == done["timing"]["total_ms"]


def hold(machine: type[SessionMachine[Any]]) -> None:
    """Try many orders of what clients may do."""
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        machine,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=15,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        ),
    )
