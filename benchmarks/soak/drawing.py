"""The picture of a run. The only module that needs matplotlib, which is imported when there is something to draw."""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.soak.record import Request
from benchmarks.soak.report import Run
from benchmarks.soak.sampling import quantile
from benchmarks.soak.verdict import warm_up_s

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, FAINT, GRID = "#1f2933", "#7b8794", "#e4e7eb"
BLUE, ORANGE, GREEN, RED, PURPLE = "#2563eb", "#d97706", "#059669", "#dc2626", "#7c3aed"
LATENCIES = {"chat": BLUE, "long chat": PURPLE, "translation": GREEN}
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
    "axes.titlepad": 20,
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
        figure, grid = pyplot.subplots(4, 2, figsize=(11, 12), sharex=True)
        for axes, panel in zip(grid.flat, PANELS, strict=True):
            panel(axes, run)
            axes.axvspan(0, warm_up_s(run.length_s) / 60, color=GRID, alpha=0.45, linewidth=0, zorder=0)
        for axes in grid[-1]:
            axes.set_xlabel("minutes")
            axes.set_xlim(0, run.length_s / 60)
        title(figure, run)
        figure.savefig(path, dpi=110, facecolor="white", metadata={"Date": None} if path.suffix == ".svg" else None)
        pyplot.close(figure)


def title(figure: "Figure", run: Run) -> None:
    """Say what is to be seen."""
    sessions = quantile([sample.sessions for sample in run.samples], 0.5) or 0
    length = f"{round(run.length_s / 60, 1):g} minutes of mixed traffic"
    what = f"{length}: {len(run.requests):,} requests, {sessions:.0f} sessions open at a time"
    figure.suptitle(what, x=0.06, y=0.985, ha="left", fontsize=13, fontweight="bold")
    figure.text(0.06, 0.956, f"{run.machine}; commit {run.commit}. Grey: the warm-up.", color=FAINT, fontsize=9)
    figure.subplots_adjust(left=0.06, right=0.98, top=0.905, bottom=0.045, hspace=0.4, wspace=0.14)


def bucket_s(run: Run) -> float:
    """Return how many seconds one point of a line stands for."""
    return max(run.length_s / POINTS, 5.0)


def minutes(run: Run) -> list[float]:
    """Return the moments of the samples."""
    return [sample.at_s / 60 for sample in run.samples]


def legend(axes: "Axes") -> None:
    """Name the lines, below the title."""
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=5, borderpad=0.2, borderaxespad=0.2, handlelength=1.2)


def memory(axes: "Axes", run: Run) -> None:
    """Draw the memory, on an axis of 100 MB at least: on a narrower one, a flat line looks like a mountain range."""
    axes.set_title("Memory of the server, MB")
    at = minutes(run)
    axes.plot(at, [sample.rss_mb for sample in run.samples], color=BLUE, label="resident")
    low, high = axes.get_ylim()
    room = max(0.0, 100 - (high - low)) / 2
    axes.set_ylim(low - room, high + room)
    legend(axes)


def processor(axes: "Axes", run: Run) -> None:
    """Draw who used the processor."""
    axes.set_title("Processor, % of a core")
    for name, color, values in [
        ("other programs", FAINT, [(sample.at_s, sample.others_cpu_percent) for sample in run.samples]),
        ("clients", ORANGE, [(sample.at_s, sample.clients_cpu_percent) for sample in run.samples]),
        ("server", BLUE, [(sample.at_s, sample.cpu_percent) for sample in run.samples]),
    ]:
        at, p50, _ = buckets(values, bucket_s(run))
        axes.plot(at, p50, color=color, label=name)
    axes.set_ylim(bottom=0)
    legend(axes)


def connections(axes: "Axes", run: Run) -> None:
    """Draw what would pile up, were it not closed."""
    axes.set_title("Sessions, descriptors, threads")
    at = minutes(run)
    axes.plot(at, [sample.descriptors for sample in run.samples], color=ORANGE, label="file descriptors")
    axes.plot(at, [sample.sessions for sample in run.samples], color=BLUE, label="open sessions")
    axes.plot(at, [sample.threads for sample in run.samples], color=PURPLE, label="threads")
    axes.set_ylim(bottom=0)
    legend(axes)


