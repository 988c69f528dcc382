"""What was measured, as it is kept: raw figures of every run, from which all else is worked out anew."""

from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Literal

import msgspec

from benchmarks.speed.rows import CURVES, ROWS, Row

Verdict = Literal["reached", "short"]


class SideRuns(msgspec.Struct, frozen=True):
    """The figures of one side, run by run; `others` are the cores that other programs used meanwhile."""

    figures: list[dict[str, float]]
    others: list[float]

    def median(self, name: str) -> float:
        """Return the median of a figure."""
        return median(run[name] for run in self.figures)


class Measured(msgspec.Struct, frozen=True):
    """A row that was measured: when, of which commit, at which scale; its peers by the names of their sides.

    `was_busy`: with other things too.
    """

    row: str
    began_at: str
    commit: str
    scale: str
    threads: int
    was_busy: bool
    ours: SideRuns
    peers: dict[str, SideRuns]


class Point(msgspec.Struct, frozen=True):
    """One point of a line of the charts."""

    curve: str
    streams: int
    scale: str
    commit: str
    was_busy: bool
    runs: SideRuns


class Results(msgspec.Struct, frozen=True):
    """All that RESULTS.md shows."""

    machine: str
    versions: dict[str, str]
    rows: dict[str, Measured]
    points: list[Point]


def quantile(values: Sequence[float], share: float) -> float:
    """Return the value that this share of all is not above. `values` may not be empty."""
    ordered = sorted(values)
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)]


def ratio(row: Row, measured: Measured) -> float | None:
    """Return how many times better ours is, or for rows with `at_most`, how many times as much; None without a peer."""
    if not measured.peers:
        return None
    best = max if row.figure.better == "more" else min
    ours, peer = measured.ours.median(row.figure.name), best(p.median(row.figure.name) for p in measured.peers.values())
    is_inverse = row.figure.better == "less" and row.at_most is None
    above, below = (peer, ours) if is_inverse else (ours, peer)
    return above / below if below else float("inf")


def verdict(row: Row, measured: Measured) -> Verdict:
    """Say whether a row has reached what it must."""
    found = ratio(row, measured)
    value = measured.ours.median(row.figure.name) if found is None else found
    is_enough = row.at_least is None or value >= row.at_least
    is_little = row.at_most is None or value <= row.at_most
    return "reached" if is_enough and is_little else "short"


def in_order(results: Results) -> list[tuple[Row, Measured]]:
    """Return what was measured, in the order of the table."""
    return [(row, results.rows[name]) for name, row in ROWS.items() if name in results.rows]


def with_row(results: Results, measured: Measured, streams: int) -> Results:
    """Return results with a row in place of the one that was measured before, and with the points that it gives."""
    for side, runs in {ROWS[measured.row].ours: measured.ours, **measured.peers}.items():
        for curve in (curve for curve in CURVES if curve.side == side):
            point = Point(curve.name, streams, measured.scale, measured.commit, measured.was_busy, runs)
            results = with_point(results, point)
    return msgspec.structs.replace(results, rows={**results.rows, measured.row: measured})


def with_point(results: Results, point: Point) -> Results:
    """Return results with a point in place of the one that was measured before."""
    others = [other for other in results.points if (other.curve, other.streams) != (point.curve, point.streams)]
    return msgspec.structs.replace(results, points=[*others, point])


def save(results: Results, path: Path) -> None:
    """Keep results, so that they can be shown again and added to."""
    path.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=1) + b"\n")


def load(path: Path) -> Results | None:
    """Return the results that were kept; None where there are none."""
    return msgspec.json.decode(path.read_bytes(), type=Results) if path.exists() else None
