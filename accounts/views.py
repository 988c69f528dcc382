"""The page that a sign-in link opens. Its script posts the code that stands in the address's fragment."""

from django.conf import settings
from django.contrib import messages
from django.contrib.auth import login
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.html import format_html
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from accounts import addresses, throttling
from accounts import sign_in as codes
from accounts.errors import AccountError

BACKEND = "django.contrib.auth.backends.ModelBackend"
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
REASONS: dict[codes.Reason, str] = {
    "unknown": "This sign-in code is not known. Open the whole link again, or make a new one.",
    "used": "This sign-in link has been used already. Each works once.",
    "expired": "This sign-in link is older than 10 minutes.",
    "inactive": "This user may not sign in any more. Ask an administrator.",
}


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def sign_in(request: HttpRequest) -> HttpResponse:
    """Show the page, or use up the code that it posts: 302 to the playground; 403 or 429, and what to do."""
    if request.method != "POST":
        return page(request)
    try:
        user = redeem(request.POST.get("code", "").strip(), addresses.of_request(request))
    except codes.SignInError as error:
        return page(request, REASONS[error.reason], status=403)
    except AccountError as error:
        response = page(request, throttling.words(error), status=429)
        response["Retry-After"] = str(error.retry_after_s)
        return response
    login(request, user, backend=BACKEND)
    if not user.has_usable_password():
        suggest_password(request, user)
    return redirect(settings.LOGIN_REDIRECT_URL)


def redeem(code: str, address: str) -> User:
    """Use up a code; raise SignInError, or AccountError `too_many_attempts`. A code that was one is no guess."""
    throttling.codes.check(address)
    try:
        return codes.redeem(code)
    except codes.SignInError as error:
        if error.reason == "unknown":
            throttling.codes.failed(address, looked_up=True)
        raise


def page(request: HttpRequest, problem: str = "", status: int = 200) -> HttpResponse:
    """Render the page."""
    response = render(request, "accounts/sign_in.html", {"problem": problem}, status=status)
    response["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
    return response


def suggest_password(request: HttpRequest, user: User) -> None:
    """Leave a note for the admin's next page."""
    address = reverse("admin:auth_user_password_change", args=[user.pk])
    note = 'You signed in by a link. <a href="{}">Set a password</a> to sign in without one.'
    messages.info(request, format_html(note, address))
