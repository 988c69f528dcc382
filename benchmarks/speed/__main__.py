"""`python -m benchmarks.speed [ROW ...]`: measure rows and write RESULTS.md. Linux only: it reads /proc.

Rows that were measured before stay in the results until they are measured again. Exit code 1: a side could not be
measured; 2: the machine is busy with something else.
"""

import argparse
import os
import platform
import sys
import time
import tomllib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path

import msgspec

from benchmarks.soak.report import commit
from benchmarks.soak.report import machine as describe_machine
from benchmarks.speed import charts, machine, report, results, running, shapes
from benchmarks.speed.results import Measured, Point, Results
from benchmarks.speed.rows import CURVES, ROWS, Row
from benchmarks.speed.scale import SCALES, Scale

PACKAGES = ("torch", "transformers", "ctranslate2", "daphne", "channels")
ALL = [*ROWS, "curves"]
WAIT_S = 10


def main() -> int:
    """Measure what the command line names; return the exit code."""
    options = read_options()
    options.out.mkdir(parents=True, exist_ok=True)
    code, until_s = 0, time.monotonic() + 60 * options.wait
    if not options.again:
        shapes.llama(SCALES[options.scale].shape)
        for name in options.rows or ALL:
            print(f"{name} ...", flush=True)
            try:
                measure_when_quiet(name, options, until_s)
            except machine.BusyError as fault:
                advice = "Wait until it is quiet, with --wait or without, or say --busy and have the results marked."
                print(f"{fault} {advice}", file=sys.stderr)
                return 2
            except running.SideError as fault:
                print(f"{name} could not be measured: {fault}", file=sys.stderr)
                code = 1
    show(options.out)
    return code


def read_options() -> argparse.Namespace:
    """Return what the command line says."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed", description="Measure speed against peers.")
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"which rows; all without any: {', '.join(ALL)}")
    parser.add_argument("--runs", type=int, default=5, help="runs of each side that count (5)")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="threads of each side (all cores)")
    parser.add_argument("--scale", choices=SCALES, default="full", help="how much is measured (full)")
    parser.add_argument("--out", type=Path, default=Path("build/benchmarks"), help="where results are kept")
    parser.add_argument("--busy", action="store_true", help="measure on a busy machine too, and mark the results")
    parser.add_argument("--wait", type=float, default=0, metavar="MINUTES", help="wait so long for a quiet machine (0)")
    parser.add_argument("--again", action="store_true", help="write RESULTS.md once more from what was kept")
    options = parser.parse_args()
    if unknown := [name for name in options.rows if name not in ALL]:
        parser.error(f"no row {unknown[0]}; there are: {', '.join(ALL)}")
    if options.runs < 1 or options.threads < 1:
        parser.error("--runs and --threads take 1 or more")
    return options


def measure_when_quiet(name: str, options: argparse.Namespace, until_s: float) -> None:
    """Measure, again and again until the machine was quiet meanwhile; raise BusyError when the time is over."""
    while True:
        try:
            measure(name, options)
        except machine.BusyError:
            if time.monotonic() > until_s:
                raise
            time.sleep(WAIT_S)
        else:
            return


def measure(name: str, options: argparse.Namespace) -> None:
    """Measure one row, or the curves, and keep the figures. Raises BusyError and SideError."""
    if not options.busy:
        machine.wait_and_check()
    if name != "curves":
        measured = measure_row(ROWS[name], options)
        keep(options.out, partial(results.with_row, measured=measured, streams=streams(ROWS[name], options)))
        return
    kept = results.load(options.out / "results.json")
    for point in measure_curves(options, kept.points if kept else []):
        keep(options.out, partial(results.with_point, point=point))


def keep(out: Path, add: Callable[[Results], Results]) -> None:
    """Add what was measured to what is kept, at once: a benchmark that is ended loses nothing."""
    kept = add(results.load(out / "results.json") or Results("", {}, {}, []))
    versions = {"Python": platform.python_version(), **{package: version(package) for package in PACKAGES}}
    kept = msgspec.structs.replace(kept, machine=describe_machine().partition(", Python")[0], versions=versions)
    results.save(kept, out / "results.json")


def measure_row(row: Row, options: argparse.Namespace) -> Measured:
    """Return a row's figures."""
    began_at, at_commit = f"{datetime.now(UTC):%Y-%m-%d %H:%M}", commit()
    scale = sized(options.scale, streams(row, options))
    ours, *peers = running.measure(
        [row.ours, *row.peers], scale, options.threads, options.runs, is_busy_allowed=options.busy
    )
    measured = Measured(
        row=row.name,
        began_at=began_at,
        commit=at_commit,
        scale=options.scale,
        threads=options.threads,
        was_busy=was_busy([ours, *peers]),
        ours=ours,
        peers=dict(zip(row.peers, peers, strict=True)),
    )
    print("  " + " | ".join(report.line(row, measured)[2:6]), results.verdict(row, measured), flush=True)
    return measured


def measure_curves(options: argparse.Namespace, known: list[Point]) -> Iterator[Point]:
    """Yield the points of all curves but those that are known by this commit: rows measure some of them."""
    at_commit = commit()
    measured = {(p.curve, p.streams, p.scale) for p in known if p.commit == at_commit}
    for count in SCALES[options.scale].curve_streams:
        for curve in CURVES:
            if (curve.name, count, options.scale) in measured:
                continue
            scale = sized(options.scale, count)
            [runs] = running.measure([curve.side], scale, options.threads, options.runs, is_busy_allowed=options.busy)
            print(f"  {curve.name}, {count}: {runs.median('tokens_per_s'):.1f} tokens/s", flush=True)
            yield Point(curve.name, count, options.scale, at_commit, was_busy([runs]), runs)


def streams(row: Row, options: argparse.Namespace) -> int:
    """Return how many streams a row has."""
    return SCALES[options.scale].streams if row.streams is None else row.streams


def sized(name: str, count: int) -> Scale:
    """Return a scale with so many streams."""
    return msgspec.structs.replace(SCALES[name], streams=count)


def was_busy(sides: list[results.SideRuns]) -> bool:
    """Say whether others used more of the machine during any run than a quiet machine does."""
    return any(share > machine.BUSY_SHARE for side in sides for share in side.others)


def show(out: Path) -> None:
    """Write RESULTS.md and the charts."""
    kept = results.load(out / "results.json")
    if kept is None:
        return
    file = out / "notes.toml"
    said = tomllib.loads(file.read_text()) if file.exists() else {}
    (out / "RESULTS.md").write_text(report.markdown(kept, said))
    try:
        if kept.points:
            charts.draw(kept, out)
    except ImportError:
        print("No charts: matplotlib is not installed. It is in benchmarks/requirements.txt.", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
