"""Every setting an operator can make, in one table: name, default, type, what it is for.

Settings come from environment variables. docs/operations.md shows this table, and a test holds it to that. Read once, when Django's
settings are imported; a value that can't be used raises `ConfigurationError` with one line that says what to do.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

ROOT = Path(__file__).resolve().parent.parent

Port = Annotated[int, Meta(ge=0, le=65535)]
Count = Annotated[int, Meta(ge=1)]
WebAddress = Annotated[str, Meta(pattern="^(https?://[^/]+/?)?$")]
DatabaseAddress = Annotated[str, Meta(pattern="^(postgres(ql)?://.+)?$")]
RedisAddress = Annotated[
    str, Meta(pattern=r"^(rediss?://([^@/]*@)?(\[.+\]|[^@/:?]+)(:\d{1,5})?(/\d*)?|unix://([^@/]*@)?/.+)?$")
]
Dtype = Literal["auto", "float32", "bfloat16", "int8"]
TranslationEngine = Literal["auto", "ctranslate2", "transformers"]
LogLevel = Literal["DEBUG", "INFO", "WARNING", "ERROR"]


class ConfigurationError(Exception):
    """A setting can't be used; the message is one line that says what to do."""


class Setting(msgspec.Struct, frozen=True):
    """One row of the table. `default` is written as it would be in the environment."""

    name: str
    type: Any
    default: str
    help: str


SETTINGS = (
    Setting("HOST", str, "127.0.0.1", "Address to listen on; 0.0.0.0 for every network this machine is on."),
    Setting("PORT", Port, "8000", "Port to listen on; 0 takes a free one."),
    Setting("AISTER_HOME", str, "var", "Directory for the database, secrets and downloaded models."),
    Setting("AISTER_URL", WebAddress, "", "The address people use, such as https://models.example.com, when Aister stands behind a proxy."),
    Setting("AISTER_CHAT_MODEL", str, "", "Chat model to use instead of the bundled one: a directory or a hub id."),
    Setting("AISTER_TRANSLATION_MODEL", str, "", "Translation model to use instead of the bundled one: a directory or a hub id."),
    Setting("AISTER_MEMORY_MB", Count, "8192", "Memory budget for loaded models and their KV caches, in megabytes."),
    Setting("AISTER_THREADS", Annotated[int, Meta(ge=0)], "0", "CPU threads of each model; 0 means one less than there are cores, at least one."),
    Setting("AISTER_DTYPE", Dtype, "auto", "Number format of models: float32, bfloat16, int8 (chat models on a CPU answer one to four at once faster, with half again the memory of bfloat16), or auto: bfloat16 on a GPU, and for chat models of 64 MB or more on a CPU that computes in it."),
    Setting("AISTER_TRANSLATION_ENGINE", TranslationEngine, "auto", "What runs translation models: transformers, ctranslate2 (int8, on a CPU), or auto: ctranslate2 for those it knows, unless there is a GPU or AISTER_DTYPE is float32 or bfloat16."),
    Setting("AISTER_BATCH", Count, "32", "Most requests a chat model answers at the same time."),
    Setting("AISTER_QUEUE", Count, "1024", "Most requests waiting for one model, three quarters of them of one key; more are refused as overloaded."),
    Setting("AISTER_QUEUE_SECONDS", Count, "60", "Longest that a request waits for a model before it fails as overloaded."),
    Setting("AISTER_KEEP_ALIVE", Annotated[int, Meta(ge=0)], "0", "Seconds that an unused model stays loaded; 0 means until its memory is needed."),
    Setting("AISTER_SESSIONS", Count, "4096", "Most open WebSocket sessions of this process."),
    Setting("AISTER_ATTEMPTS", Count, "10", "Most failed attempts to get in with keys, sign-in codes or passwords, from one address in a minute."),
    Setting("AISTER_TRUSTED_PROXIES", Annotated[int, Meta(ge=0)], "0", "Proxies in front of Aister that add to X-Forwarded-For: the client is the entry that many from the right."),
    Setting("AISTER_LOG_LEVEL", LogLevel, "INFO", "Least severe log lines to write: DEBUG, INFO, WARNING or ERROR."),
    Setting("DATABASE_URL", DatabaseAddress, "", "Database, such as postgres://user:password@host/name; SQLite in AISTER_HOME when empty."),
    Setting("REDIS_URL", RedisAddress, "", "Redis, such as redis://:password@host:6379, that tells several server processes of revoked keys at once; not needed for one."),
)  # fmt: skip


class Configuration:
    """The settings' values, by attribute: `configuration.PORT`."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        for setting in SETTINGS:
            setattr(self, setting.name, read(setting, environment))

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"no setting {name}; see SETTINGS in aister_site/configuration.py")

    @property
    def home(self) -> Path:
        """AISTER_HOME as an absolute path; a relative one starts at the repository's root."""
        return ROOT / Path(self.AISTER_HOME).expanduser()

    def url(self, port: int | None = None) -> str:
        """Return the address that people use, without a slash at its end: AISTER_URL, or this machine's.

        `port` is the one that the server listens on, PORT when left out.
        """
        if self.AISTER_URL:
            return str(self.AISTER_URL).rstrip("/")
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.HOST, self.HOST)
        return f"http://{f'[{host}]' if ':' in host else host}:{self.PORT if port is None else port}"


def read(setting: Setting, environment: Mapping[str, str]) -> Any:
    """Return the value of one setting, converted to its type; raise ConfigurationError when it does not fit.

    The error leaves the value out: an address may hold a password, and errors end up in logs.
    """
    text = environment.get(setting.name, "").strip() or setting.default
    try:
        return msgspec.convert(text, setting.type, strict=False)
    except msgspec.ValidationError as error:
        raise ConfigurationError(f"{setting.name} can't be used: {error}. {setting.help}") from None


def from_environment() -> Configuration:
    """Read every setting from the process's environment."""
    return Configuration(os.environ)
