"""Environments beside this one, each made at first use from a package registry: of peers that must not share it, and of
a server as `make serve` installs it.
"""

import subprocess
import sys
import venv
from pathlib import Path

from benchmarks.server import ROOT
from benchmarks.speed.shapes import alone

PEERS = ROOT / "build" / "benchmarks" / "peers"


def installed(wanted: Path) -> Path:
    """Return the Python of the environment that has what the file asks for, and nothing else.

    Raises subprocess.CalledProcessError when it can't be installed; pip has said why.
    """
    directory = PEERS / wanted.stem
    python, stamp = directory / "bin" / "python", directory / "installed.txt"
    with alone():
        if not stamp.exists() or stamp.read_bytes() != wanted.read_bytes():
            print(f"Installing {wanted.name} into {directory}.", file=sys.stderr)
            venv.create(directory, clear=True, symlinks=True, with_pip=True)
            pip = [str(python), "-m", "pip", "--disable-pip-version-check", "--quiet", "install", "-r", str(wanted)]
            subprocess.run(pip, check=True, stdout=sys.stderr)
            stamp.write_bytes(wanted.read_bytes())
    return python
