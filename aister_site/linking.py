"""A head start for `import torch`: its libraries, loaded on another core while this one imports the server.

Linking them takes 0.2 s, and `import torch` does it with the interpreter held, so that nothing else runs. What is not
where it is looked for, or can't be loaded, is left to that import, which says so: nothing here can fail.
"""

import ctypes
import importlib.util
import os
import sys
import threading
from pathlib import Path


def link_torch() -> None:
    """Begin to load them, in a thread. Not as a daemon: a process that ends must not destroy what this still makes."""
    torch = importlib.util.find_spec("torch")
    if sys.platform == "linux" and torch is not None and torch.origin is not None:
        threading.Thread(target=link, args=[Path(torch.origin).parent / "lib"], name="aister-link").start()


def link(directory: Path) -> None:
    """Load the libraries in a directory, in torch's order and way. Called through ctypes, dlopen holds nobody up."""
    dlopen = ctypes.CDLL(None).dlopen
    dlopen(os.fsencode(directory / "libtorch_global_deps.so"), os.RTLD_NOW | os.RTLD_GLOBAL)
    dlopen(os.fsencode(directory / "libtorch_cpu.so"), os.RTLD_NOW)
