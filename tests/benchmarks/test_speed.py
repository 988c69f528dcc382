"""What benchmarks of speed make of figures: on some that were made up. And one small row, measured and written down."""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.speed import __main__ as command_line
from benchmarks.speed import machine, report, results
from benchmarks.speed.machine import BusyError, Moment, Process
from benchmarks.speed.results import Measured, Point, Results, SideRuns
from benchmarks.speed.rows import CURVES, ROWS

ROOT = Path(__file__).resolve().parent.parent.parent
PACKAGE = ROOT / "benchmarks" / "speed"
OURS, CHILD, OTHER = 10, 11, 20


def runs(name: str, *values: float) -> SideRuns:
    """Some runs of a side on a quiet machine."""
    return SideRuns([{name: value} for value in values], [0.0] * len(values))


def measured(row: str, ours: SideRuns, *peers: SideRuns, was_busy: bool = False) -> Measured:
    """A row that was measured."""
    sides = dict(zip(ROWS[row].peers, peers, strict=False))
    return Measured(row, "2026-11-22 12:00", "abc123", "full", 2, was_busy, ours, sides)


# -- ratios and verdicts ----------------------------------------------------------------------------------------------


def test_a_ratio_compares_medians_not_means() -> None:
    row = measured("generate", runs("tokens_per_s", 80, 100, 900), runs("tokens_per_s", 1, 20, 21))
    assert results.ratio(ROWS["generate"], row) == 5.0


def test_less_time_is_a_greater_ratio() -> None:
    row = measured("turn", runs("first_token_s", 0.1), runs("first_token_s", 0.8))
    assert results.ratio(ROWS["turn"], row) == pytest.approx(8.0)


def test_where_a_most_is_set_the_ratio_says_how_many_times_the_peers_ours_is() -> None:
    row = measured("idle", runs("kb_a_socket", 45), runs("kb_a_socket", 30))
    assert results.ratio(ROWS["idle"], row) == 1.5


@pytest.mark.parametrize(
    ("name", "figure", "ours", "peer", "verdict"),
    [
        ("generate", "tokens_per_s", 400, 100, "reached"),
        ("generate", "tokens_per_s", 399, 100, "short"),
        ("turn", "first_token_s", 0.1, 0.81, "reached"),
        ("turn", "first_token_s", 0.1, 0.79, "short"),
        ("idle", "kb_a_socket", 45, 30, "reached"),
        ("idle", "kb_a_socket", 46, 30, "short"),
        ("lag", "lag_p99_ms", 20, None, "reached"),
        ("lag", "lag_p99_ms", 20.1, None, "short"),
    ],
)
def test_a_row_has_reached_what_it_must_or_is_short(
    name: str, figure: str, ours: float, peer: float | None, verdict: str
) -> None:
    row = measured(name, runs(figure, ours), *([] if peer is None else [runs(figure, peer)]))
    assert results.verdict(ROWS[name], row) == verdict


def test_of_several_peers_the_best_one_counts_and_all_are_shown() -> None:
    ours, *peers = (runs("sentences_per_s", speed) for speed in (30, 8, 10, 9))
    row = measured("translate", ours, *peers)
    assert results.ratio(ROWS["translate"], row) == 3.0
    assert report.line(ROWS["translate"], row)[3].split("<br>") == [
        "one thread: 8 sentences/s (8 to 8)",
        "two threads: 10 sentences/s (10 to 10)",
        "defaults: 9 sentences/s (9 to 9)",
    ]


def test_every_row_has_one_bound_and_sides_that_exist() -> None:
    for row in ROWS.values():
        assert (row.at_least is None) != (row.at_most is None)
    sides = [side for row in ROWS.values() for side in (row.ours, *row.peers)] + [c.side for c in CURVES]
    for module, _, function in (side.partition(":") for side in sides):
        assert f"def {function}(scale: Scale" in (PACKAGE / f"{module}.py").read_text().replace("_scale", "scale")


