"""`POST /v1/tokens`: a short-lived token for a browser, from an API key or for the page of someone signed in.

Event loop.
"""

import msgspec
from channels.db import database_sync_to_async
from django.contrib.auth.models import AnonymousUser, User
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.middleware.csrf import CsrfViewMiddleware

from accounts import addresses, tokens
from accounts.authentication import Caller
from inference.callers import account_errors, identify
from inference.errors import AisterError
from inference.http import endpoint, headers_of, json_response, read_body
from inference.protocol import TokenBody

TOKEN_BODY = msgspec.json.Decoder(TokenBody)
mint = database_sync_to_async(tokens.mint, thread_sensitive=False)


class NewToken(msgspec.Struct, frozen=True, kw_only=True):
    """The answer. `tasks` and `models` are null when the token is as wide as its key."""

    token: str
    expires_at: str
    tasks: list[str] | None
    models: list[str] | None


@endpoint("POST")
async def create(request: HttpRequest) -> HttpResponseBase:
    """Make a token, no wider than whoever asks."""
    body = read_body(request, TOKEN_BODY, empty=TokenBody())
    parent = await holder(request)
    with account_errors():
        text, token = await mint(
            parent,
            tasks=body.tasks or (),
            models=body.models or (),
            origin=body.origin,
            ttl_s=body.expires_in_s,
        )
    answer = NewToken(
        token=text,
        expires_at=token.expires_at.isoformat(),
        tasks=token.tasks or None,
        models=token.models or None,
    )
    response = json_response(answer, 201)
    response["Cache-Control"] = "no-store"
    return response


async def holder(request: HttpRequest) -> Caller | User | AnonymousUser:
    """Return who asks: the key in the header, or else the person signed in; raise AisterError (csrf_failed)."""
    if "authorization" in request.headers:
        return await identify(headers_of(request), addresses.of_request(request))
    user: User | AnonymousUser = await request.auser()
    if user.is_authenticated and not passes_csrf(request):
        raise AisterError("csrf_failed")
    return user


def passes_csrf(request: HttpRequest) -> bool:
    """Say whether a request that a cookie vouches for comes from a page of ours."""

    def protected(_request: HttpRequest) -> HttpResponse:
        return HttpResponse()

    check = CsrfViewMiddleware(protected)
    check.process_request(request)
    refusal: HttpResponse | None = check.process_view(request, protected, (), {})
    return refusal is None
