"""What can keep Aister from serving on this machine, and what to do about each. `manage.py doctor` prints it.

Every check looks at one thing, changes nothing and returns a `Finding`, or several where there are several things to
look at. No check raises, imports what models run on, or repeats a setting's value that may be secret. Main thread.
"""

import asyncio
import difflib
import http.client
import re
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from importlib import metadata
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import msgspec
from django.contrib.auth.models import User
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor

from accounts import announcements, first_run
from accounts.models import ApiKey
from aister_site import crowd, startup
from aister_site.configuration import ROOT, SETTINGS, Configuration, ConfigurationError
from aister_site.server import check_address
from inference.catalog import TASKS, Catalog, ModelEntry

OLDEST_PYTHON = (3, 11)
MB = 1024 * 1024
FEW_DISK_MB = 1024
TOO_FEW_DISK_MB = 100
PROBE_S = 2
SECRETS = ("secret_key", startup.KEY_FILE)
TOKENIZERS = ("tokenizer.json", "tokenizer.model", "*.spm", "spiece.model", "*.bpe.model", "vocab.*", "tekken.json")
MOST_HEADER_BYTES = 100_000_000  # as safetensors itself has it

Level = Literal["ok", "warning", "fault"]


class Finding(msgspec.Struct, frozen=True):
    """What one check found: about what, and one line that says what to do when it is not ok.

    A fault keeps Aister from serving, or opens it to others; a warning is worth knowing.
    """

    level: Level
    subject: str
    text: str


class Tensor(msgspec.Struct, frozen=True):
    """What a safetensors header says of a tensor: where its bytes begin and end. Its other entry has no such thing."""

    data_offsets: tuple[int, int] = (0, 0)


def examine(configuration: Configuration, environment: Mapping[str, str], catalog: Catalog) -> Iterator[Finding]:
    """Yield what every check finds, each as soon as it is known."""
    is_serving = answers(configuration)
    yield python(sys.version_info[:2])
    yield packages((ROOT / "requirements.txt").read_text(encoding="utf-8"))
    yield disk(configuration.home, shutil.disk_usage(configuration.home).free)
    yield memory(configuration.AISTER_MEMORY_MB, memory_mb(total=is_serving))
    yield files(configuration.AISTER_SESSIONS, crowd.hard_file_limit())
    yield port(configuration, is_serving=is_serving)
    yield from settings(configuration, environment)
    yield from permissions(configuration.home)
    yield from database(is_serving=is_serving)
    yield redis(configuration)
    yield from models(catalog)


# -- the machine ------------------------------------------------------------------------------------------------------


def python(version: tuple[int, ...]) -> Finding:
    """Check the version of Python, such as (3, 11)."""
    shown, oldest = (".".join(map(str, numbers)) for numbers in (version, OLDEST_PYTHON))
    if version < OLDEST_PYTHON:
        return Finding("fault", "Python", f"{shown} is too old. Make .venv anew with {oldest} or newer.")
    return Finding("ok", "Python", shown)


def packages(requirements: str) -> Finding:
    """Check that every package of requirements.txt is installed in its version; a build such as +cpu is as good."""
    pins = re.findall(r"^([\w.-]+)(?:\[.*\])?==(\S+)", requirements, re.MULTILINE)
    found = {name: installed(name) for name, _ in pins}
    missing = [name for name, version in found.items() if version is None]
    others = [f"{name} {found[name]} instead of {pin}" for name, pin in pins if found[name] not in (None, pin)]
    what_to_do = f"Run: {sys.executable} -m pip install -r requirements.txt"
    if missing:
        return Finding("fault", "Packages", f"Not installed: {', '.join(missing)}. {what_to_do}")
    if others:
        return Finding("warning", "Packages", f"Not as pinned: {', '.join(others)}. {what_to_do}")
    return Finding("ok", "Packages", f"{len(pins)} installed as requirements.txt pins them")


def installed(name: str) -> str | None:
    """Return the version of an installed package, without its build; None when there is no such package."""
    try:
        return metadata.version(name).partition("+")[0]
    except metadata.PackageNotFoundError:
        return None