def test_a_quantile_is_one_of_the_values_and_not_rounded() -> None:
    assert results.quantile([0.0123, 3.0, 1.0, 2.0], 0.0) == 0.0123
    assert results.quantile([float(n) for n in range(100)], 0.95) == 95.0
    assert results.quantile([1.0], 0.99) == 1.0


# -- a busy machine ---------------------------------------------------------------------------------------------------


def moment(at_s: float, busy_s: float, used_s: tuple[float, float, float], stolen_s: float = 0) -> Moment:
    """A moment of a machine with a benchmark, its child and one other program, and what these have used."""
    ours_s, child_s, other_s = used_s
    processes = {
        1: Process(0, "init", 0.0),
        OURS: Process(1, "python", ours_s),
        CHILD: Process(OURS, "python", child_s),
        OTHER: Process(1, "backup", other_s),
    }
    return Moment(at_s, busy_s, stolen_s, processes)


IDLE = moment(0, 100, (1, 2, 3))


def test_what_the_benchmark_and_its_children_use_is_not_others() -> None:
    after = moment(10, 118, (6, 14.5, 3))
    assert machine.others_share(IDLE, after, OURS) == pytest.approx(0.05)
    assert machine.check_quiet(IDLE, after, OURS) == pytest.approx(0.05)


def test_a_busy_machine_is_refused_and_who_is_busy_is_named() -> None:
    with pytest.raises(BusyError, match=r"^Others used 50% of a core, and 10% is the most: backup \(20\) 50%\.$"):
        machine.check_quiet(IDLE, moment(10, 105, (1, 2, 8)), OURS)


def test_time_that_the_host_gave_to_other_guests_counts() -> None:
    with pytest.raises(BusyError, match="other guests of the host"):
        machine.check_quiet(IDLE, moment(10, 100, (1, 2, 3), stolen_s=2), OURS)


@pytest.mark.parametrize(("busy", "measured_rows"), [(2, 1), (3, 0)])
def test_a_row_is_tried_again_while_there_is_time(
    monkeypatch: pytest.MonkeyPatch, busy: int, measured_rows: int
) -> None:
    faults = [BusyError("busy")] * busy
    done: list[str] = []
    monkeypatch.setattr(
        command_line, "measure", lambda name, _: done.append(name) if not faults else throw(faults.pop())
    )
    now_s = iter([10.0, 20.0, 30.0])
    monkeypatch.setattr(command_line.time, "monotonic", lambda: next(now_s))
    monkeypatch.setattr(command_line.time, "sleep", lambda _: None)
    try:
        command_line.measure_when_quiet("turn", argparse.Namespace(), 25.0)
    except BusyError:
        assert not measured_rows
    assert len(done) == measured_rows


def throw(fault: BusyError) -> None:
    """Raise it."""
    raise fault


def test_a_process_that_began_in_between_counts_from_nothing() -> None:
    after = moment(10, 104, (1, 2, 3))
    after.processes[30] = Process(OURS, "python", 4.0)
    assert machine.others_share(IDLE, after, OURS) == 0


def test_this_machine_can_be_read() -> None:
    before = machine.look()
    assert before.processes[1].parent == 0
    assert before.busy_s > 0


# -- the page ---------------------------------------------------------------------------------------------------------

QUIET = Results(
    "2 cores",
    {"torch": "2.13.0"},
    {
        "turn": measured("turn", runs("first_token_s", 0.1, 0.12, 0.11), runs("first_token_s", 0.8, 0.9, 1.0)),
        "lag": measured("lag", runs("lag_p99_ms", 25.0)),
        "generate": measured("generate", runs("tokens_per_s", 200), runs("tokens_per_s", 45)),
    },
    [],
)


