"""One heap for all threads: asked of glibc itself, in a process of its own."""

import subprocess
import sys
from pathlib import Path

import pytest

from inference import memory

ROOT = Path(__file__).resolve().parent.parent.parent
HEAPS = """
import ctypes, sys, threading
from pathlib import Path
from inference import memory

if sys.argv[1] == "shared":
    memory.share_heap()
kept, together = [], threading.Barrier(8)

def allocate():
    together.wait()
    kept.extend(bytearray(50_000) for _ in range(20))

threads = [threading.Thread(target=allocate) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
libc = ctypes.CDLL(None)
libc.fopen.restype = ctypes.c_void_p
file = ctypes.c_void_p(libc.fopen(sys.argv[2].encode(), b"w"))
libc.malloc_info(0, file)
libc.fclose(file)
print(Path(sys.argv[2]).read_text().count("<heap nr="))
"""


def heaps(how: str, report: Path) -> int:
    """Return how many heaps a process with eight busy threads has."""
    command = [sys.executable, "-c", HEAPS, how, str(report)]
    return int(subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60).stdout)


@pytest.mark.skipif(memory.of_glibc("malloc_info") is None, reason="needs glibc")
def test_all_threads_share_one_heap(tmp_path: Path) -> None:
    assert heaps("own", tmp_path / "own") > 1
    assert heaps("shared", tmp_path / "shared") == 1


def test_what_glibc_lacks_is_none() -> None:
    assert memory.of_glibc("no_such_function_anywhere") is None
    memory.give_back()
