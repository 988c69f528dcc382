"""Whether the machine is busy with something else, which would make every figure worthless. Linux only: reads /proc."""

import os
import time
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import NamedTuple

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
LOOK_S = 3.0
BUSY_SHARE = 0.1
"""Of one core. What a machine does that has nothing else to do stays below a tenth of that."""


class BusyError(Exception):
    """The machine is busy with something else; the message says how busy, and who it is."""


class Process(NamedTuple):
    """A process: its parent, its name, and the processor time that it and the children it has waited for have used."""

    parent: int
    name: str
    cpu_s: float


class Moment(NamedTuple):
    """What the processors have done so far. `stolen_s` is what the host of a virtual machine gave to others."""

    at_s: float
    busy_s: float
    stolen_s: float
    processes: dict[int, Process]


def look() -> Moment:
    """Return what the processors have done until now."""
    ticks = [int(part) for part in Path("/proc/stat").read_text().split(maxsplit=9)[1:9]]
    user, nice, system, _idle, _waiting, irq, softirq, stolen = ticks
    busy_s = (user + nice + system + irq + softirq) / TICKS_PER_S
    return Moment(time.monotonic(), busy_s, stolen / TICKS_PER_S, read_processes())


def read_processes() -> dict[int, Process]:
    """Return the processes of this machine by id."""
    found = {}
    for directory in Path("/proc").glob("[0-9]*"):
        try:
            stat = (directory / "stat").read_text()
        except OSError:  # it has ended
            continue
        name, fields = stat[stat.index("(") + 1 : stat.rindex(")")], stat[stat.rindex(")") + 2 :].split()
        found[int(directory.name)] = Process(int(fields[1]), name, sum(map(int, fields[11:15])) / TICKS_PER_S)
    return found


def ours(processes: Mapping[int, Process], root: int) -> set[int]:
    """Return a process and all that descend from it."""
    found, size = {root}, 0
    while len(found) > size:
        size = len(found)
        found |= {pid for pid, process in processes.items() if process.parent in found}
    return found


def used_s(before: Moment, after: Moment, pids: Collection[int]) -> float:
    """Return the processor time that these processes have used between two moments."""
    return sum(
        after.processes[pid].cpu_s - (before.processes[pid].cpu_s if pid in before.processes else 0.0)
        for pid in pids
        if pid in after.processes
    )


def others_share(before: Moment, after: Moment, root: int) -> float:
    """Return what others than a process and its descendants have used, in cores, the host's other guests included."""
    own_s = used_s(before, after, ours(after.processes, root))
    others_s = after.busy_s - before.busy_s - own_s + after.stolen_s - before.stolen_s
    return max(0.0, others_s / max(after.at_s - before.at_s, 1e-3))


def busiest(before: Moment, after: Moment, root: int, count: int = 3) -> str:
    """Return who else was busiest, as people read it."""
    mine, passed_s = ours(after.processes, root), max(after.at_s - before.at_s, 1e-3)
    shares = {
        pid: used_s(before, after, [pid]) / passed_s
        for pid, process in after.processes.items()
        if pid not in mine and process.parent
    }
    top = sorted(shares.items(), key=lambda item: -item[1])[:count]
    return ", ".join(f"{after.processes[pid].name} ({pid}) {share:.0%}" for pid, share in top if share >= 0.01)


def check_quiet(before: Moment, after: Moment, root: int) -> float:
    """Return the share of a core that others used between two moments; raise BusyError when that is too much."""
    share = others_share(before, after, root)
    if share > BUSY_SHARE:
        who = busiest(before, after, root) or "other guests of the host"
        raise BusyError(f"Others used {share:.0%} of a core, and {BUSY_SHARE:.0%} is the most: {who}.")
    return share


def wait_and_check() -> float:
    """Look for some seconds whether the machine is quiet. Raises BusyError."""
    before = look()
    time.sleep(LOOK_S)
    return check_quiet(before, look(), os.getpid())
