"""Tokens: what a web page holds instead of a key. Reads and writes the database, on any thread that may."""

from collections.abc import Callable, Iterable
from datetime import timedelta

from django.contrib.auth.models import AnonymousUser, User
from django.db import IntegrityError, transaction
from django.utils import timezone

from accounts import scopes
from accounts.authentication import Caller
from accounts.errors import AccountError
from accounts.models import ApiKey, Token

DEFAULT_TTL_S = 600
MAX_TTL_S = 24 * 3600
EXPIRED_KEPT = timedelta(days=1)  # to be looked at in the admin; afterwards they would only pile up


def mint(
    parent: Caller | User | AnonymousUser,
    *,
    tasks: Iterable[str] = (),
    models: Iterable[str] = (),
    origin: str | None = None,
    ttl_s: int = DEFAULT_TTL_S,
) -> tuple[str, Token]:
    """Make a token for a key's holder or for a signed-in user's own page; return its text and its row.

    Empty tasks and models mean the parent's. It ends after `ttl_s` seconds, or with its key when that ends sooner.
    Raises AccountError: `key_required` when the parent is a token, `sign_in_required` for a user who is no active
    member of staff, `invalid_field` for what can't be read, `forbidden_task`, `forbidden_model` and
    `forbidden_origin` for more than the parent may.
    """
    caller = parent if isinstance(parent, Caller) else playground_caller(parent)
    if caller.token_id is not None:
        raise AccountError("key_required")
    if not 1 <= ttl_s <= MAX_TTL_S:
        raise AccountError("invalid_field", f"ttl_s must be from 1 to {MAX_TTL_S} seconds.", param="ttl_s")
    token = Token(
        key_id=caller.key_id,
        expires_at=min(filter(None, [timezone.now() + timedelta(seconds=ttl_s), caller.expires_at])),
        tasks=narrow("tasks", scopes.read_tasks, tasks, caller.check_task),
        models=narrow("models", scopes.read_models, models, caller.check_model),
        origin="".join(narrow("origin", scopes.read_origins, [] if origin is None else [origin], caller.check_origin)),
    )
    text = token.make_secret()
    token.save()
    Token.objects.filter(expires_at__lt=timezone.now() - EXPIRED_KEPT).delete()
    return text, token


def narrow(
    param: str, read: Callable[[Iterable[str]], list[str]], names: Iterable[str], check: Callable[[str], None]
) -> list[str]:
    """Return the names, read and each within the parent's scope."""
    try:
        wanted = read(names)
    except ValueError as error:
        raise AccountError("invalid_field", str(error), param=param) from None
    for name in wanted:
        check(name)
    return wanted


def playground_caller(user: User | AnonymousUser) -> Caller:
    """Return the caller that a user's own page acts as; raise AccountError `sign_in_required` for who may not."""
    if isinstance(user, AnonymousUser) or not (user.is_active and user.is_staff):
        raise AccountError("sign_in_required")
    return Caller.from_rows(playground_key(user), None)


def playground_key(user: User) -> ApiKey:
    """Return the key that carries a user's playground tokens and their usage, made at first use. Nobody ever knows
    its secret.

    When it was revoked, its sessions were closed, and the next visit makes another: to keep a person out, deactivate
    the user.
    """
    held = ApiKey.objects.filter(owner=user, is_playground=True, revoked_at__isnull=True)
    key = held.first()
    if key is not None:
        return key
    key = ApiKey(name=f"Playground of {user.get_username()}"[:80], owner=user, is_playground=True)
    key.make_secret()
    try:
        with transaction.atomic():
            key.save()
    except IntegrityError:  # another tab was first
        return held.get()
    return key
