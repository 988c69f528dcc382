"""The page at `/`, and what unknown addresses answer."""

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.views.decorators.csrf import ensure_csrf_cookie

from inference.errors import AisterError
from inference.http import endpoint


@ensure_csrf_cookie
def playground(request: HttpRequest) -> HttpResponse:
    """Show the playground. Worker thread: whether someone is signed in stands in the database."""
    user = request.user
    is_signed_in = user.is_authenticated and user.is_staff
    return render(
        request,
        "inference/playground.html",
        {"signed_in": is_signed_in, "username": user.get_username() if is_signed_in else ""},
    )


@endpoint("GET", "POST", "PUT", "PATCH", "DELETE")
async def unknown(_request: HttpRequest) -> HttpResponseBase:
    """Answer an address under `/v1/` that is none."""
    raise AisterError("unknown_endpoint")