def disk(home: Path, free_bytes: int) -> Finding:
    """Check the space left for the database and for downloaded models."""
    free_mb = free_bytes // MB
    what_to_do = "Free some space, or set AISTER_HOME to a larger disk."
    if free_mb < TOO_FEW_DISK_MB:
        return Finding("fault", "Disk", f"{free_mb:,} MB free in {home}: usage can't be kept for long. {what_to_do}")
    if free_mb < FEW_DISK_MB:
        return Finding("warning", "Disk", f"{free_mb:,} MB free in {home}. {what_to_do}")
    return Finding("ok", "Disk", f"{free_mb:,} MB free in {home}")


def memory(budget_mb: int, room_mb: int | None) -> Finding:
    """Check that the models' budget fits into memory; `room_mb` is None where the system does not say."""
    if room_mb is None:
        return Finding("ok", "Memory", f"this system does not say how much is free; AISTER_MEMORY_MB is {budget_mb:,}")
    if room_mb < budget_mb:
        what_to_do = f"Set AISTER_MEMORY_MB to {room_mb * 8 // 10} or less, or end other programs."
        return Finding("warning", "Memory", f"{room_mb:,} MB for a budget of {budget_mb:,} MB. {what_to_do}")
    return Finding("ok", "Memory", f"{room_mb:,} MB for a budget of {budget_mb:,} MB")


def memory_mb(*, total: bool) -> int | None:
    """Return what programs can still take, or, where Aister has taken its part, `total`: what the machine has.

    A container has no more than its limit. None where this can't be known.
    """
    try:
        text = Path("/proc/meminfo").read_text(encoding="ascii")
    except OSError:
        return None
    found = re.search(rf"^{'MemTotal' if total else 'MemAvailable'}: +(\d+) kB", text, re.MULTILINE)
    if found is None:
        return None
    return min([int(found[1]) * 1024, *container_limits_bytes()]) // MB


def container_limits_bytes() -> Iterator[int]:
    """Yield the memory limit of the container that this process is in, of version 2 or 1 of control groups."""
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        file = Path("/sys/fs/cgroup", name)
        text = file.read_text(encoding="ascii").strip() if file.is_file() else ""
        if text.isdigit():
            yield int(text)


def files(sessions: int, limit: int) -> Finding:
    """Check that as many files may be open as that many sessions need; each connection is one."""
    needed = crowd.files_needed(sessions)
    if limit >= needed:
        return Finding("ok", "Files", f"{limit:,} may be open, of which {needed:,} are needed")
    what_to_do = f"Raise it (LimitNOFILE, ulimit -Hn), or set AISTER_SESSIONS to {max(1, sessions + limit - needed)}."
    return Finding("warning", "Files", f"{limit:,} may be open: too few for {sessions:,} sessions. {what_to_do}")


def answers(configuration: Configuration) -> bool:
    """Say whether an Aister answers where this one would listen."""
    local = Configuration({"HOST": configuration.HOST, "PORT": str(configuration.PORT)}).url()
    try:
        client = http.client.HTTPConnection(urlsplit(local).hostname or "", configuration.PORT, timeout=PROBE_S)
        with closing(client):
            client.request("GET", "/healthz", headers={"Host": "localhost"})  # allowed whatever AISTER_URL says
            return client.getresponse().read(100) == b'{"status":"ok"}'
    except (OSError, ValueError, http.client.HTTPException):  # ValueError for a HOST that is no name at all
        return False


def port(configuration: Configuration, *, is_serving: bool) -> Finding:
    """Check that this machine can listen on HOST and PORT, or that Aister does so already."""
    where = f"{configuration.HOST}, port {configuration.PORT}"
    if is_serving:
        return Finding("ok", "Port", f"Aister itself answers on {where}")
    try:
        check_address(configuration.HOST, configuration.PORT)
    except ConfigurationError as error:
        return Finding("fault", "Port", str(error))
    return Finding("ok", "Port", "takes a free one" if configuration.PORT == 0 else f"{where} is free")


# -- what the operator set --------------------------------------------------------------------------------------------


