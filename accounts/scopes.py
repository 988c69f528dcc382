"""What a key may be limited to: names of tasks, names of models, origins. Pure checks and conversions, any thread.

In a row, an empty list means no limit. In a `Scope` that is None, and an empty set means nothing at all: a token and
its key, taken together, may allow nothing.
"""

import re
from collections.abc import Callable, Iterable

TASKS = ("chat", "translation")
MODEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/@+-]{0,199}", re.ASCII)
HOST = r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?|\[[0-9a-f:.]+\]"
ORIGIN = re.compile(rf"(?P<scheme>https?)://(?P<host>{HOST})(:(?P<port>[1-9][0-9]{{0,4}}))?/?", re.ASCII)
DEFAULT_PORTS = {"http": "80", "https": "443"}
MOST_NAMES = 100

Scope = frozenset[str] | None


def read_tasks(names: Iterable[str]) -> list[str]:
    """Return the names, each once; raise ValueError for one that is no task."""
    return read_each(names, read_task)


def read_models(names: Iterable[str]) -> list[str]:
    """Return the names, each once; raise ValueError for one that no model can have. The model need not exist yet."""
    return read_each(names, read_model)


def read_origins(texts: Iterable[str]) -> list[str]:
    """Return the origins as browsers write them, each once; raise ValueError for a text that is none."""
    return read_each(texts, read_origin)


def read_each(texts: Iterable[str], read: Callable[[str], str]) -> list[str]:
    """Read every text, keeping their order; raise ValueError also for more than 100."""
    values = list(dict.fromkeys(read(text) for text in texts))
    if len(values) > MOST_NAMES:
        raise ValueError(f"{len(values)} are too many. Give at most {MOST_NAMES}, or none for no limit.")
    return values


def read_task(name: str) -> str:
    """Return the name of a task."""
    if name not in TASKS:
        raise ValueError(f"{name!r:.80} is not a task. Tasks are {', '.join(TASKS)}.")
    return name


def read_model(name: str) -> str:
    """Return the name of a model, which may hold letters, digits and ._/@+-."""
    if not MODEL.fullmatch(name):
        raise ValueError(f"{name!r:.80} can't be the name of a model. Write it as GET /v1/models does.")
    return name


def read_origin(text: str) -> str:
    """Return scheme, host and port as a browser's Origin header has them: lower case, no default port, no path."""
    match = ORIGIN.fullmatch(text.lower())
    if match is None or int(match["port"] or 0) > 65535:
        raise ValueError(f"{text!r:.80} is not an origin. Write one as https://app.example.com, without a path.")
    port = "" if match["port"] in (None, DEFAULT_PORTS[match["scheme"]]) else f":{match['port']}"
    return f"{match['scheme']}://{match['host']}{port}"


def scope(names: Iterable[str]) -> Scope:
    """Return what a row's list allows: None, which is everything, for an empty one."""
    return frozenset(names) or None


def both(one: Scope, other: Scope) -> Scope:
    """Return what two scopes allow together."""
    if one is None or other is None:
        return other if one is None else one
    return one & other


def allows(allowed: Scope, name: str) -> bool:
    """Say whether a scope holds a name."""
    return allowed is None or name in allowed
