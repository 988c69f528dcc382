"""The picture of a run. The only module that needs matplotlib, which is imported when there is something to draw."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.soak.record import Request
from benchmarks.soak.report import Run
from benchmarks.soak.sampling import quantile
from benchmarks.soak.verdict import warm_up_s

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, FAINT, GRID = "#1f2933", "#7b8794", "#e4e7eb"
BLUE, ORANGE, GREEN, RED, PURPLE = "#2563eb", "#d97706", "#059669", "#dc2626", "#7c3aed"
LATENCIES = [("chat", BLUE), ("long chat", PURPLE), ("translation", GREEN), ("POST translate", ORANGE)]
POINTS = 90  # a line has about that many, so that an hour can be read as well as a minute
STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": GRID,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "grid.color": GRID,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "lines.linewidth": 1.4,
    "svg.fonttype": "none",
    "svg.hashsalt": "aister",
}


def draw(run: Run, path: Path) -> None:
    """Draw a run; the format follows from the name. Raises ImportError when matplotlib is not installed."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    with matplotlib.rc_context(STYLE):
        figure, grid = pyplot.subplots(3, 2, figsize=(11, 9.2), sharex=True)
        panels: list[Callable[[Axes, Run, float], None]] = [memory, load, first_texts, whole_answers, traffic, errors]
        for axes, panel in zip(grid.flat, panels, strict=True):
            panel(axes, run, bucket_s(run))
            axes.axvspan(0, warm_up_s(run.length_s) / 60, color=GRID, alpha=0.45, linewidth=0)
        for axes in grid[-1]:
            axes.set_xlabel("minutes")
            axes.set_xlim(0, run.length_s / 60)
        title(figure, run)
        figure.savefig(path, dpi=110, facecolor="white", metadata={"Date": None} if path.suffix == ".svg" else None)
        pyplot.close(figure)


def title(figure: "Figure", run: Run) -> None:
    """Say what is to be seen."""
    sessions = quantile([sample.sessions for sample in run.samples], 0.5) or 0
    length = f"{run.length_s / 60:.0f} minutes of mixed traffic"
    what = f"{length}: {len(run.requests):,} requests, {sessions:.0f} sessions open at a time"
    figure.suptitle(what, x=0.06, y=0.985, ha="left", fontsize=13, fontweight="bold")
    figure.text(0.06, 0.945, f"{run.machine}; commit {run.commit}. Grey: the warm-up.", color=FAINT, fontsize=9)
    figure.subplots_adjust(left=0.06, right=0.98, top=0.9, bottom=0.06, hspace=0.28, wspace=0.14)


def bucket_s(run: Run) -> float:
    """Return how many seconds one point of a line stands for."""
    return max(run.length_s / POINTS, 5.0)


def minutes(run: Run) -> list[float]:
    """Return the moments of the samples."""
    return [sample.at_s / 60 for sample in run.samples]


def legend(axes: "Axes") -> None:
    """Name the lines, above them."""
    axes.legend(
        loc="lower right", bbox_to_anchor=(1.0, 0.98), ncols=5, borderaxespad=0, handlelength=1.2, columnspacing=1
    )


def memory(axes: "Axes", run: Run, _bucket_s: float) -> None:
    """Draw the memory, on an axis of 100 MB at least: on a narrower one, a flat line looks like a mountain range."""
    axes.set_title("Memory of the server, MB")
    at = minutes(run)
    for name, color, values in [
        ("resident", BLUE, [sample.rss_mb for sample in run.samples]),
        ("its own", GREEN, [sample.uss_mb for sample in run.samples]),
    ]:
        axes.plot(at, values, color=color, label=name)
    low, high = axes.get_ylim()
    room = max(0.0, 100 - (high - low)) / 2
    axes.set_ylim(low - room, high + room)
    legend(axes)


def load(axes: "Axes", run: Run, _bucket_s: float) -> None:
    """Draw processor time, and what could pile up."""
    axes.set_title("Processor and connections")
    at = minutes(run)
    axes.plot(at, [sample.cpu_percent for sample in run.samples], color=BLUE, alpha=0.8, label="% of a core")
    axes.plot(at, [sample.descriptors for sample in run.samples], color=ORANGE, label="descriptors")
    axes.plot(at, [sample.sessions for sample in run.samples], color=GREEN, label="sessions")
    axes.plot(at, [sample.threads for sample in run.samples], color=PURPLE, label="threads")
    axes.set_ylim(bottom=0)
    legend(axes)


