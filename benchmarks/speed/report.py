"""RESULTS.md, from the figures that were kept."""

from collections.abc import Mapping
from types import MappingProxyType

from benchmarks.soak.report import table
from benchmarks.speed.results import Measured, Results, SideRuns, in_order, ratio, verdict
from benchmarks.speed.rows import Figure, Row
from benchmarks.speed.scale import SCALES

HEAD = """# Speed, measured

Written by `make bench` from `results.json`, which has the figures of every run. Each row compares two sides on the same
machine, each in a process of its own with the same number of threads. They take turns, the first run of each is not
counted, and what stands here are medians, with the least and the most in brackets. Models have real shapes and random
weights, so answers have forced lengths. More about it: [docs/benchmarks.md](../docs/benchmarks.md).
"""
BUSY = "**The machine was busy with something else: these figures show that the benchmarks work, and nothing more.**\n"


def markdown(results: Results, said: Mapping[str, str] = MappingProxyType({})) -> str:
    """Return the whole page; `said` has what people say of rows, by name."""
    rows = in_order(results)
    parts = [HEAD]
    if any(measured.was_busy for _, measured in rows) or any(point.was_busy for point in results.points):
        parts.append(BUSY)
    parts += [about(results), table_of(rows)]
    if results.points:
        parts.append(curves(results))
    parts += [explanations(rows, said), sizes(results)]
    return "\n".join(part for part in parts if part)


def about(results: Results) -> str:
    """Say what the figures were taken on."""
    versions = ", ".join(f"{name} {version}" for name, version in sorted(results.versions.items()))
    return f"{results.machine}; {versions}.\n"


def table_of(rows: list[tuple[Row, Measured]]) -> str:
    """Return the table of all rows."""
    head = ["measured", "against", "ours", "peer", "ratio", "must be", "command", "when", "verdict"]
    lines = [head, ["---"] * len(head), *(line(*each) for each in rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines) + "\n"


def line(row: Row, measured: Measured) -> list[str]:
    """Return the cells of a row."""
    found, said = ratio(row, measured), verdict(row, measured)
    return [
        f"{row.measured}: {row.figure.title}",
        row.against,
        spread(row.figure, measured.ours),
        "<br>".join(peer_cell(row, measured, side) for side in measured.peers),
        "" if found is None else f"{found:.2f}x",
        bound(row),
        f"`{command(measured)}`",
        f"{measured.began_at}, {measured.commit}",
        f"{said if said == 'reached' else f'**{said}**'}{', busy' if measured.was_busy else ''}",
    ]


def peer_cell(row: Row, measured: Measured, side: str) -> str:
    """Return a peer's figure, called by its side's name where there are several."""
    name = side.partition(":")[2].replace("_", " ")
    return f"{name}: " * (len(measured.peers) > 1) + spread(row.figure, measured.peers[side])


def bound(row: Row) -> str:
    """Return what a row must reach."""
    unit = "x" if row.peers else f" {row.figure.unit}"
    return f"{row.at_least:g}{unit} or more" if row.at_least is not None else f"{row.at_most:g}{unit} or less"


def command(measured: Measured) -> str:
    """Return how to measure a row again."""
    scale = "" if measured.scale == "full" else f" --scale {measured.scale}"
    runs = len(measured.ours.figures)
    return f"python -m benchmarks.speed {measured.row} --runs {runs} --threads {measured.threads}{scale}"


def spread(figure: Figure, runs: SideRuns) -> str:
    """Return a figure's median, with the least and the most."""
    values = [run[figure.name] * figure.scale for run in runs.figures]
    return f"{read(runs.median(figure.name) * figure.scale)} {figure.unit} ({read(min(values))} to {read(max(values))})"


def read(value: float) -> str:
    """Return a number with three figures, as people read it."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def curves(results: Results) -> str:
    """Return the charts, and their figures."""
    points = results.points
    rows = [
        [
            point.curve,
            str(point.streams),
            read(point.runs.median("tokens_per_s")),
            read(point.runs.median("first_token_s")),
        ]
        for point in sorted(points, key=lambda point: (point.streams, point.curve))
    ]
    pictures = "![Tokens a second by streams](throughput.svg)\n\n![First token by streams](first_token.svg)\n"
    figures = table(["streams at once", "streams", "tokens/s", "first token, s (mean of the streams)"], rows)
    return f"{pictures}\n{figures}\n\nThe command: `python -m benchmarks.speed curves`.\n"


def explanations(rows: list[tuple[Row, Measured]], said: Mapping[str, str]) -> str:
    """Return what people have said of rows, such as why one falls short and what was tried."""
    lines = [f"**{row.name}**: {said[row.name].strip()}\n" for row, _ in rows if row.name in said]
    return "\n".join(lines)


def sizes(results: Results) -> str:
    """Say what the scales mean that were used."""
    used = sorted({measured.scale for measured in results.rows.values()} | {point.scale for point in results.points})
    lines = []
    for name in used:
        s = SCALES[name]
        lines.append(
            f"Scale `{name}`: a Llama of {s.shape} in bf16, {s.streams} streams, prompts of {s.prompt_tokens} tokens, "
            f"{s.new_tokens} new ones, greedy; turn 5 has {s.history_tokens:,} tokens before it and {s.turn_tokens} "
            f"new ones; {s.idle_sockets:,} idle sockets; {s.waiting_requests} requests waiting."
        )
    return "\n".join(lines) + "\n"
