"""What every HTTP endpoint of the API does: read the body, name the caller, answer errors as rows of the error table.

Event loop.
"""

import logging
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, TypeVar

import msgspec
from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.views.decorators.csrf import csrf_exempt

from inference.errors import CODES, AisterError, trace
from inference.outages import unavailable
from inference.protocol import MAX_FRAME_BYTES, Error, ErrorBody, ResponseDone, decode, error_body, too_large
from inference.response import new_request_id

log = logging.getLogger(__name__)

T = TypeVar("T")
View = Callable[[HttpRequest], Coroutine[Any, Any, HttpResponseBase]]


def endpoint(*methods: str, websocket: bool = False) -> Callable[[View], View]:
    """Make a view an endpoint of the API: these methods only, every error as JSON.

    Keys, not cookies, say who asks, so there is nothing for CSRF to protect. With `websocket`, a GET is told to
    upgrade.
    """

    if "GET" in methods:
        methods = (*methods, "HEAD")  # the server leaves the body out

    def decorate(view: View) -> View:
        @csrf_exempt
        @wraps(view)
        async def guarded(request: HttpRequest) -> HttpResponseBase:
            try:
                check_method(request, methods, websocket)
                return await view(request)
            except AisterError as error:
                response = error_response(error, new_request_id())
                if response.status_code == 405:
                    response["Allow"] = ", ".join(methods)
                return response
            except Exception as fault:
                request_id = new_request_id()
                return error_response(unavailable(fault) or unexpected(fault, request_id), request_id)

        return guarded

    return decorate


def unexpected(fault: Exception, request_id: str) -> AisterError:
    """Log what should not have happened, and return what the client is told of it."""
    log.error("Request %s failed.\n%s", request_id, trace(fault))
    return AisterError("internal_error")


def check_method(request: HttpRequest, methods: tuple[str, ...], websocket: bool) -> None:
    """Raise AisterError (upgrade_required, method_not_allowed) for a method that the endpoint does not take."""
    if request.method == "GET" and websocket:
        raise AisterError("upgrade_required")
    if request.method not in methods:
        raise AisterError("method_not_allowed", f"This address takes {', '.join(methods)}.")


def headers_of(request: HttpRequest) -> dict[str, str]:
    """Return the request's headers with lower-case names."""
    return {name.lower(): value for name, value in request.headers.items()}


def read_body(request: HttpRequest, decoder: "msgspec.json.Decoder[T]", *, empty: T | None = None) -> T:
    """Return the body as a struct, `empty` for one of no bytes where that is allowed.

    Raises AisterError: frame_too_large, invalid_json, invalid_field.
    """
    try:
        data = request.body
    except RequestDataTooBig:
        raise too_large() from None
    if len(data) > MAX_FRAME_BYTES:
        raise too_large()
    if empty is not None and not data:
        return empty
    return decode(decoder, data, None)


def json_response(body: Any, status: int = 200) -> HttpResponse:
    """Return a struct, or a dict of structs, as JSON."""
    return HttpResponse(msgspec.json.encode(body), status=status, content_type="application/json")


def event_response(event: Error | ResponseDone) -> HttpResponse:
    """Return a last event as JSON; with an error, under its row's status and with the headers that go with it."""
    error = event.error
    if not isinstance(error, ErrorBody):
        return json_response(event)
    status = CODES[error.code].status
    response = json_response(event, status)
    if error.retry_after is not None:
        response["Retry-After"] = str(max(1, round(error.retry_after)))
    if status == 401:
        response["WWW-Authenticate"] = "Bearer"
    if status == 426:
        response["Upgrade"] = "websocket"
        response["Connection"] = "Upgrade"
    return response


def error_response(error: AisterError, request_id: str) -> HttpResponse:
    """Return an error event, for a request that came to nothing."""
    return event_response(Error(id=None, request_id=request_id, error=error_body(error)))
