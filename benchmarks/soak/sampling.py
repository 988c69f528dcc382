"""The server's process as Linux sees it, and what clients saw since the sample before."""

import os
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from benchmarks.server import Server
from benchmarks.soak.record import Record, Request

TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class Latency(msgspec.Struct, frozen=True):
    """Milliseconds of one kind of request, by its client's clock; null where none had any."""

    count: int
    first_p50_ms: float | None
    first_p95_ms: float | None
    whole_p50_ms: float | None
    whole_p95_ms: float | None


class Sample(msgspec.Struct, frozen=True):
    """One moment, and the seconds before it. `uss_mb` is what the process shares with no other.

    `others_cpu_percent` is what other processes of the machine used, which costs latency; percent are of one core.
    """

    at_s: float
    rss_mb: float
    pss_mb: float
    uss_mb: float
    threads: int
    descriptors: int
    cpu_percent: float
    clients_cpu_percent: float
    others_cpu_percent: float
    database_mb: float
    sessions: int
    open_requests: int
    requests_per_s: float
    latencies: dict[str, Latency]
    expected: dict[str, int]
    unexpected: dict[str, int]


class Sampler:
    """Takes one sample after another of a server and of the record of its clients."""

    def __init__(self, server: Server, record: Record) -> None:
        self.server = server
        self.record = record
        self.process = Path(f"/proc/{server.process.pid}")
        self.at_s = record.now_s
        self.cpu_s, self.clients_cpu_s, self.busy_s = self.read_cpu_s(), time.process_time(), read_busy_s()
        self.ended = self.faults = 0

    def sample(self) -> Sample:
        """Return what is now, and what was since the last call."""
        now_s, cpu_s, clients_cpu_s = self.record.now_s, self.read_cpu_s(), time.process_time()
        busy_s = read_busy_s()
        others_cpu_s = (busy_s - self.busy_s) - (cpu_s - self.cpu_s) - (clients_cpu_s - self.clients_cpu_s)
        passed_s = max(now_s - self.at_s, 1e-3)
        ended, faults = self.record.ended[self.ended :], self.record.faults[self.faults :]
        memory = self.read_memory_mb()
        sample = Sample(
            at_s=round(now_s, 2),
            rss_mb=memory["Rss"],
            pss_mb=memory["Pss"],
            uss_mb=round(memory["Private_Clean"] + memory["Private_Dirty"], 2),
            threads=len(list((self.process / "task").iterdir())),
            descriptors=len(list((self.process / "fd").iterdir())),
            cpu_percent=round(100 * (cpu_s - self.cpu_s) / passed_s, 1),
            clients_cpu_percent=round(100 * (clients_cpu_s - self.clients_cpu_s) / passed_s, 1),
            others_cpu_percent=round(100 * max(others_cpu_s, 0) / passed_s, 1),
            database_mb=self.read_database_mb(),
            sessions=self.record.sessions,
            open_requests=self.record.open_requests,
            requests_per_s=round(len(ended) / passed_s, 2),
            latencies=latencies(ended),
            expected=dict(Counter(fault.code for fault in faults if fault.is_expected)),
            unexpected=dict(Counter(f"{fault.who}: {fault.code}" for fault in faults if not fault.is_expected)),
        )
        self.at_s, self.cpu_s, self.clients_cpu_s, self.busy_s = now_s, cpu_s, clients_cpu_s, busy_s
        self.ended += len(ended)
        self.faults += len(faults)
        return sample

    def read_cpu_s(self) -> float:
        """Return the seconds of processor time that the server has used."""
        fields = (self.process / "stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS_PER_S

    def read_memory_mb(self) -> dict[str, float]:
        """Return the sums over the process's mappings, in megabytes."""
        lines = (self.process / "smaps_rollup").read_text().splitlines()[1:]
        return {name: int(size.split()[0]) / 1024 for name, size in (line.split(":") for line in lines)}

    def read_database_mb(self) -> float:
        """Return what the database takes on disk, its log included."""
        return sum(file.stat().st_size for file in self.server.home.glob("aister.sqlite3*")) / 2**20


def read_busy_s() -> float:
    """Return the seconds of processor time that all processes of this machine have used."""
    user, nice, system, _idle, _waiting, irq, softirq = map(int, Path("/proc/stat").read_text().split(maxsplit=8)[1:8])
    return (user + nice + system + irq + softirq) / TICKS_PER_S


def latencies(requests: Iterable[Request]) -> dict[str, Latency]:
    """Return how long requests took, by kind. Only whole answers count as such."""
    by_kind: dict[str, list[Request]] = defaultdict(list)
    for request in requests:
        if request.end in ("completed", "cancelled"):
            by_kind[request.kind].append(request)
    return {kind: latency(of_kind) for kind, of_kind in sorted(by_kind.items())}


def latency(requests: Sequence[Request]) -> Latency:
    """Return how long requests of one kind took."""
    first = [1000 * (request.first_s - request.began_s) for request in requests if request.first_s is not None]
    whole = [
        1000 * (request.ended_s - request.began_s)
        for request in requests
        if request.ended_s is not None and request.end == "completed"
    ]
    return Latency(
        len(requests), quantile(first, 0.5), quantile(first, 0.95), quantile(whole, 0.5), quantile(whole, 0.95)
    )


def quantile(values: Iterable[float], share: float) -> float | None:
    """Return the value that this share of all is not above, of an empty series None."""
    ordered = sorted(values)
    return round(ordered[min(int(share * len(ordered)), len(ordered) - 1)], 1) if ordered else None
