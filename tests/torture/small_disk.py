"""A small disk of its own, to be filled. Mounting one takes root on Linux; elsewhere its tests are skipped."""

import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

KEPT_FULL_EVERY_S = 0.02
BLOCK = bytes(4096)


@contextmanager
def small_disk(directory: Path, size_mb: int = 16) -> Iterator[Path]:
    """Mount an empty disk on a new directory, until the block ends. A converted phrasebook and a full WAL fit."""
    directory.mkdir(mode=0o755)
    options = f"size={size_mb}m,mode=0755"
    try:
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(directory)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("There is no mount command here, so no small disk.")
    if done.returncode:
        pytest.skip(f"A small disk can't be mounted here: {done.stderr.strip()}")
    try:
        yield directory
    finally:
        subprocess.run(["umount", str(directory)], check=True)


def fill(disk: Path) -> None:
    """Leave not a byte free."""
    with (disk / "filler").open("ab", buffering=0) as file:
        for size in (len(BLOCK), 1):
            try:
                while file.write(BLOCK[:size]) == size:
                    pass
            except OSError:
                continue


@contextmanager
def full(disk: Path) -> Iterator[None]:
    """Keep a disk full, whatever is deleted there, until the block ends; then there is room again."""
    is_over = threading.Event()

    def keep() -> None:
        while not is_over.wait(KEPT_FULL_EVERY_S):
            fill(disk)

    fill(disk)
    keeper = threading.Thread(target=keep)
    keeper.start()
    try:
        yield
    finally:
        is_over.set()
        keeper.join()
        os.unlink(disk / "filler")