def test_the_page_has_a_line_for_each_row_in_the_tables_order() -> None:
    lines = [line for line in report.markdown(QUIET).splitlines() if line.startswith("| ")][1:]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines][1:]
    assert cells == [
        [
            "chat streams at once: tokens a second",
            "`generate`, one request at a time",
            "200 tokens/s (200 to 200)",
            "45 tokens/s (45 to 45)",
            "4.44x",
            "4x or more",
            "`python -m benchmarks.speed generate --runs 1 --threads 2`",
            "2026-11-22 12:00, abc123",
            "reached",
        ],
        [
            "turn 5 of a long conversation: to the first token",
            "the same without the kept cache",
            "110 ms (100 to 120)",
            "900 ms (800 to 1,000)",
            "8.18x",
            "8x or more",
            "`python -m benchmarks.speed turn --runs 3 --threads 2`",
            "2026-11-22 12:00, abc123",
            "reached",
        ],
        [
            "event loop while all streams decode: lag of the event loop, p99",
            "-",
            "25 ms (25 to 25)",
            "",
            "",
            "20 ms or less",
            "`python -m benchmarks.speed lag --runs 1 --threads 2`",
            "2026-11-22 12:00, abc123",
            "**short**",
        ],
    ]


def test_figures_of_a_busy_machine_are_marked() -> None:
    busy = measured("generate", runs("tokens_per_s", 200), runs("tokens_per_s", 45), was_busy=True)
    page = report.markdown(Results("2 cores", {}, {"generate": busy}, []))
    assert report.BUSY in page
    assert "| reached, busy |" in page
    assert report.BUSY not in report.markdown(QUIET)


def test_points_of_the_charts_stand_in_a_table_too() -> None:
    both = SideRuns([{"tokens_per_s": 57.0, "first_token_s": 4.6}], [0.0])
    page = report.markdown(Results("2 cores", {}, {}, [Point("Aister", 16, "full", "abc123", False, both)]))
    assert "| Aister | 16 | 57 | 4.6 |" in page


def test_a_point_that_is_measured_again_replaces_the_one_before() -> None:
    first, other, again = (Point("Aister", n, "full", "abc123", False, runs("tokens_per_s", n)) for n in (1, 2, 1))
    kept = results.with_point(results.with_point(QUIET, first), other)
    assert results.with_point(kept, again).points == [other, again]


def test_a_row_gives_the_points_that_it_measures() -> None:
    ours, peer = runs("tokens_per_s", 200), runs("tokens_per_s", 45)
    kept = results.with_row(Results("2 cores", {}, {}, []), measured("generate", ours, peer), 16)
    assert {(p.curve, p.streams): p.runs for p in kept.points} == {
        ("Aister", 16): ours,
        ("transformers, one at a time", 16): peer,
    }
    assert list(kept.rows) == ["generate"]


def test_what_people_say_of_a_row_stands_below_the_table() -> None:
    page = report.markdown(QUIET, {"lag": "Torch holds the interpreter.\n", "idle": "Not measured."})
    assert "\n**lag**: Torch holds the interpreter.\n" in page
    assert "Not measured." not in page


def test_results_are_kept_whole(tmp_path: Path) -> None:
    assert results.load(tmp_path / "results.json") is None
    results.save(QUIET, tmp_path / "results.json")
    assert results.load(tmp_path / "results.json") == QUIET


# -- all of it --------------------------------------------------------------------------------------------------------


def test_a_small_row_is_measured_and_written_down(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.speed", "turn", "--scale", "tiny", "--runs", "2", "--threads", "1"]
    done = subprocess.run(
        [*command, "--busy", "--out", str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    row = json.loads((tmp_path / "results.json").read_text())["rows"]["turn"]
    sides = [row["ours"], *row["peers"].values()]
    assert [len(side["figures"]) for side in sides] == [2, 2]
    assert all(run["first_token_s"] > 0 for side in sides for run in side["figures"])
    assert "turn 5 of a long conversation" in (tmp_path / "RESULTS.md").read_text()


def test_a_row_that_does_not_exist_is_named(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.speed", "fastest", "--out", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "no row fastest; there are: generate, continuous," in done.stderr
