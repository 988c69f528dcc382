"""A run as it is kept, and its report: tables in Markdown."""

import os
import platform
import subprocess
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from benchmarks.server import ROOT
from benchmarks.soak.record import Fault, Page, Request
from benchmarks.soak.sampling import Sample, latencies, quantile
from benchmarks.soak.verdict import Verdict, settled

FIGURES = ("benchmarks/RESULTS.md", "benchmarks/results.json", "benchmarks/*.svg", "benchmarks/notes.toml")


class Run(msgspec.Struct, frozen=True):
    """All that is known of a run. Times are seconds since its first request, moments are UTC."""

    began_at: str
    length_s: float
    seed: int
    commit: str
    machine: str
    samples: list[Sample]
    requests: list[Request]
    pages: list[Page]
    faults: list[Fault]
    verdicts: list[Verdict]

    @property
    def is_good(self) -> bool:
        """Whether nothing unexpected occurred."""
        return all(verdict.is_good for verdict in self.verdicts)


def commit() -> str:
    """Return which commit is measured, `-dirty` where more has changed than figures; `unknown` outside a checkout."""
    head = git("rev-parse", "--short", "HEAD")
    changes = git("status", "--porcelain", "--untracked-files=no", "--", ".", *(f":!{path}" for path in FIGURES))
    return f"{head}-dirty" if head and changes else head or "unknown"


def git(*arguments: str) -> str:
    """Return what git says of this checkout; nothing when there is none."""
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip()


def machine() -> str:
    """Return what the run ran on."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{os.cpu_count()} cores ({names[0] if names else platform.machine()}), Python {platform.python_version()}"


def save(run: Run, path: Path) -> None:
    """Keep a run, so that it can be reported and drawn again."""
    path.write_bytes(msgspec.json.encode(run))


def load(path: Path) -> Run:
    """Return a run that was kept."""
    return msgspec.json.decode(path.read_bytes(), type=Run)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; the first column is text, the others figures."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def figure(value: float | None) -> str:
    """Return a number of milliseconds as people read it."""
    return "" if value is None else f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def markdown(run: Run) -> str:
    """Return the report."""
    verdict = "Nothing unexpected occurred." if run.is_good else "**Something unexpected occurred.**"
    head = (
        f"{run.length_s / 60:.0f} minutes from {run.began_at} UTC, commit {run.commit}, seed {run.seed}, {run.machine}."
    )
    verdicts = [
        f"- {'good' if each.is_good else '**BAD**'}: {each.about}. {each.says.replace(chr(10), chr(10) + '      ')}"
        for each in run.verdicts
    ]
    parts = [f"{head} {verdict}", "\n".join(verdicts), process(run), answers(run), pages(run), errors(run)]
    return "\n\n".join(parts) + "\n"


def process(run: Run) -> str:
    """Return the table of the server's process."""
    late = settled(run.samples)
    rows: list[tuple[str, Sequence[float]]] = [
        ("memory, RSS, MB", [sample.rss_mb for sample in late]),
        ("memory, PSS, MB", [sample.pss_mb for sample in late]),
        ("memory of its own (USS), MB", [sample.uss_mb for sample in late]),
        ("processor, % of a core", [sample.cpu_percent for sample in late]),
        ("processor, used by others, % of a core", [sample.others_cpu_percent for sample in late]),
        ("threads", [sample.threads for sample in late]),
        ("file descriptors", [sample.descriptors for sample in late]),
        ("open sessions", [sample.sessions for sample in late]),
        ("open requests", [sample.open_requests for sample in late]),
        ("requests a second", [sample.requests_per_s for sample in late]),
        ("database, MB", [sample.database_mb for sample in late]),
    ]
    return table(
        ["the server, after its warm-up", "least", "median", "most", "last"],
        [[name, *(f"{value:,.1f}" for value in spread(values))] for name, values in rows if values],
    )


def spread(values: Sequence[float]) -> list[float]:
    """Return the least, the median, the most and the last of some values."""
    return [min(values), quantile(values, 0.5) or 0.0, max(values), values[-1]]


def answers(run: Run) -> str:
    """Return the table of latencies."""
    return table(
        ["requests", "answered", "first text p50, ms", "p95", "whole answer p50, ms", "p95"],
        [
            [
                kind,
                f"{each.count:,}",
                *map(figure, [each.first_p50_ms, each.first_p95_ms, each.whole_p50_ms, each.whole_p95_ms]),
            ]
            for kind, each in latencies(run.requests).items()
        ],
    )


def pages(run: Run) -> str:
    """Return the table of pages and downloads."""
    by_kind: dict[str, list[float]] = defaultdict(list)
    for page in run.pages:
        by_kind[page.kind].append(1000 * (page.ended_s - page.began_s))
    return table(
        ["pages and downloads", "times", "p50, ms", "p95", "slowest"],
        [
            [kind, f"{len(took):,}", *map(figure, [quantile(took, 0.5), quantile(took, 0.95), max(took)])]
            for kind, took in sorted(by_kind.items())
        ],
    )


def errors(run: Run) -> str:
    """Return the table of errors: who met them, and whether they had it coming."""
    times = Counter((fault.is_expected, fault.who, fault.code) for fault in run.faults)
    return table(
        ["who met an error", "error", "expected", "times"],
        [
            [who, code, "yes" if is_expected else "**no**", f"{n:,}"]
            for (is_expected, who, code), n in sorted(times.items())
        ],
    )