def first_texts(axes: "Axes", run: Run, bucket_s: float) -> None:
    """Draw the latencies of the first text."""
    axes.set_title("First text, ms")
    latencies(axes, run, bucket_s, lambda request: request.first_s)


def whole_answers(axes: "Axes", run: Run, bucket_s: float) -> None:
    """Draw the latencies of whole answers."""
    axes.set_title("Whole answer, ms")
    latencies(axes, run, bucket_s, lambda request: request.ended_s if request.end == "completed" else None)


def latencies(axes: "Axes", run: Run, bucket_s: float, moment: Callable[[Request], float | None]) -> None:
    """Draw p50 as a line and p95 as a thin one, for the kinds of request that say most."""
    for kind, color in LATENCIES:
        points = [
            (ended_s, 1000 * (ended_s - request.began_s))
            for request in run.requests
            if request.kind == kind and (ended_s := moment(request)) is not None
        ]
        if points:
            at, p50, p95 = buckets(points, bucket_s)
            axes.plot(at, p50, color=color, label=kind)
            axes.plot(at, p95, color=color, linewidth=0.8, linestyle=(0, (3, 1.5)))
    if axes.get_lines():
        axes.plot([], [], color=FAINT, linewidth=0.8, linestyle=(0, (3, 1.5)), label="p95")
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(lambda value, _place: f"{value:,g}")
        legend(axes)


def buckets(points: Sequence[tuple[float, float]], bucket_s: float) -> tuple[list[float], list[float], list[float]]:
    """Return the middles of the buckets in minutes, and the p50 and p95 of what fell into each."""
    by_bucket: dict[int, list[float]] = {}
    for at_s, value in points:
        by_bucket.setdefault(int(at_s / bucket_s), []).append(value)
    filled = sorted(by_bucket.items())
    at = [(number + 0.5) * bucket_s / 60 for number, _ in filled]
    return at, *([quantile(values, share) or 0.0 for _, values in filled] for share in (0.5, 0.95))  # type: ignore[return-value]


def traffic(axes: "Axes", run: Run, bucket_s: float) -> None:
    """Draw how many requests ended, by what asked for them."""
    axes.set_title("Requests a second")
    groups = {"chat": BLUE, "translation": GREEN, "HTTP": ORANGE}
    ends = {name: [r.ended_s for r in run.requests if r.ended_s is not None and group(r) == name] for name in groups}
    stack(axes, run, bucket_s, ends, list(groups.values()))


def group(request: Request) -> str:
    """Return what a request came by, or is for."""
    if request.kind.startswith(("POST", "SSE", "left")):
        return "HTTP"
    return "translation" if request.kind == "translation" else "chat"


def errors(axes: "Axes", run: Run, bucket_s: float) -> None:
    """Draw the errors: those that troublemakers had coming, and others, of which there must be none."""
    unexpected = [fault.at_s for fault in run.faults if not fault.is_expected]
    axes.set_title(f"Errors a second ({len(unexpected)} unexpected)")
    expected = [fault.at_s for fault in run.faults if fault.is_expected]
    stack(axes, run, bucket_s, {"expected": expected, "unexpected": unexpected}, ["#9fb3c8", RED])


def stack(axes: "Axes", run: Run, bucket_s: float, moments: dict[str, list[float]], colors: Sequence[Any]) -> None:
    """Draw how often things happened, one upon the other. The last bucket is left out where it is not whole."""
    whole = max(int(run.length_s / bucket_s), 1)
    at = [(number + 0.5) * bucket_s / 60 for number in range(whole)]
    rates = []
    for times in moments.values():
        counts = [0] * whole
        for at_s in times:
            if int(at_s / bucket_s) < whole:
                counts[int(at_s / bucket_s)] += 1
        rates.append([count / bucket_s for count in counts])
    axes.stackplot(at, rates, labels=list(moments), colors=colors, alpha=0.85, linewidth=0)
    legend(axes)