def database(axes: "Axes", run: Run) -> None:
    """Draw the database."""
    axes.set_title("Database and its log on disk, MB")
    axes.plot(minutes(run), [sample.database_mb for sample in run.samples], color=BLUE, label="with one row a request")
    axes.set_ylim(bottom=0)
    legend(axes)


def first_texts(axes: "Axes", run: Run) -> None:
    """Draw the latencies of the first text."""
    axes.set_title("First text, ms: p50, shaded up to p95")
    latencies(axes, run, lambda request: request.first_s)


def whole_answers(axes: "Axes", run: Run) -> None:
    """Draw the latencies of whole answers."""
    axes.set_title("Whole answer, ms: p50, shaded up to p95")
    latencies(axes, run, lambda request: request.ended_s if request.end == "completed" else None)


def latencies(axes: "Axes", run: Run, moment: Callable[[Request], float | None]) -> None:
    """Draw p50 as a line and p95 as the edge of a band, for the kinds of request that say most."""
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(lambda value, _place: f"{value:,g}")
    for kind, color in LATENCIES.items():
        points = [
            (at_s, 1000 * (at_s - request.began_s))
            for request in run.requests
            if request.kind == kind and (at_s := moment(request)) is not None
        ]
        if points:
            at, p50, p95 = buckets(points, bucket_s(run))
            axes.plot(at, p50, color=color, label=kind)
            axes.fill_between(at, p50, p95, color=color, alpha=0.13, linewidth=0)
    legend(axes)


def buckets(points: Sequence[tuple[float, float]], bucket_s: float) -> tuple[list[float], list[float], list[float]]:
    """Return the middles of the buckets in minutes, and the p50 and p95 of what fell into each."""
    by_bucket: dict[int, list[float]] = {}
    for at_s, value in points:
        by_bucket.setdefault(int(at_s / bucket_s), []).append(value)
    filled = sorted(by_bucket.items())
    at = [(number + 0.5) * bucket_s / 60 for number, _ in filled]
    return at, *([quantile(values, share) or 0.0 for _, values in filled] for share in (0.5, 0.95))  # type: ignore[return-value]


def traffic(axes: "Axes", run: Run) -> None:
    """Draw how many requests ended, by what asked for them."""
    axes.set_title("Requests a second")
    groups = {"chat": BLUE, "translation": GREEN, "HTTP": ORANGE}
    ends = {name: [r.ended_s for r in run.requests if r.ended_s is not None and group(r) == name] for name in groups}
    stack(axes, run, ends, list(groups.values()))


def group(request: Request) -> str:
    """Return what a request came by, or is for."""
    if request.kind.startswith(("POST", "SSE", "left")):
        return "HTTP"
    return "translation" if request.kind == "translation" else "chat"


def errors(axes: "Axes", run: Run) -> None:
    """Draw the errors: those that troublemakers had coming, and others, of which there must be none."""
    unexpected = [fault.at_s for fault in run.faults if not fault.is_expected]
    axes.set_title(f"Errors a second ({len(unexpected)} unexpected)")
    expected = [fault.at_s for fault in run.faults if fault.is_expected]
    stack(axes, run, {"expected": expected, "unexpected": unexpected}, ["#9fb3c8", RED])


def stack(axes: "Axes", run: Run, moments: dict[str, list[float]], colors: Sequence[str]) -> None:
    """Draw how often things happened, one upon the other. The last bucket is left out where it is not whole."""
    width_s = bucket_s(run)
    whole = max(int(run.length_s / width_s), 1)
    rates = []
    for times in moments.values():
        counts = Counter(int(at_s / width_s) for at_s in times)
        rates.append([counts[number] / width_s for number in range(whole)])
    at = [(number + 0.5) * width_s / 60 for number in range(whole)]
    axes.stackplot(at, rates, labels=list(moments), colors=colors, alpha=0.85, linewidth=0)
    legend(axes)


PANELS = (memory, processor, connections, database, first_texts, whole_answers, traffic, errors)
