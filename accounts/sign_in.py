"""Sign-in links: `/sign-in#<code>`. The code stands in the fragment, which no server and no proxy ever logs. Any
thread with a database.
"""

import secrets
from typing import Literal

from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone

from accounts import keys
from accounts.models import SignInCode

PATH = "/sign-in"
Reason = Literal["unknown", "used", "expired", "inactive"]


class SignInError(Exception):
    """A code signs nobody in: `reason` says why."""

    def __init__(self, reason: Reason) -> None:
        self.reason = reason
        super().__init__(reason)


def issue(user: User) -> str:
    """Return a fresh code for this user, good for 10 minutes and one use. Codes past their time are dropped."""
    SignInCode.objects.filter(expires_at__lt=timezone.now() - SignInCode.LIFETIME).delete()
    code = secrets.token_urlsafe(32)
    SignInCode.objects.create(user=user, digest=keys.digest(code), expires_at=timezone.now() + SignInCode.LIFETIME)
    return code


def link(site_url: str, code: str) -> str:
    """Return the address to open; `site_url` is scheme, host and port."""
    return f"{site_url.rstrip('/')}{PATH}#{code}"


def site_url() -> str:
    """Return the server's address as the settings have it: AISTER_URL, or HOST and PORT; empty when PORT is 0."""
    configuration = settings.CONFIGURATION
    return str(configuration.url()) if configuration.AISTER_URL or configuration.PORT else ""


def redeem(code: str) -> User:
    """Use up a code and return its user; raise SignInError when it is unknown, used or expired, or its user is
    inactive.
    """
    with transaction.atomic():
        row = (
            SignInCode.objects.select_related("user")
            .select_for_update(of=["self"])
            .filter(digest=keys.digest(code))
            .first()
        )
        if row is None:
            raise SignInError("unknown")
        if row.used_at is not None:
            raise SignInError("used")
        if row.expires_at <= timezone.now():
            raise SignInError("expired")
        if not row.user.is_active:
            raise SignInError("inactive")
        row.used_at = timezone.now()
        row.save(update_fields=["used_at"])
    return row.user
