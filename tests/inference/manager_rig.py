"""A real manager whose loader stops at two doors, where a load and where a drain is under way, until the test lets it
on; and people who lease its models. Time is the test's.
"""

import asyncio
import re
from dataclasses import dataclass, field
from typing import Any

from inference import manager as module
from inference.catalog import Catalog, ModelEntry
from inference.engines.progress import Report
from inference.errors import AisterError
from inference.manager import Model, ModelManager, Slot, State
from tests.inference.door import PATIENCE_S, Door, turns
from tests.inference.scripted_engine import ScriptedEngine

KEEP_ALIVE_S = 1000.0  # of the test's clock; no real timer lives to see it
BUDGET_BYTES = 300
SIZES = {"a": 100, "b": 100, "large": 250, "too large": 400}

Move = tuple[str, str]
MOVES: frozenset[Move] = frozenset(
    re.findall(r"^\| (absent|loading|resident|draining) +\| .* \| (\w+) +\|$", module.__doc__ or "", re.M)
)


class StoppedEngine(ScriptedEngine):
    """An engine whose end is a door."""

    def __init__(self, door: Door, model_id: str) -> None:
        super().__init__(memory_bytes=SIZES[model_id])
        self.door, self.model_id = door, model_id

    def close(self) -> None:
        self.door.enter("drain", self.model_id)
        super().close()


class SizedEntry(ModelEntry, frozen=True, kw_only=True):
    """An entry with weights of a size that the test decides."""

    @property
    def size_bytes(self) -> int:
        return SIZES[self.id]


class NotedSlot(Slot):
    """A slot that notes its moves, on whatever thread."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "state" and hasattr(self, "moves") and value is not self.state:
            self.moves.append((str(self.state), str(value)))
        super().__setattr__(name, value)


@dataclass(eq=False)
class User:
    """Somebody who leases a model, and what became of it."""

    model_id: str
    told: list[Model | AisterError] = field(default_factory=list)
    leave: asyncio.Event = field(default_factory=asyncio.Event)
    task: "asyncio.Task[None] | None" = None

    async def use(self, manager: ModelManager) -> None:
        """Hold a lease until told to leave."""
        try:
            async with manager.lease(self.model_id) as model:
                self.told.append(model)
                await self.leave.wait()
        except AisterError as error:
            self.told.append(error)

    @property
    def is_over(self) -> bool:
        """True when nothing is waited for or held any more."""
        return self.task is not None and self.task.done()


class ManagerRig:
    """The manager, its door, its users and its clock."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.now_s = 0.0
        self.door = Door()
        self.engines: list[StoppedEngine] = []
        self.loads: list[str] = []
        self.users: list[User] = []
        entries: list[ModelEntry] = [SizedEntry(id=name, task="chat", source="/nowhere") for name in SIZES]
        self.manager = ModelManager(
            Catalog(entries),
            self.load,
            budget_bytes=BUDGET_BYTES,
            queue_capacity=4,
            keep_alive_s=KEEP_ALIVE_S,
            clock=lambda: self.now_s,
        )
        self.moves: list[Move] = []
        for entry in entries:
            slot = self.manager.slots[entry.id] = NotedSlot(entry)
            slot.moves = self.moves  # type: ignore[attr-defined]

    def load(self, entry: ModelEntry, _report: Report) -> StoppedEngine:
        """Load an engine, once the door lets it."""
        self.loads.append(entry.id)
        self.door.enter("load", entry.id)
        engine = StoppedEngine(self.door, entry.id)
        self.engines.append(engine)
        return engine

    def alive(self, model_id: str) -> list[StoppedEngine]:
        """Return the engines of a model that hold memory."""
        return [engine for engine in self.engines if engine.model_id == model_id and not engine.is_closed]

    # -- what people do -----------------------------------------------------------------------------------------------

    def lease(self, model_id: str) -> User:
        """Let somebody ask for a model."""

        async def begin() -> User:
            user = User(model_id)
            user.task = self.loop.create_task(user.use(self.manager))
            return user

        user = self.loop.run_until_complete(begin())
        self.users.append(user)
        return user

    def give_back(self, user: User, *, is_cancelled: bool) -> None:
        """Let somebody leave, by himself or because his task is cancelled."""
        assert user.task is not None
        if is_cancelled:
            user.task.cancel()
        else:
            user.leave.set()

    def fire_timers(self) -> None:
        """Let every timer look now."""
        for slot in self.manager.slots.values():
            if (timer := slot.expiry) is not None:
                timer.cancel()
                timer.function(*timer.args)

    def close(self) -> None:
        """Close the manager with every door open."""
        self.door.open()
        self.manager.close()

    # -- waiting ------------------------------------------------------------------------------------------------------

    def settle(self) -> None:
        """Wait until the manager's threads stand at the door or have nothing to do; then let all hear of it."""
        loader = self.manager.loader
        if loader is not None:
            last = loader.submit(int)
            last.add_done_callback(lambda _: self.wake())
            with self.door.changed:
                assert self.door.changed.wait_for(lambda: last.done() or self.door.visitor, PATIENCE_S)
        self.loop.run_until_complete(turns())

    def wake(self) -> None:
        """Let `settle` look again."""
        with self.door.changed:
            self.door.changed.notify_all()

    @property
    def is_idle(self) -> bool:
        """True when nobody stands at the door."""
        return self.door.visitor is None

    def waiting(self) -> list[User]:
        """Return who has been told nothing yet."""
        return [user for user in self.users if not user.told and not user.is_over]

    def holding(self) -> list[User]:
        """Return who has a model."""
        return [user for user in self.users if user.told and not user.is_over]

    def state(self, model_id: str) -> State:
        """Return where a model stands."""
        return self.manager.state(model_id)
