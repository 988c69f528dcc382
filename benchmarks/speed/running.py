"""Runs the sides of a row, each in a process of its own, by turns; the first run of each is not counted."""

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

import msgspec

from benchmarks.server import ROOT
from benchmarks.speed import machine
from benchmarks.speed.results import SideRuns
from benchmarks.speed.scale import Scale
from benchmarks.speed.worker import Figures


class SideError(Exception):
    """A side could not be measured; what it had to say is on stderr."""


class Worker:
    """A side's process."""

    def __init__(self, side: str, process: "subprocess.Popen[bytes]") -> None:
        self.side = side
        self.process = process

    def read(self) -> bytes:
        """Return the next line of the process; raise SideError when it has ended instead."""
        line: bytes = self.process.stdout.readline() if self.process.stdout else b""
        if not line:
            raise SideError(f"{self.side} ended with {self.process.wait()}.")
        return line

    def run(self) -> Figures:
        """Let the side do one run and return its figures."""
        if self.process.stdin is None or self.process.poll() is not None:
            raise SideError(f"{self.side} has ended.")
        self.process.stdin.write(b"run\n")
        self.process.stdin.flush()
        return msgspec.json.decode(self.read(), type=dict[str, float])


@contextmanager
def working(side: str, scale: Scale, threads: int) -> Iterator[Worker]:
    """Have a side's process until the block ends. The first line that it writes says that it is ready."""
    command = [sys.executable, "-m", "benchmarks.speed.worker", side, msgspec.json.encode(scale).decode(), str(threads)]
    counts = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(threads))  # also of threads that a peer starts
    with subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, **counts}, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        try:
            yield Worker(side, process)
        except BaseException:
            process.terminate()
            raise


def measure(sides: Sequence[str], scale: Scale, threads: int, runs: int, *, is_busy_allowed: bool) -> list[SideRuns]:
    """Return the runs of sides that take turns.

    Raises SideError, and BusyError when the machine is busy with something else, unless that is allowed.
    """
    kept = [SideRuns([], []) for _ in sides]
    with ExitStack() as stack:
        workers = [stack.enter_context(working(side, scale, threads)) for side in sides]
        for worker in workers:
            worker.read()
        for worker in workers:
            worker.run()
        for _ in range(runs):
            for worker, side_runs in zip(workers, kept, strict=True):
                before = machine.look()
                side_runs.figures.append(worker.run())
                side_runs.others.append(round(others(before, is_busy_allowed=is_busy_allowed), 3))
    return kept


def others(before: machine.Moment, *, is_busy_allowed: bool) -> float:
    """Return how much others have used since a moment; raise BusyError when it is too much and not allowed."""
    after = machine.look()
    if is_busy_allowed:
        return machine.others_share(before, after, os.getpid())
    return machine.check_quiet(before, after, os.getpid())
