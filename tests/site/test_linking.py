"""The head start for `import torch`: its libraries, linked by a thread of their own."""

import subprocess
import sys
from pathlib import Path

import pytest

from aister_site import linking

ROOT = Path(__file__).resolve().parent.parent.parent

LINKED = """
import sys, threading
from pathlib import Path
from aister_site import linking
begin, begun = threading.Thread.start, []
threading.Thread.start = lambda thread: (begun.append(thread), begin(thread))
linking.link_torch()
(thread,) = begun
assert not thread.daemon
thread.join()
assert "torch" not in sys.modules
print("libtorch_cpu.so" in Path("/proc/self/maps").read_text())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="is of use on Linux only")
def test_the_libraries_are_there_before_torch_is_imported() -> None:
    done = subprocess.run([sys.executable, "-c", LINKED], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("True\n", "")


def test_libraries_that_are_not_there_or_are_none_are_left_alone(tmp_path: Path) -> None:
    linking.link(tmp_path)
    for name in ("libtorch_global_deps.so", "libtorch_cpu.so"):
        (tmp_path / name).write_text("no library")
    linking.link(tmp_path)
