"""Django's settings. What an operator may set stands in configuration.py; everything here follows from that."""

import logging
import os
import re
from typing import Any
from urllib.parse import urlsplit

import dj_database_url

from aister_site import home
from aister_site.configuration import ROOT, from_environment

CONFIGURATION = from_environment()
HOME = home.prepare(CONFIGURATION.home)
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")  # a hub is asked for models and told nothing more
os.environ.setdefault("HF_HUB_CACHE", str(HOME / "models"))  # read when huggingface_hub is imported, by an engine

SECRET_KEY = home.secret(HOME, "secret_key")
DEBUG = False
PUBLIC_URL = urlsplit(CONFIGURATION.AISTER_URL)
IS_PUBLIC = bool(PUBLIC_URL.hostname)
ALLOWED_HOSTS = [PUBLIC_URL.hostname, "localhost", "127.0.0.1", "[::1]"] if IS_PUBLIC else ["*"]
CSRF_TRUSTED_ORIGINS = [f"{PUBLIC_URL.scheme}://{PUBLIC_URL.netloc}"] if IS_PUBLIC else []
SECURE_COOKIES = PUBLIC_URL.scheme == "https"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_COOKIES
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if SECURE_COOKIES else None
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"

INSTALLED_APPS = [
    "aister_site",  # before daphne, for a runserver of our own
    "daphne",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "channels",
    "accounts",
    "inference",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "servestatic.middleware.ServeStaticMiddleware",
    "aister_site.middleware.ApiHeadersMiddleware",
    "aister_site.middleware.OutageMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

ROOT_URLCONF = "aister_site.urls"
ASGI_APPLICATION = "aister_site.asgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [ROOT / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]


def database() -> dict[str, Any]:
    """The one database: DATABASE_URL, or SQLite in AISTER_HOME set up for one writer and many readers."""
    if CONFIGURATION.DATABASE_URL:
        configured: dict[str, Any] = dict(dj_database_url.parse(CONFIGURATION.DATABASE_URL))
        if configured["ENGINE"].endswith("postgresql"):
            from aister_site import postgresql  # psycopg: 0.1 s that SQLite need not wait for

            configured["OPTIONS"] = postgresql.options(configured.get("OPTIONS", {}))
            # Without a look at each connection it lends, every one that an outage broke would cost somebody an error.
            configured["CONN_HEALTH_CHECKS"] = True
        return configured
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": home.private_file(HOME, "aister.sqlite3"),
        "TEST": {"NAME": HOME / "test.sqlite3"},
        "OPTIONS": {
            # A transaction that reads, then writes, fails at once when another wrote meanwhile, whatever the timeout:
            # take the lock first.
            "transaction_mode": "IMMEDIATE",
            "timeout": 5,
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
        },
    }


def channel_layers(redis_url: str) -> dict[str, Any]:
    """The one channel layer, where there is a Redis: for announcements between processes, which may be lost.

    Left to itself, a connection waits for as long as Redis hangs.
    """
    if not redis_url:
        return {}
    host = {"address": redis_url, "socket_connect_timeout": 1, "socket_timeout": 1}
    layer = "channels_redis.pubsub.RedisPubSubChannelLayer"
    return {"default": {"BACKEND": layer, "CONFIG": {"hosts": [host], "prefix": "aister"}}}


DATABASES = {"default": database()}
CHANNEL_LAYERS = channel_layers(CONFIGURATION.REDIS_URL)
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_I18N = False
USE_TZ = True

STATIC_URL = "static/"
SERVESTATIC_USE_FINDERS = True  # serves the apps' own files: no collectstatic step
SERVESTATIC_AUTOREFRESH = False
DATA_UPLOAD_MAX_MEMORY_SIZE = 1024 * 1024

LOGIN_URL = "/admin/login/"
LOGIN_REDIRECT_URL = "/"


def is_unexpected(record: logging.LogRecord) -> bool:
    """Drop what Django says of answers such as 404 and 503: we chose them, and an address may hold what is secret."""
    return record.exc_info is not None


ORIGIN = re.compile(r"https?://[\w.:\[\]-]+(?=/|$)|null$", re.ASCII)


def tell_origins_only(record: logging.LogRecord) -> bool:
    """Leave out what a client sent of what Django says of a form that came from elsewhere, but for the origin: it says
    why.

    What is before its arguments is then the reason, of which there are few. Django is set up twice, and each time has
    this done: the second time there is no path left.
    """
    if isinstance(record.args, tuple) and len(record.args) > 1:
        reason, dash, about = str(record.args[0]).partition(" - ")
        sent, fault, rest = about.rpartition(" does not match")
        origin = ORIGIN.match(sent)
        if fault:
            about = f"{origin[0] if origin else 'what is no address'}{fault}{rest}"
        record.msg, record.args = f"Forbidden ({reason}{dash}%s)", (about,)
    return True


LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "{asctime} {levelname} {name}: {message}", "style": "{"}},
    "filters": {
        "unexpected": {"()": "django.utils.log.CallbackFilter", "callback": is_unexpected},
        "origins": {"()": "django.utils.log.CallbackFilter", "callback": tell_origins_only},
        "seldom": {"()": "aister_site.seldom.SeldomFilter"},
    },
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": CONFIGURATION.AISTER_LOG_LEVEL},
    "loggers": {
        "django": {"handlers": ["stderr"], "level": "WARNING", "propagate": False},
        "django.request": {"filters": ["unexpected"]},
        "django.security.csrf": {"filters": ["origins", "seldom"]},  # anybody can cause one, as often as they please
        "django.security.DisallowedHost": {"level": "CRITICAL"},  # a traceback for every scanner that passes by
        "daphne": {"level": "WARNING"},
        "psycopg.pool": {"filters": ["seldom"]},  # a line for each connection that it tries to make, without end
        "channels_redis": {"level": "CRITICAL"},  # a traceback a second while Redis is away: we say so once
    },
}
