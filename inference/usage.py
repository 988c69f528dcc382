"""The usage ledger: a request whose `response.done` a client has seen has its row, exactly once, also after a kill -9.

Threads: `reserve` and `post` are called on event loops; one writer thread, started at first use, commits what has
come together within `WINDOW_S` in one transaction. Tokens never wait for the database; only a request's last event
does.

Promises: the queue is bounded by the places given out. A row is written whatever becomes of the session that asked. A
database that fails is tried again until a row has waited for `PATIENCE_S`, then its request is told
`usage_unavailable`. A row that the database refuses fails alone. While rows fail, the log has a line a minute at most,
and the thread tries by itself whether they would be written again: nobody need send a request to find out.
"""

import asyncio
import logging
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from django.db import ProgrammingError, connection, transaction

from aister_site.database import within
from aister_site.seldom import Seldom
from inference.errors import AisterError, trace
from inference.models import UsageRecord
from inference.outages import WHAT_TO_DO, is_outage, reason

log = logging.getLogger(__name__)

CAPACITY = 10_000
WINDOW_S = 0.003
PATIENCE_S = 5.0
WRITE_S = 3.0  # of PostgreSQL, for one try: less than the patience, so that a hung connection leaves time for another
RETRY_S = 0.1
REHEARSE_S = 1.0
MOST_ROWS = 500

Write = Callable[[list[UsageRecord]], None]


@dataclass(frozen=True, slots=True)
class Entry:
    """A row on its way, and who waits for it."""

    record: UsageRecord
    loop: asyncio.AbstractEventLoop
    committed: "asyncio.Future[None]"
    posted_s: float  # on the monotonic clock


class Losses:
    """The rows that could not be written since writing last went well: what the log says of them.

    The writer thread's, but for `is_lasting`, which any thread may read.
    """

    def __init__(self) -> None:
        self.count = 0
        self.sample: UsageRecord | None = None  # of those that were lost to something that meets every row
        self.outages = Seldom()
        self.refusals = Seldom()

    @property
    def is_lasting(self) -> bool:
        """Say whether the next row would meet the same."""
        return self.sample is not None

    def add(self, records: list[UsageRecord], fault: Exception) -> None:
        """Count rows, and say so if nothing was said of the like for a while."""
        self.count += len(records)
        if meets_every_row(fault):
            self.sample = records[0]
        if is_outage(fault):
            if self.outages.is_due():
                text = "Usage can't be written: %s. Until it can, requests fail with usage_unavailable. %s"
                log.error(text, reason(fault), WHAT_TO_DO)
        elif self.refusals.is_due():
            log.error("The database refused the usage of a request, which fails for it.\n%s", trace(fault))

    def end(self) -> None:
        """Rows are written again: say how many are missing."""
        if self.is_lasting:
            log.warning("Usage is written again. %d requests failed for want of it.", self.count)
            self.outages.reset()
            self.refusals.reset()
        self.count, self.sample = 0, None


def meets_every_row(fault: Exception) -> bool:
    """Say whether a fault is about the database rather than a row: an outage, a table or a permission that is gone."""
    return is_outage(fault) or isinstance(fault, ProgrammingError)


