"""The files of a sequence-to-sequence model: where they are, its languages, and which model it is. No torch here.

Any thread; fetching from a hub takes seconds.
"""

import hashlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from inference.engines.languages import UnnamedLanguagesError, read_languages
from inference.engines.lexicon import read_lexicon
from inference.engines.translation_text import Codec, TranslationText

WHOLE_BYTES = 64 << 20  # files up to this size are fingerprinted whole: a tenth of a second
NOT_THE_MODEL = {"README.md", "aister.json"}
SAMPLES = 64
SAMPLE_BYTES = 1 << 16


def model_directory(source: str | Path) -> Path:
    """Return the directory of the model's small files; from a hub, `aister.json` is fetched too, where there is one."""
    if Path(source).is_dir():
        return Path(source)
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError

    with suppress(EntryNotFoundError):
        hf_hub_download(str(source), "aister.json")
    return Path(hf_hub_download(str(source), "config.json")).parent


def read_translation_text(codec: Codec, directory: Path, end: str) -> TranslationText | None:
    """Return what makes the model's translation sequences, or None when its files name no languages.

    `end` is the token that ends what the model reads. Raises OSError or msgspec.MsgspecError for a broken lexicon.
    """
    try:
        return TranslationText(codec, read_languages(directory), end, read_lexicon(directory))
    except UnnamedLanguagesError:
        return None


def fingerprint(directory: Path) -> str:
    """Return 16 hexadecimal digits that change whenever one of the model's files does.

    The revisions of a hub lie in directories named after their content, and may have been fetched only in part.
    """
    if directory.parent.name == "snapshots":
        return directory.name[:16]
    digest = hashlib.blake2b(digest_size=8)
    for file in sorted(path for path in directory.iterdir() if path.is_file() and path.name not in NOT_THE_MODEL):
        digest.update(f"{file.name}\0{file.stat().st_size}\0".encode())
        for part in _content(file):
            digest.update(part)
    return digest.hexdigest()


def _content(file: Path) -> Iterator[bytes]:
    """Yield a file's content; of a large one, samples and the time of its last change."""
    status = file.stat()
    if status.st_size <= WHOLE_BYTES:
        yield file.read_bytes()
        return
    yield str(status.st_mtime_ns).encode()
    with file.open("rb") as opened:
        for sample in range(SAMPLES):
            opened.seek(sample * (status.st_size - SAMPLE_BYTES) // (SAMPLES - 1))
            yield opened.read(SAMPLE_BYTES)
