"""AISTER_HOME: the directory that holds the database, the secrets and the models. Called while settings are read."""

import os
import secrets
from pathlib import Path

from aister_site.configuration import ConfigurationError


def prepare(home: Path) -> Path:
    """Make the directory if need be; raise ConfigurationError when it can't be made or written."""
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise unusable(home, error) from None
    if not os.access(home, os.W_OK | os.X_OK):
        raise ConfigurationError(
            f"AISTER_HOME {home} can't be written. Set AISTER_HOME to a directory of yours, or change its owner."
        )
    return home


def secret(home: Path, name: str) -> str:
    """Return the secret kept in `home/name`, made at first use, readable by its owner only."""
    path = home / name
    try:
        if not path.exists():
            write_secret(path, secrets.token_urlsafe(50))
        return path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise unusable(home, error) from None


def private_file(home: Path, name: str) -> Path:
    """Return `home/name`, made empty where there is none, readable by its owner only.

    For the database: SQLite would make it readable by all, and its other files take after it. It holds the sessions
    of the signed-in.
    """
    path = home / name
    try:
        os.close(os.open(path, os.O_CREAT, 0o600))
    except OSError as error:
        raise unusable(home, error) from None
    return path


def write_secret(path: Path, text: str) -> None:
    """Write `text` to `path` with mode 0600, whole or not at all, whoever reads it meanwhile.

    Raises OSError, and leaves nothing, when the disk is full. What was written outlives a power cut.
    """
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError:
        draft.unlink(missing_ok=True)
        raise


def unusable(home: Path, error: OSError) -> ConfigurationError:
    """The error that names the home and the operating system's reason."""
    return ConfigurationError(
        f"AISTER_HOME {home} can't be used: {error.strerror}. Free some space or set AISTER_HOME elsewhere."
    )
