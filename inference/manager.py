"""ModelManager: load each model once, share it between all sessions, evict the least recently used for memory.

Each model has a slot, and a slot is in one of four states:

| from     | call                                 | to       |
|----------|--------------------------------------|----------|
| absent   | `lease`                              | loading  |
| loading  | (the engine is there)                | resident |
| loading  | (the load failed)                    | absent   |
| resident | (memory is short, it has no leases)  | draining |
| resident | (its keep-alive is over)             | draining |
| resident | `close`                              | draining |
| draining | (its thread has ended)               | absent   |
| draining | `lease`                              | loading  |

Threads: everything public may be called from any thread; `lease` from an event loop. One loader thread, started at
first use, loads and drains, one model after the other and outside the lock, so whoever waits for a loaded model never
waits for another's load; it has a thread of its own for each load, see `in_own_thread`. A timer's thread for each model
that may be idle for too long, one a model at most, looks and hands what is to go to the loader.

Promises: however many ask at once, a model is loaded once. A failed load is told to all who wait, and to all who ask
within the next `RETRY_PAUSE_S`; then it is tried again. A model with leases stays; one without goes when its keep-alive
is over, or when another needs the room. What it held goes back to the system.
"""

import asyncio
import logging
import math
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from typing import Any, NamedTuple, ParamSpec, TypeVar

from inference import memory
from inference.catalog import Catalog, ModelEntry
from inference.engines.base import Engine
from inference.engines.progress import Report
from inference.errors import AisterError, trace
from inference.scheduling import Scheduler

log = logging.getLogger(__name__)

RETRY_PAUSE_S = 10.0

P = ParamSpec("P")
T = TypeVar("T")
Load = Callable[[ModelEntry, Report], Engine[Any]]


class State(StrEnum):
    """Where a slot stands; see the module's table."""

    ABSENT = "absent"
    LOADING = "loading"
    RESIDENT = "resident"
    DRAINING = "draining"


@dataclass(frozen=True)
class Model:
    """A loaded model: what it is, its engine, and the scheduler that feeds it."""

    entry: ModelEntry
    engine: Engine[Any]
    scheduler: Scheduler[Any]


@dataclass(slots=True)
class Slot:
    """One model's place in the manager.

    `loading` is shared by all who wait; `failed_at_s` is when the last load failed; `has_served` is true once one
    succeeded, until one fails; `expiry` is set while a timer will look whether the keep-alive is over. `asked_at_s`,
    `fraction` and `load_s` are for `ModelManager.progress`.
    """

    entry: ModelEntry
    state: State = State.ABSENT
    loading: Future[Model] = field(default_factory=Future)
    model: Model | None = None
    leases: int = 0
    used_at_s: float = 0.0
    failed_at_s: float | None = None
    has_served: bool = False
    expiry: threading.Timer | None = None
    asked_at_s: float = 0.0
    fraction: float | None = None
    load_s: float | None = None


@dataclass(frozen=True, slots=True)
class Loading:
    """How a load is getting on.

    `fraction` of the weights is read, None while and where nobody can tell; it was asked for `waited_s` ago, and took
    `expected_s` the last time, None if this is the first.
    """

    fraction: float | None
    waited_s: float
    expected_s: float | None


class Resident(NamedTuple):
    """What the choice of which model goes depends on."""

    id: str
    size_bytes: int
    used_at_s: float
    leases: int


def choose_evictions(residents: Iterable[Resident], needed_bytes: int, budget_bytes: int) -> list[str] | None:
    """Return which models must go so that `needed_bytes` more fit, least recently used first.

    None when they can't fit.
    """
    residents = list(residents)
    free = budget_bytes - sum(resident.size_bytes for resident in residents)
    evictions: list[str] = []
    for resident in sorted((r for r in residents if r.leases == 0), key=lambda r: r.used_at_s):
        if free >= needed_bytes:
            break
        evictions.append(resident.id)
        free += resident.size_bytes
    return evictions if free >= needed_bytes else None


async def loaded(loading: "Future[Model]") -> Model:
    """Return what a load that others wait for too has made; raise AisterError."""
    ours = asyncio.wrap_future(loading)
    ours.add_done_callback(lambda future: future.cancelled() or future.exception())  # or asyncio logs it for a leaver
    try:
        return await asyncio.shield(ours)  # one waiter that is cancelled must not cancel the load for the others
    except AisterError as error:
        raise error.with_traceback(None) from None  # all waiters share it: each would add where he waited, for ever