def settings(configuration: Configuration, environment: Mapping[str, str]) -> list[Finding]:
    """Check for settings that contradict each other and for names that are no settings."""
    warnings = list(unknown_settings(environment))
    if configuration.AISTER_URL.startswith("https:") and not configuration.AISTER_TRUSTED_PROXIES:
        text = "AISTER_URL is https, so a proxy stands in front, but AISTER_TRUSTED_PROXIES is 0: failed attempts of "
        warnings.append(f"{text}everybody count together. Set it to the number of proxies.")
    given = sum(bool(environment.get(setting.name, "").strip()) for setting in SETTINGS)
    return [Finding("warning", "Settings", text) for text in warnings] or [Finding("ok", "Settings", f"{given} given")]


def unknown_settings(environment: Mapping[str, str]) -> Iterator[str]:
    """Yield what to do about each variable that only looks like a setting; its value is left out."""
    names = [setting.name for setting in SETTINGS]
    for name in sorted(environment):
        if name.startswith("AISTER_") and name not in names:
            nearest = difflib.get_close_matches(name, names, n=1)
            yield f"{name} is no setting. " + (f"Did you mean {nearest[0]}?" if nearest else "Remove it.")


def permissions(home: Path) -> list[Finding]:
    """Check that other users of this machine can't read what AISTER_HOME holds."""
    secrets = [path for path in (home / name for name in SECRETS) if path.exists() and path.stat().st_mode & 0o077]
    found = [Finding("fault", "Home", f"Others can read {file.name}. Run: chmod 600 {file}") for file in secrets]
    if home.stat().st_mode & 0o007:
        found.append(Finding("warning", "Home", f"Every user of this machine can look into it. Run: chmod 700 {home}"))
    return found or [Finding("ok", "Home", f"{home}, for its owner only")]


# -- the database -----------------------------------------------------------------------------------------------------


def database(*, is_serving: bool) -> Iterator[Finding]:
    """Check that the database answers, is whole and up to date, and that somebody can use what it guards."""
    try:
        startup.check_database()
        damage = damage_found()
        if damage:
            yield damaged(damage)
            return
        executor = MigrationExecutor(connection)
        missing = len(executor.migration_plan(executor.loader.graph.leaf_nodes()))
        if missing:
            yield unprepared(missing, is_serving=is_serving)
            return
        yield Finding("ok", "Database", f"{connection.vendor} answers, is whole and up to date")
        yield administrator()
        yield key()
    except DatabaseError as error:
        is_damaged = getattr(error.__cause__, "sqlite_errorname", "") in ("SQLITE_CORRUPT", "SQLITE_NOTADB")
        yield damaged(str(error)) if is_damaged else Finding("fault", "Database", str(startup.unusable_database(error)))


def damage_found() -> str:
    """Return the first thing that is wrong inside SQLite's file, nothing when it is whole."""
    if connection.vendor != "sqlite":
        return ""
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA quick_check(1)")
        result = str(cursor.fetchone()[0])
    return "" if result == "ok" else result


def damaged(reason: str) -> Finding:
    """The finding for a file that SQLite can't make sense of."""
    file = connection.settings_dict["NAME"]
    what_to_do = f"Stop Aister and put a backup in the place of {file}."
    return Finding("fault", "Database", f"It is damaged: {reason.splitlines()[-1]}. {what_to_do}")


def unprepared(missing: int, *, is_serving: bool) -> Finding:
    """The finding for a database that is new or older than this Aister: the next start brings it up to date."""
    if is_serving:
        text = f"{missing} migrations are missing while Aister runs. Start it anew."
        return Finding("fault", "Database", text)
    text = f"{missing} migrations are missing. 'manage.py serve' applies them at its start."
    return Finding("warning", "Database", text)


def administrator() -> Finding:
    """Check that somebody can get into the admin: any active administrator can, with a link."""
    user = first_run.administrator()
    if user is not None:
        way = "a password or a link" if user.has_usable_password() else "a link"
        return Finding("ok", "Administrator", f"{user.get_username()} signs in with {way} ('manage.py signin')")
    if User.objects.exists():
        return Finding("fault", "Administrator", "Nobody is one. Run: manage.py createsuperuser")
    return Finding("warning", "Administrator", "There is none yet. 'manage.py serve' makes one at its start.")


def key() -> Finding:
    """Check that a program can get in."""
    count = ApiKey.objects.filter(is_playground=False).active().count()
    if count:
        return Finding("ok", "Keys", f"{count} active")
    return Finding("warning", "Keys", "No key is active, so no program gets in. Run: manage.py keys create NAME")


