"""Whether a run was as it must be: pure functions of what was recorded, each with what the report says of it."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from statistics import linear_regression, pstdev
from typing import NamedTuple

import msgspec

from benchmarks.soak.record import Fault, Request
from benchmarks.soak.sampling import Sample

MOST_MEMORY_MB = 20.0  # as for each hostile client in tests/hostile
MOST_DESCRIPTORS = 20.0
MOST_THREADS = 3.0
FEWEST_SAMPLES = 12  # a minute of them; of fewer no trend can be told
WARM_UP = 0.1  # of the run, and two minutes at least, but never more than a third
WARM_UP_S = 120.0
EVERYBODY_S = 600.0  # the slowest client has ended a visit by then


class Verdict(msgspec.Struct, frozen=True):
    """One thing that was looked at."""

    about: str
    is_good: bool
    says: str


class Row(NamedTuple):
    """A row of the ledger."""

    request_id: str
    status: str
    tokens: tuple[int, int, int]


class Trend(NamedTuple):
    """A straight line through a series: its rise in an hour and in all, and how far values scatter around it."""

    per_hour: float
    rise: float
    scatter: float


def warm_up_s(length_s: float) -> float:
    """Return how long growth is no fault: caches fill, and the allocator takes what busy moments need."""
    return min(max(WARM_UP * length_s, WARM_UP_S), length_s / 3)


def settled(samples: Sequence[Sample]) -> list[Sample]:
    """Return the samples after the warm-up."""
    return [sample for sample in samples if sample.at_s >= warm_up_s(samples[-1].at_s)] if samples else []


def trend(at_s: Sequence[float], values: Sequence[float]) -> Trend:
    """Return the line of least squares; at least two moments."""
    slope, start = linear_regression(at_s, values)
    scatter = pstdev(value - (start + slope * at) for at, value in zip(at_s, values, strict=True))
    return Trend(slope * 3600, slope * (at_s[-1] - at_s[0]), scatter)


def memory(samples: Sequence[Sample]) -> Verdict:
    """Judge the growth of the process, by its trend and its scatter together.

    By RSS: what it shares with no other rises and falls with other programs that map the same libraries.

    The trend finds a leak, however slow; twice the scatter bounds what comes and goes, so that a run whose memory
    jumps about is not called flat because it ended low.
    """
    late = settled(samples)
    if len(late) < FEWEST_SAMPLES:
        return Verdict("memory", True, "The run was too short to tell a trend.")
    line = trend([sample.at_s for sample in late], [sample.rss_mb for sample in late])
    grown = max(line.rise, 0) + 2 * line.scatter
    says = (
        f"After the warm-up, its memory (RSS) rose by {line.rise:+.1f} MB ({line.per_hour:+.1f} MB an hour) and "
        f"scattered by {line.scatter:.1f} MB around that line; rise and twice the scatter are {grown:.1f} MB, "
        f"and may be {MOST_MEMORY_MB:.0f} MB."
    )
    return Verdict("memory", grown <= MOST_MEMORY_MB, says)


def counts(samples: Sequence[Sample]) -> Verdict:
    """Judge the trend of descriptors and threads: what is opened must be closed."""
    late = settled(samples)
    if len(late) < FEWEST_SAMPLES:
        return Verdict("descriptors and threads", True, "The run was too short to tell a trend.")
    at_s = [sample.at_s for sample in late]
    descriptors = trend(at_s, [sample.descriptors for sample in late]).rise
    threads = trend(at_s, [sample.threads for sample in late]).rise
    says = f"After the warm-up, file descriptors rose by {descriptors:+.1f}, threads by {threads:+.1f}."
    return Verdict("descriptors and threads", descriptors <= MOST_DESCRIPTORS and threads <= MOST_THREADS, says)


def ledger(requests: Iterable[Request], rows: Sequence[Row]) -> Verdict:
    """Compare what clients saw with the ledger: nothing lost, nothing twice, nothing else, and the same figures."""
    requests = list(requests)
    must = {request.request_id: request for request in requests if request.has_row}
    found = Counter(row.request_id for row in rows)
    ends = Counter(request.request_id for request in requests if request.request_id)
    lost = [request_id for request_id in must if not found[str(request_id)]]
    doubled = [name for name, times in (*found.items(), *ends.items()) if times > 1]
    other = [row for row in rows if row.request_id in must and is_other(row, must[row.request_id])]
    refused = {request.request_id for request in requests if not request.has_row} - {None}
    stray = [row for row in rows if row.request_id in refused]
    nameless = sum(row.request_id not in must and row.request_id not in refused for row in rows)
    without_id = sum(request.request_id is None for request in requests)
    says = (
        f"{len(rows):,} rows for {len(must):,} requests that clients saw begin or end, and for {nameless:,} of "
        f"{without_id:,} whose clients left before they heard anything. Lost: {len(lost)}; doubled: {len(doubled)}; "
        f"with other figures than the client saw: {len(other)}; of requests that were refused: {len(stray)}."
    )
    return Verdict("ledger", not (lost or doubled or other or stray) and nameless <= without_id, says)


def is_other(row: Row, request: Request) -> bool:
    """Whether a row says something else than its client was told; a client that left was told nothing."""
    return request.tokens is not None and (row.status, row.tokens) != (request.end, request.tokens)


def faults(seen: Iterable[Fault]) -> Verdict:
    """Judge the errors that clients met."""
    seen = list(seen)
    unexpected = Counter(f"{fault.who}: {fault.code}" for fault in seen if not fault.is_expected)
    says = f"{len(seen) - unexpected.total():,} expected errors, {unexpected.total():,} others"
    listed = "; ".join(f"{what} ({times})" for what, times in unexpected.most_common(20))
    return Verdict("errors", not unexpected, f"{says}: {listed}." if listed else f"{says}.")


def visits(made: Mapping[str, int], kinds: Iterable[str], length_s: float) -> Verdict:
    """Judge whether everybody came: a soak without some of its clients says less than it seems to."""
    missing = [who for who in kinds if not made.get(who)]
    says = f"{sum(made.values()):,} visits." + (f" Nobody who: {', '.join(missing)}." if missing else "")
    return Verdict("visits", not missing or length_s < EVERYBODY_S, says)


def log(lines: Sequence[str]) -> Verdict:
    """Judge the server's log by its lines about errors."""
    says = "\n".join([f"{len(lines)} errors or tracebacks in the server's log.", *lines[:5]])
    return Verdict("log", not lines, says)


def stop(exit_code: int | None, stop_s: float) -> Verdict:
    """Judge how the server stopped, at SIGTERM and under traffic."""
    if exit_code is None:
        return Verdict("stop", False, f"The server did not stop within {stop_s:.0f} s, and was killed.")
    return Verdict("stop", exit_code == 0, f"Stopped under traffic in {stop_s:.1f} s, with exit code {exit_code}.")
