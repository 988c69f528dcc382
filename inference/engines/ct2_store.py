"""Where converted models are kept: a directory for each, named after the model, its content and CTranslate2's version.

So a model that has changed is converted anew, and what was made of it before goes. Touched by loaders' threads, of
several processes maybe: a conversion is made aside and moved into place at once; who comes second uses the first's.
No torch here.
"""

import hashlib
import re
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import ctranslate2

from inference.engines.sequence_files import fingerprint

FORMAT = "1"
"""Part of the names: raised when what this project writes beside the weights changes."""
UNFINISHED = ".converting-"
UNFINISHED_S = 3600.0
"""After so long what is left of a conversion belongs to a process that was killed."""


class ConvertedModels:
    """The converted models in one directory, which is made when it is needed."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def place(self, source: str | Path, directory: Path) -> Path:
        """Return where the conversion of the model `source`, whose files are in `directory`, is or will be."""
        version = hashlib.blake2b(
            f"{FORMAT} {ctranslate2.__version__} {fingerprint(directory)}".encode(), digest_size=8
        )
        return self.root / f"{self._stem(source)}-{version.hexdigest()}"

    def _stem(self, source: str | Path) -> str:
        name = re.sub(r"[^\w.-]+", "-", Path(source).name)[:60]
        return f"{name}-{hashlib.blake2b(str(source).encode(), digest_size=4).hexdigest()}"

    def fill(self, place: Path, source: str | Path, write: Callable[[Path], None]) -> None:
        """Put what `write` writes into the directory it is given in its place, whole or not at all.

        Raises what `write` raises, and OSError when the disk does not take it.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        self._clear_unfinished()
        aside = Path(tempfile.mkdtemp(prefix=UNFINISHED, dir=self.root))
        try:
            write(aside)
            if not place.exists():
                aside.rename(place)
        except FileExistsError:
            pass  # another process was quicker, with the same
        finally:
            shutil.rmtree(aside, ignore_errors=True)
        self._clear_outdated(place, source)

    def discard(self, place: Path) -> None:
        """Remove a conversion that can't be read."""
        shutil.rmtree(place, ignore_errors=True)

    def _clear_unfinished(self) -> None:
        for path in self.root.glob(f"{UNFINISHED}*"):
            if time.time() - path.stat().st_mtime > UNFINISHED_S:
                shutil.rmtree(path, ignore_errors=True)

    def _clear_outdated(self, place: Path, source: str | Path) -> None:
        for path in self.root.glob(f"{self._stem(source)}-*"):
            if path != place:
                shutil.rmtree(path, ignore_errors=True)