# -- Redis ------------------------------------------------------------------------------------------------------------


def redis(configuration: Configuration) -> Finding:
    """Check that the Redis that is set answers. Without it revocations come later, and nothing else changes."""
    if not configuration.REDIS_URL:
        return Finding("ok", "Redis", "none is set, and one server process needs none")
    try:
        asyncio.run(announcements.check())
    except Exception as fault:  # of many kinds, most of them its client's own
        text = f"It does not answer ({announcements.reason(fault)}), so keys revoked elsewhere are noticed later."
        return Finding("warning", "Redis", f"{text} Check REDIS_URL, and that its server runs.")
    return Finding("ok", "Redis", "answers")


# -- models -----------------------------------------------------------------------------------------------------------


def models(catalog: Catalog) -> Iterator[Finding]:
    """Check that each task has a model, and each model its files."""
    served = {entry.task for entry in catalog if entry.is_default}
    for task in TASKS:
        if task not in served:
            text = f"None for {task}. Set AISTER_{task.upper()}_MODEL, or restore inference/bundled."
            yield Finding("fault", "Models", text)
    for entry in catalog:
        yield local_model(entry, entry.directory) if entry.directory else hub_model(entry)


def local_model(entry: ModelEntry, directory: Path) -> Finding:
    """Check a model in a directory. A fault when it is a default: then Aister does not start."""
    lacks = lacking(directory)
    if lacks:
        text = f"{entry.id}: {directory} lacks {' and '.join(lacks)}. Copy the model anew."
        return Finding("fault" if entry.is_default else "warning", "Models", text)
    return Finding("ok", "Models", f"{entry.id}, for {entry.task}: {entry.size_bytes // MB:,} MB of weights")


def hub_model(entry: ModelEntry) -> Finding:
    """Check whether a hub's model has been downloaded."""
    from huggingface_hub import constants, try_to_load_from_cache

    config = try_to_load_from_cache(entry.source, "config.json")
    if isinstance(config, str) and not lacking(Path(config).parent):
        return Finding("ok", "Models", f"{entry.id}, for {entry.task}: downloaded before")
    where = constants.HF_HUB_CACHE
    if constants.HF_HUB_OFFLINE:
        text = f"{entry.id} is not in {where}, and HF_HUB_OFFLINE keeps it from being downloaded. Unset that once."
        return Finding("fault", "Models", text)
    text = f"{entry.id} is not in {where} yet. It will be downloaded at first use: the hub must be reachable then."
    return Finding("warning", "Models", text)


def lacking(directory: Path) -> list[str]:
    """Return what a model's directory lacks of the files that loading it reads."""
    weights = sorted(directory.glob("*.safetensors"))
    lacks = [] if (directory / "config.json").is_file() else ["config.json"]
    if not weights:
        lacks.append("weights (*.safetensors)")
    lacks += [f"a whole {name}" for name in broken(directory, weights)]
    if not any(has_match(directory, pattern) for pattern in TOKENIZERS):
        lacks.append("a tokenizer")
    return lacks


def has_match(directory: Path, pattern: str) -> bool:
    """Say whether a directory has a file of such a name."""
    return next(directory.glob(pattern), None) is not None


def broken(directory: Path, weights: Iterable[Path]) -> list[str]:
    """Return the names of weights that are cut off, or that the index names and nobody copied."""
    index = directory / "model.safetensors.index.json"
    named: set[str] = set()
    if index.is_file():
        named = set(re.findall(r'"([\w.\-]+\.safetensors)"', index.read_text(encoding="utf-8", errors="replace")))
    present = {file.name for file in weights}
    return sorted((named - present) | {file.name for file in weights if not is_whole(file)})


def is_whole(file: Path) -> bool:
    """Say whether a safetensors file is as long as its header says: not cut off, and no pointer to a file elsewhere."""
    try:
        with file.open("rb") as opened:
            header_bytes = int.from_bytes(opened.read(8), "little")
            if header_bytes > MOST_HEADER_BYTES:
                return False
            header = msgspec.json.decode(opened.read(header_bytes), type=dict[str, Tensor])
        end = max((tensor.data_offsets[1] for tensor in header.values()), default=0)
        return file.stat().st_size == 8 + header_bytes + end
    except (OSError, msgspec.MsgspecError):
        return False