class Ledger:
    """Writes usage rows, many in one transaction."""

    def __init__(
        self,
        write: Write,
        rehearse: Callable[[UsageRecord], None] | None = None,
        *,
        capacity: int = CAPACITY,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self.write = write
        self.rehearse = rehearse or try_out
        self.capacity = capacity
        self.patience_s = patience_s
        self.lock = threading.Lock()
        self.reserved = 0
        self.entries: queue.SimpleQueue[Entry | None] = queue.SimpleQueue()
        self.thread: threading.Thread | None = None
        self.losses = Losses()

    @property
    def is_failing(self) -> bool:
        """Say whether the last rows could not be written, so that the next one would fail too. Any thread."""
        return self.losses.is_lasting

    # -- event loops --------------------------------------------------------------------------------------------------

    def reserve(self) -> None:
        """Reserve a place for one row, given back by `release` or by the row's end.

        Raises AisterError (overloaded) when the ledger is full.
        """
        with self.lock:
            if self.reserved >= self.capacity:
                raise AisterError("overloaded", retry_after_s=1.0)
            self.reserved += 1

    def release(self) -> None:
        """Give back a reserved place that no row came for."""
        with self.lock:
            self.reserved -= 1

    def post(self, record: UsageRecord) -> "asyncio.Future[None]":
        """Hand over the row of a reserved place. The future ends when it is committed, or with `usage_unavailable`.

        Raises RuntimeError, and gives the place back, when the machine has no thread left for the ledger.
        """
        loop = asyncio.get_running_loop()
        entry = Entry(record, loop, loop.create_future(), time.monotonic())
        with self.lock:
            try:
                self.ensure_thread()
            except RuntimeError:
                self.reserved -= 1
                raise
            self.entries.put(entry)
        return entry.committed

    def ensure_thread(self) -> None:
        """Start the writer thread, if there is none. Called with the lock held."""
        if self.thread is None:
            thread = threading.Thread(target=self.run, name="aister-ledger", daemon=True)
            thread.start()
            self.thread = thread

    def close(self) -> None:
        """Write what is there and end the thread. Any thread but the ledger's.

        There is never a second thread, which could take the sign to end: a row that comes meanwhile waits for it.
        """
        if self.thread is None:
            return
        self.entries.put(None)
        self.thread.join()
        with self.lock:
            self.thread = None
            if not self.entries.empty():
                self.ensure_thread()

    # -- the writer thread --------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Write until closed."""
        try:
            while (batch := self.collect()) is not None:
                if batch:
                    self.settle(batch)
                else:
                    self.look_again()
        finally:
            drop_connection()

    def collect(self) -> list[Entry] | None:
        """Wait for a row and for what comes in the moment after it; None when the ledger is closed.

        While rows fail, it is empty when none came for `REHEARSE_S`.
        """
        try:
            first = self.entries.get(timeout=REHEARSE_S if self.is_failing else None)
        except queue.Empty:
            return []
        if first is None:
            return None
        time.sleep(WINDOW_S)
        batch = [first]
        while len(batch) < MOST_ROWS:
            try:
                entry = self.entries.get_nowait()
            except queue.Empty:
                break
            if entry is None:
                self.entries.put(None)  # seen again after this batch
                break
            batch.append(entry)
        return batch

    def settle(self, batch: list[Entry]) -> None:
        """Write a batch, again and again while the database is away, and tell who waits: every entry one outcome."""
        while batch:
            try:
                self.write([entry.record for entry in batch])
            except Exception as fault:
                drop_connection()  # the next try opens a new one
                batch = self.settle_failed(batch, fault)
            else:
                self.losses.end()
                self.tell(batch, None)
                return

    def look_again(self) -> None:
        """Find out whether rows would be written again."""
        sample = self.losses.sample
        if sample is None:
            return
        try:
            self.rehearse(sample)
        except Exception as fault:
            drop_connection()
            if meets_every_row(fault):
                return
        self.losses.end()

    def settle_failed(self, batch: list[Entry], fault: Exception) -> list[Entry]:
        """A batch failed: return the entries to try again together, none when all are settled.

        While the database is away, each waits for `patience_s` of its own, whatever it has waited behind. A batch that
        was refused has a row at fault: each gets a try of its own.
        """
        if is_outage(fault):
            return self.still_patient(batch, fault)
        if len(batch) > 1:
            for entry in batch:
                self.settle([entry])
        else:
            self.give_up(batch, fault)
        return []

    def still_patient(self, batch: list[Entry], fault: Exception) -> list[Entry]:
        """Give up the entries that have waited long enough; return the others, after a pause."""
        late_s = time.monotonic() - self.patience_s
        self.give_up([entry for entry in batch if entry.posted_s < late_s], fault)
        patient = [entry for entry in batch if entry.posted_s >= late_s]
        if patient:
            time.sleep(RETRY_S)
        return patient

    def give_up(self, batch: list[Entry], fault: Exception) -> None:
        """Tell entries that they have no row."""
        if batch:
            self.losses.add([entry.record for entry in batch], fault)
            self.tell(batch, AisterError("usage_unavailable", retry_after_s=5.0))

    def tell(self, batch: list[Entry], error: AisterError | None) -> None:
        """Give the places back and resolve the futures on their loops.

        A loop that has closed has nobody left to tell.
        """
        with self.lock:
            self.reserved -= len(batch)
        for entry in batch:
            try:
                entry.loop.call_soon_threadsafe(resolve, entry.committed, error)
            except RuntimeError:
                log.debug("An event loop closed before a usage row's end reached it.")


def resolve(committed: "asyncio.Future[None]", error: AisterError | None) -> None:
    """End a future, unless whoever waited has gone. Runs on the event loop."""
    if committed.done():
        return
    if error is None:
        committed.set_result(None)
    else:
        committed.set_exception(error)


def drop_connection() -> None:
    """Close the writer's connection. One too broken even for that must not end the thread that all rows wait for."""
    try:
        connection.close()
    except Exception as fault:
        log.warning("A database connection could not be closed.\n%s", trace(fault))


def insert(records: list[UsageRecord]) -> None:
    """Write rows in one transaction. A row that is there already is left as it is, so that trying again is safe.

    Not with `ignore_conflicts`: SQLite then leaves out whatever breaks any constraint, and says nothing.
    """
    only = ["request_id"]
    with within(WRITE_S):
        UsageRecord.objects.bulk_create(records, update_conflicts=True, unique_fields=only, update_fields=only)


def try_out(sample: UsageRecord) -> None:
    """Write a row like this one and take it away again, in one transaction: nobody ever sees it."""
    row = UsageRecord(
        request_id=f"{sample.request_id}_again",
        key_id=sample.key_id,
        task=sample.task,
        model=sample.model,
        transport=sample.transport,
        status=sample.status,
        started_at=datetime.now(UTC),
    )
    with within(WRITE_S), transaction.atomic():
        row.save(force_insert=True)
        UsageRecord.objects.filter(pk=row.pk).delete()


ledger = Ledger(insert)
