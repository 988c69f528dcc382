"""`python -m benchmarks.speed.worker MODULE:FUNCTION SCALE THREADS`: one side of a row, in a process of its own.

It makes ready what the side needs, says so with a line, and then does one run for each line that it reads, and answers
with a line of JSON: the run's figures. It ends when its input ends. Whatever else is printed goes to stderr.
"""

import importlib
import os
import signal
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import cast

import msgspec

from benchmarks.speed.scale import Scale

Figures = dict[str, float]
Run = Callable[[int], Figures]
"""Does run number n."""
Side = Callable[[Scale, int], AbstractContextManager[Run]]
"""Makes ready what runs need, for a scale and a number of threads."""


def main() -> None:
    """Serve one side until the input ends."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # not without the servers that it has started
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    name, scale, threads = sys.argv[1:]
    with find(name)(msgspec.json.decode(scale, type=Scale), int(threads)) as run:
        answers.write(b"ready\n")
        for number, _ in enumerate(sys.stdin, start=1):
            answers.write(msgspec.json.encode(run(number)) + b"\n")


def find(name: str) -> Side:
    """Return the side that `module:function` names, a module of this package."""
    module, _, function = name.partition(":")
    return cast(Side, getattr(importlib.import_module(f"benchmarks.speed.{module}"), function))


if __name__ == "__main__":
    main()
