"""The charts. The only module that needs matplotlib, which is imported when there is something to draw."""

from pathlib import Path

from benchmarks.soak.drawing import BLUE, FAINT, GREEN, ORANGE, STYLE
from benchmarks.speed.results import Results
from benchmarks.speed.rows import CURVES

COLORS = (BLUE, GREEN, ORANGE, FAINT)
CHARTS = {
    "throughput.svg": ("tokens_per_s", "Tokens a second, by streams at once (more is better)"),
    "first_token.svg": ("first_token_s", "Seconds to the first token, by streams at once (less is better)"),
}


def draw(results: Results, directory: Path) -> None:
    """Draw both charts. Raises ImportError when matplotlib is not installed."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    for name, (figure, title) in CHARTS.items():
        with matplotlib.rc_context(STYLE):
            drawing, axes = pyplot.subplots(figsize=(7, 4))
            for curve, color in zip(CURVES, COLORS, strict=True):
                points = sorted((p.streams, p.runs.median(figure)) for p in results.points if p.curve == curve.name)
                if points:
                    axes.plot(*zip(*points, strict=True), color=color, marker="o", markersize=4, label=curve.name)
            counts = sorted({point.streams for point in results.points})
            axes.set_xscale("log", base=2)
            axes.set_xticks(counts, [str(count) for count in counts])
            axes.minorticks_off()
            axes.set_ylim(bottom=0)
            axes.set_title(title)
            axes.set_xlabel("streams at once")
            axes.legend(loc="best")
            drawing.tight_layout()
            drawing.savefig(directory / name, facecolor="white", metadata={"Date": None})
            pyplot.close(drawing)
