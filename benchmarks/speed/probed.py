"""`python -m benchmarks.speed.probed serve`: `manage.py serve` with a probe of its event loop.

A thread gives the loop something to do every few milliseconds and takes down how late that was done, in milliseconds, a
line each, in the file that AISTER_BENCH_LAGS names. What the thread itself is late by does not count.
"""

import asyncio
import os
import sys
import threading
import time
from typing import IO

import manage

EVERY_S = 0.005


def main() -> None:
    """Serve, probed."""
    with open(os.environ.pop("AISTER_BENCH_LAGS"), "w", buffering=1) as lags:
        threading.Thread(target=probe, args=(lags,), daemon=True).start()
        manage.main()


def probe(lags: IO[str]) -> None:
    """Ask the loop for as long as it runs. A question is asked when the one before has been answered."""
    loop = wait_for_loop()
    answered = threading.Event()
    while not loop.is_closed():
        asked_s = time.perf_counter()
        loop.call_soon_threadsafe(answer, asked_s, lags, answered)
        answered.wait(10)
        answered.clear()
        time.sleep(EVERY_S)


def answer(asked_s: float, lags: IO[str], answered: threading.Event) -> None:
    """Take down how late this is. On the loop."""
    lags.write(f"{1000 * (time.perf_counter() - asked_s):.3f}\n")
    answered.set()


def wait_for_loop() -> asyncio.AbstractEventLoop:
    """Return the loop that Twisted runs on, once it runs."""
    while True:
        reactor = getattr(sys.modules.get("twisted.internet"), "reactor", None)
        loop: asyncio.AbstractEventLoop | None = getattr(reactor, "_asyncioEventloop", None)
        if loop is not None and loop.is_running():
            return loop
        time.sleep(0.1)


if __name__ == "__main__":
    main()
