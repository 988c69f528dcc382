"""The soak itself, for a few seconds and against a real server: it runs, measures, judges, and leaves a report."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from benchmarks.soak import report

ROOT = Path(__file__).resolve().parent.parent.parent
COMMAND = [sys.executable, "-m", "benchmarks.soak", "--minutes", "0.2", "--pace", "0.2", "--out"]


def test_a_few_seconds_end_with_figures_and_nothing_unexpected(tmp_path: Path) -> None:
    done = subprocess.run([*COMMAND, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    run = report.load(tmp_path / "run.json")
    assert [verdict.about for verdict in run.verdicts if not verdict.is_good] == []
    assert run.samples[-1].uss_mb > 100
    assert run.samples[-1].sessions > 10
    assert {"chat", "translation"} <= {each.kind for each in run.requests if each.end == "completed"}
    assert {"sends rubbish", "guesses keys", "protests"} & {fault.who for fault in run.faults}
    assert (tmp_path / "report.md").read_text() == report.markdown(run)
    assert (tmp_path / "soak.svg").exists() is (find_spec("matplotlib") is not None)
