"""Headers of the whole site, CORS for the API, and the page for when the database can't be used.

Works in sync and async, so that no view is moved to a thread for it.
"""

from collections.abc import Awaitable, Callable
from inspect import iscoroutinefunction
from typing import Any, cast

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.utils.decorators import sync_and_async_middleware
from django.utils.deprecation import MiddlewareMixin

from aister_site.database import PAGE_S, within
from inference.outages import unavailable

API = "/v1/"
CONTENT_SECURITY_POLICY = "; ".join(
    [
        "default-src 'self'",
        "img-src 'self' data:",
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    ]
)
CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "GET, POST, OPTIONS",
    "Access-Control-Allow-Headers": "Authorization, Content-Type",
    "Access-Control-Expose-Headers": "Retry-After",
    "Access-Control-Max-Age": "86400",
}

GetResponse = Callable[[HttpRequest], HttpResponseBase | Awaitable[HttpResponseBase]]


@sync_and_async_middleware
def ApiHeadersMiddleware(get_response: GetResponse) -> GetResponse:  # noqa: N802  # named as Django names middleware
    """Answer preflights of the API and add the headers."""
    if iscoroutinefunction(get_response):

        async def in_async(request: HttpRequest) -> HttpResponseBase:
            response = preflight(request) or await cast(Awaitable[HttpResponseBase], get_response(request))
            return with_headers(request, response)

        return in_async

    def in_sync(request: HttpRequest) -> HttpResponseBase:
        response = preflight(request) or cast(HttpResponseBase, get_response(request))
        return with_headers(request, response)

    return in_sync


def preflight(request: HttpRequest) -> HttpResponse | None:
    """Return the answer to a browser's question before a cross-origin request, None for any other request."""
    is_preflight = request.method == "OPTIONS" and request.path.startswith(API)
    return HttpResponse(status=204) if is_preflight else None


def with_headers(request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
    """Return the response with CORS headers for the API, and a content security policy for pages.

    `*` never comes with cookies: a browser sends none to an address that answers so.
    """
    if request.path.startswith(API):
        for name, value in CORS.items():
            response.headers[name] = value
    else:
        response.headers.setdefault("Content-Security-Policy", CONTENT_SECURITY_POLICY)
    return response


class OutageMiddleware(MiddlewareMixin):
    """Answers pages with a 503 of their own while the database can't be used. The API's endpoints see to themselves.

    A page may also take longer over a query than a request of the API: it adds up years of usage.
    """

    async def __acall__(self, request: HttpRequest) -> Any:
        """Serve a request, with the limit of a page."""
        if request.path.startswith(API):
            return await super().__acall__(request)
        with within(PAGE_S):
            return await super().__acall__(request)

    def process_exception(self, _request: HttpRequest, fault: Exception) -> HttpResponse | None:
        """Return the page, None for any other fault. Nothing in it asks the database who looks at it."""
        error = unavailable(fault)
        if error is None:
            return None
        response = render(None, "503.html", status=error.row.status)
        response["Retry-After"] = str(round(error.retry_after_s or 0))
        return response
