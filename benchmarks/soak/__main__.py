"""`python -m benchmarks.soak`: soak a server for MINUTES and say how it was. Linux only: it reads /proc.

The clients and the measuring live in this process, the server in its own. Exit code 1: something unexpected occurred.
"""

import argparse
import asyncio
import logging
import sqlite3
import sys
from collections import Counter
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from benchmarks.server import Server, started, stop
from benchmarks.soak import crowd, drawing, report, verdict
from benchmarks.soak.record import Record
from benchmarks.soak.report import Run
from benchmarks.soak.sampling import Sample, Sampler
from benchmarks.soak.verdict import Row

MEMORY_MB = 256
"""Of settings only this is none of the defaults, so that limits are real ones. Caches of conversations are kept until a
quarter of it is full: by default 2 GB, which would fill for hours and hide what leaks beside them. With this they are
full within the warm-up.
"""
SAMPLE_S = 5.0
TOLD_S = 60.0
BEFORE_LEAVING_S = 2.0  # for clients to read what the server sent before it ended
ROWS = "SELECT request_id, status, input_tokens, cached_tokens, output_tokens FROM inference_usagerecord"


def main() -> int:
    """Run, or report once more on a run that was kept; return the exit code."""
    options = read_options()
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
    options.out.mkdir(parents=True, exist_ok=True)
    kept = options.out / "run.json"
    if not options.again:
        report.save(asyncio.run(soak(options)), kept)
    run = report.load(kept)
    (options.out / "report.md").write_text(report.markdown(run))
    picture(run, options.out)
    print(report.markdown(run))
    return 0 if run.is_good else 1


def read_options() -> argparse.Namespace:
    """Return what the command line says."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description="Soak a server of its own.")
    parser.add_argument("--minutes", type=float, default=60.0, help="how long (60)")
    parser.add_argument("--out", type=Path, required=True, help="a directory that may not hold another soak's server")
    parser.add_argument("--seed", type=int, default=1, help="what clients do follows from it (1)")
    parser.add_argument("--pace", type=float, default=1.0, help="think times are multiplied by it (1)")
    parser.add_argument("--again", action="store_true", help="report and draw the run in OUT once more")
    options = parser.parse_args()
    if not options.again and (options.out / "home").exists():
        parser.error(f"{options.out} holds a soak already. Name another directory, or remove it.")
    return options


async def soak(options: argparse.Namespace) -> Run:
    """Run a server under traffic, stop it under traffic, and judge what was seen."""
    began_at, commit = f"{datetime.now(UTC):%Y-%m-%d %H:%M}", report.commit()
    with started(options.out, AISTER_MEMORY_MB=str(MEMORY_MB)) as server:
        keys = crowd.make_keys(server)
        record = Record()
        crowds = crowd.arrive(server, record, keys, seed=options.seed, pace=options.pace)
        samples = await watch(server, record, options.minutes * 60, options.out)
        length_s, record.is_stopping = record.now_s, True
        exit_code, stop_s = await asyncio.to_thread(stop, server)
        await leave(crowds)
        verdicts = [
            verdict.ledger(record.requests, rows(server.database)),
            verdict.faults(record.faults),
            verdict.log(server.faults()),
            verdict.memory(samples),
            verdict.counts(samples),
            verdict.visits(record.visits, crowd.KINDS, length_s),
            verdict.stop(exit_code, stop_s),
        ]
    return Run(
        began_at=began_at,
        length_s=length_s,
        seed=options.seed,
        commit=commit,
        machine=report.machine(),
        samples=samples,
        requests=record.requests,
        pages=record.pages,
        faults=record.faults,
        verdicts=verdicts,
    )


async def watch(server: Server, record: Record, length_s: float, out: Path) -> list[Sample]:
    """Sample until the time is over or the server has ended; write each sample down at once, and a line a minute."""
    sampler = Sampler(server, record)
    samples: list[Sample] = []
    with (out / "samples.jsonl").open("wb") as file:
        while not samples or samples[-1].at_s < length_s:
            await asyncio.sleep(min(SAMPLE_S, max(length_s - record.now_s, 0.01)))
            if server.process.poll() is not None:
                break
            samples.append(sampler.sample())
            file.write(msgspec.json.encode(samples[-1]) + b"\n")
            file.flush()
            if len(samples) % round(TOLD_S / SAMPLE_S) == 0:
                tell(samples[-1], record)
    return samples


def tell(sample: Sample, record: Record) -> None:
    """Print how it goes."""
    unexpected = Counter(fault.code for fault in record.faults if not fault.is_expected)
    process = f"{sample.uss_mb:6.1f} MB  {sample.cpu_percent:5.1f} %  {sample.requests_per_s:5.1f} requests/s"
    seen = f"{len(record.ended):,} ended  unexpected: {dict(unexpected) or 'none'}"
    print(f"{sample.at_s / 60:5.1f} min  {process}  {seen}", flush=True)


async def leave(crowds: list["asyncio.Task[None]"]) -> None:
    """Let clients read what is left for them, then send everybody home."""
    await asyncio.wait(crowds, timeout=BEFORE_LEAVING_S)
    for task in crowds:
        task.cancel()
    await asyncio.gather(*crowds, return_exceptions=True)


def rows(database: Path) -> list[Row]:
    """Return the ledger."""
    with closing(sqlite3.connect(database)) as connection:
        return [Row(request_id, status, tuple(tokens)) for request_id, status, *tokens in connection.execute(ROWS)]


def picture(run: Run, out: Path) -> None:
    """Draw a run, where matplotlib is installed."""
    try:
        for name in ("soak.svg", "soak.png"):
            drawing.draw(run, out / name)
    except ImportError:
        print("No picture: matplotlib is not installed. It is in benchmarks/requirements.txt.", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