def in_own_thread(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Return what `function` returns, or raise what it raises, called in a thread that ends with it.

    OpenMP keeps the workers of a thread that has computed for as long as it lives. As soon as they are more than the
    cores, it lets those of every thread sleep at each barrier, not wait: answers come a tenth to a quarter later.
    """
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="aister-load") as thread:
        return thread.submit(function, *args, **kwargs).result()


class ModelManager:
    """The models of this process. Made once, in `InferenceConfig.ready()`; making one starts nothing."""

    def __init__(
        self,
        catalog: Catalog,
        load: Load,
        *,
        budget_bytes: int,
        queue_capacity: int,
        patience_s: float = math.inf,
        keep_alive_s: float = math.inf,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.catalog = catalog
        self.load = load
        self.budget_bytes = budget_bytes
        self.queue_capacity = queue_capacity
        self.patience_s = patience_s
        self.keep_alive_s = keep_alive_s
        self.clock = clock
        self.lock = threading.Lock()
        self.slots = {entry.id: Slot(entry) for entry in catalog}
        self.loader: ThreadPoolExecutor | None = None
        self.is_closed = False

    # -- any thread ---------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def lease(self, model_id: str) -> AsyncIterator[Model]:
        """Hold a loaded model, loading it first if need be. It stays loaded until every lease is given back.

        Raises AisterError: unknown_model, or model_unavailable when it can't be loaded.
        """
        slot = self.claim(model_id)
        try:
            yield await loaded(slot.loading)
        finally:
            self.release(slot)

    def preload(self, model_ids: Iterable[str]) -> list[Future[Model]]:
        """Begin to load models and return their futures; nothing is held."""
        futures = []
        for model_id in model_ids:
            slot = self.claim(model_id)
            futures.append(slot.loading)
            self.release(slot)
        return futures

    def state(self, model_id: str) -> State:
        """Return where a model stands. Raises KeyError for one that the catalog lacks."""
        with self.lock:
            return self.slots[model_id].state

    def progress(self, model_id: str) -> Loading | None:
        """Return how the load of a model is getting on; None when none is under way."""
        with self.lock:
            slot = self.slots.get(model_id)
            if slot is None or slot.state is not State.LOADING:
                return None
            return Loading(slot.fraction, self.clock() - slot.asked_at_s, slot.load_s)

    def is_ready(self, model_id: str) -> bool:
        """Say whether a model is loaded, or was and will be again when someone asks: idle ones may go meanwhile."""
        with self.lock:
            return self.slots[model_id].has_served

    def loaded(self, model_id: str) -> Model | None:
        """Return a model if it is loaded, without a lease: good for looking at, not for submitting to."""
        with self.lock:
            slot = self.slots.get(model_id)
            return slot.model if slot else None

    @property
    def is_healthy(self) -> bool:
        """False when the thread of a loaded model has died, or the manager is closed."""
        with self.lock:
            models = [slot.model for slot in self.slots.values() if slot.model]
            return not self.is_closed and all(model.scheduler.is_alive for model in models)

    def close(self) -> None:
        """Let go of every model and take no more leases; returns when their threads have ended."""
        with self.lock:
            self.is_closed = True
            loader, self.loader = self.loader, None
            for slot in self.slots.values():
                if slot.expiry:
                    slot.expiry.cancel()
        if loader is not None:
            loader.submit(self.drain, list(self.slots)).result()
            loader.shutdown()

    @property
    def is_loading(self) -> bool:
        """True while a model is being loaded, which nothing can interrupt."""
        with self.lock:
            return any(slot.state is State.LOADING for slot in self.slots.values())

    @property
    def is_empty(self) -> bool:
        """True when no model is loaded, being loaded, or on its way out."""
        with self.lock:
            return all(slot.state is State.ABSENT for slot in self.slots.values())

    # -- leases -------------------------------------------------------------------------------------------------------

    def claim(self, model_id: str) -> Slot:
        """Take a lease and begin to load the model if need be; the slot's future resolves when it is there."""
        with self.lock:
            slot = self.slots.get(model_id)
            if slot is None:
                raise AisterError("unknown_model", param="model")
            if self.is_closed:
                raise AisterError("restarting")
            slot.leases += 1
            slot.used_at_s = self.clock()
            if slot.state in (State.ABSENT, State.DRAINING) and not self.is_pausing(slot):
                self.begin_loading(slot)
            return slot

    def release(self, slot: Slot) -> None:
        """Give a lease back."""
        with self.lock:
            slot.leases -= 1
            slot.used_at_s = self.clock()
            if not slot.leases and not slot.expiry:
                self.look_again(slot, self.keep_alive_s)

    def look_again(self, slot: Slot, wait_s: float) -> None:
        """Look in `wait_s` seconds whether the slot's model has been idle for too long. Called with the lock held."""
        if self.is_closed or math.isinf(wait_s):
            return
        timer = threading.Timer(wait_s, self.expire, [slot])
        timer.daemon = True
        try:
            timer.start()
        except RuntimeError as fault:  # no thread to be had: whoever gives back the next lease tries again
            log.warning("Nobody looks whether model %s has been idle for too long: %s.", slot.entry.id, fault)
        else:
            slot.expiry = timer

    def expire(self, slot: Slot) -> None:
        """Let the slot's model go if its keep-alive is over, else look again when it would be. On a timer's thread."""
        with self.lock:
            slot.expiry = None
            left_s = slot.used_at_s + self.keep_alive_s - self.clock()
            if slot.leases or self.loader is None:
                return
            if left_s > 0 or slot.state is State.LOADING:
                self.look_again(slot, left_s if left_s > 0 else self.keep_alive_s)
            else:
                self.loader.submit(self.drain, [slot.entry.id], only_unused=True)

    def is_pausing(self, slot: Slot) -> bool:
        """Say whether the last load failed so recently that its error stands for this one too."""
        return slot.failed_at_s is not None and self.clock() - slot.failed_at_s < RETRY_PAUSE_S

    def begin_loading(self, slot: Slot) -> None:
        """Hand the slot to the loader thread. Called with the lock held."""
        slot.state = State.LOADING
        slot.loading = Future()
        slot.failed_at_s = None
        slot.asked_at_s, slot.fraction = self.clock(), None
        if self.loader is None:
            self.loader = ThreadPoolExecutor(max_workers=1, thread_name_prefix="aister-loader")
        self.loader.submit(self.load_into, slot)

    # -- the loader thread --------------------------------------------------------------------------------------------

    def load_into(self, slot: Slot) -> None:
        """Load the slot's model and tell all who wait how it went."""
        started_s = self.clock()
        try:
            self.make_room(slot.entry)
            engine = in_own_thread(self.load, slot.entry, partial(self.report, slot))
            scheduler: Scheduler[Any] = Scheduler(
                slot.entry.id, engine, capacity=self.queue_capacity, patience_s=self.patience_s
            )
            scheduler.start()
        except Exception as fault:
            self.loading_failed(slot, fault)
            return
        model = Model(slot.entry, engine, scheduler)
        with self.lock:
            slot.state, slot.model, slot.has_served = State.RESIDENT, model, True
            slot.load_s = self.clock() - started_s
        log.info("Model %s is loaded: %.1f s.", slot.entry.id, slot.load_s)
        slot.loading.set_result(model)

    def report(self, slot: Slot, fraction: float) -> None:
        """Take note of how much of the weights is read, from 0 to 1."""
        with self.lock:
            slot.fraction = fraction

    def loading_failed(self, slot: Slot, fault: Exception) -> None:
        """Set the slot back and tell all who wait."""
        with self.lock:
            slot.state, slot.failed_at_s, slot.has_served = State.ABSENT, self.clock(), False
        if isinstance(fault, AisterError):
            level = logging.INFO if fault.code == "restarting" else logging.ERROR
            log.log(level, "Model %s could not be loaded: %s", slot.entry.id, fault.message)
            slot.loading.set_exception(fault)
        else:
            # loading handles no text of a client's, so the reason may be logged in full
            log.error("Model %s could not be loaded: %s\n%s", slot.entry.id, fault, trace(fault))
            slot.loading.set_exception(AisterError("model_unavailable", retry_after_s=RETRY_PAUSE_S))

    def make_room(self, entry: ModelEntry) -> None:
        """Let models go until this one's weights fit into the budget.

        Raise AisterError: model_unavailable when they can't, restarting when the manager was closed meanwhile.
        """
        while evictions := self.evictions_for(entry):
            self.drain(evictions, only_unused=True)  # meanwhile someone may have leased one of them: so look again

    def evictions_for(self, entry: ModelEntry) -> list[str]:
        """Return which models must go for this one, as things are now; raise AisterError as `make_room` does."""
        with self.lock:
            if self.is_closed:
                raise AisterError("restarting")
            residents = [
                Resident(slot.entry.id, slot.model.engine.memory_bytes, slot.used_at_s, slot.leases)
                for slot in self.slots.values()
                if slot.state is State.RESIDENT and slot.model
            ]
        evictions = choose_evictions(residents, entry.size_bytes, self.budget_bytes)
        if evictions is None:
            raise AisterError(
                "model_unavailable",
                "Not enough memory for this model beside those in use. The operator can raise AISTER_MEMORY_MB.",
                retry_after_s=RETRY_PAUSE_S,
            )
        return evictions

    def drain(self, model_ids: Iterable[str], *, only_unused: bool = False) -> None:
        """Stop the schedulers of resident models, which closes their engines."""
        for model_id in model_ids:
            model = self.begin_draining(self.slots[model_id], only_unused)
            if model is not None:
                model.scheduler.stop()
                self.drained(self.slots[model_id])

    def begin_draining(self, slot: Slot, only_unused: bool) -> Model | None:
        """Take the model out of its slot, so that the next lease loads anew; None when there is none to take."""
        with self.lock:
            if slot.state is not State.RESIDENT or (only_unused and slot.leases):
                return None
            model, slot.model, slot.state = slot.model, None, State.DRAINING
            return model

    def drained(self, slot: Slot) -> None:
        """The thread has ended; unless someone has asked for the model meanwhile, the slot is empty now."""
        with self.lock:
            if slot.state is State.DRAINING:
                slot.state = State.ABSENT
        memory.give_back()
        log.info("Model %s is unloaded.", slot.entry.id)
