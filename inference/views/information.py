"""What a client can ask without a model running: models, languages, health. Event loop."""

from asgiref.sync import sync_to_async
from django.db import Error, connection
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from aister_site.database import within
from inference.apps import manager, sessions
from inference.descriptions import describe, describe_languages
from inference.http import endpoint, json_response
from inference.usage import ledger

PROBE_S = 2.0


@endpoint("GET")
async def models(_request: HttpRequest) -> HttpResponseBase:
    """`GET /v1/models`: the models of this server, the default of each task first."""
    entries = sorted(manager().catalog, key=lambda entry: (entry.task, not entry.is_default))
    return json_response({"models": [describe(entry) for entry in entries]})


@endpoint("GET")
async def languages(request: HttpRequest) -> HttpResponseBase:
    """`GET /v1/languages`: what the default translation model knows, or the one that `?model=` names."""
    entry = manager().catalog.find("translation", request.GET.get("model"))
    return json_response({"languages": await sync_to_async(describe_languages, thread_sensitive=False)(entry)})


@endpoint("GET")
async def healthz(_request: HttpRequest) -> HttpResponseBase:
    """`GET /healthz`: the process is alive."""
    return json_response({"status": "ok"})


@endpoint("GET")
async def readyz(_request: HttpRequest) -> HttpResponseBase:
    """`GET /readyz`: 200 when requests can be served at once, else 503.

    Either way it says what is there and what is not.
    """
    checks = {
        "models": all(manager().is_ready(entry.id) for entry in manager().catalog if entry.is_default),
        "threads": manager().is_healthy,
        "sessions": not sessions().is_closing,
        "database": await sync_to_async(database_answers, thread_sensitive=False)(),
        "usage": not ledger.is_failing,
    }
    is_serving = all(checks.values())
    status = "ready" if is_serving else "not ready"
    return json_response({"status": status, "checks": checks}, 200 if is_serving else 503)


def database_answers() -> bool:
    """Say whether the database answers."""
    try:
        with within(PROBE_S), connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        connection.close()
    except Error:
        return False
    return True
