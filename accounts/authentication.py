"""Who asks: from the text of a key or token to a `Caller`, which says what they may do.

`authenticate` and `recognise` read the database, on any thread that may; `recognise_async` does so for the event
loop, on a thread of its own. One query each time, plus at most one small write a minute for each key.
"""

import hmac
import logging
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Self

from channels.db import database_sync_to_async
from django.db import DatabaseError
from django.utils import timezone

from accounts import credentials, keys, scopes, throttling
from accounts.errors import AccountError
from accounts.models import ApiKey, Token

logger = logging.getLogger(__name__)
USE_NOTED_EVERY = timedelta(minutes=1)
unnoted: dict[str, datetime] = {}  # by public id, a try that failed: on a locked SQLite each takes 5 s
NOBODY = keys.digest(secrets.token_hex())  # of a text that nobody has


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """A key that was recognised, or a token and its key taken together, as they were at that moment.

    A scope of None is everything. `requests_per_minute` and `max_sessions` are the key's, however many tokens it has;
    None is no limit.
    """

    key_id: int  # primary key of the ApiKey
    public_id: str  # the key's id as people see it
    name: str
    tasks: scopes.Scope
    models: scopes.Scope
    origins: scopes.Scope
    requests_per_minute: int | None
    max_sessions: int | None
    token_id: int | None  # primary key of the Token, None for a key itself
    expires_at: datetime | None

    @classmethod
    def from_rows(cls, key: ApiKey, token: Token | None) -> Self:
        """Take a key and, where there is one, its token: what both allow, until the first of them ends."""
        ends = [row.expires_at for row in (key, token) if row is not None and row.expires_at is not None]
        return cls(
            key_id=key.pk,
            public_id=key.public_id,
            name=key.name,
            tasks=scopes.both(scopes.scope(key.tasks), scopes.scope(token.tasks if token else ())),
            models=scopes.both(scopes.scope(key.models), scopes.scope(token.models if token else ())),
            origins=scopes.both(
                scopes.scope(key.origins), scopes.scope([token.origin] if token and token.origin else ())
            ),
            requests_per_minute=key.requests_per_minute,
            max_sessions=key.max_sessions,
            token_id=token.pk if token else None,
            expires_at=min(ends, default=None),
        )

    def may_use_task(self, task: str) -> bool:
        """Say whether the task is in scope."""
        return scopes.allows(self.tasks, task)

    def may_use_model(self, model: str) -> bool:
        """Say whether the model is in scope."""
        return scopes.allows(self.models, model)

    def check_task(self, task: str) -> None:
        """Raise AccountError `forbidden_task` for a task out of scope."""
        if not self.may_use_task(task):
            raise AccountError("forbidden_task", f"This API key may not use the task {task}.{only(self.tasks)}")

    def check_model(self, model: str) -> None:
        """Raise AccountError `forbidden_model` for a model out of scope."""
        if not self.may_use_model(model):
            raise AccountError(
                "forbidden_model", f"This API key may not use the model {model:.200}.{only(self.models)}", param="model"
            )

    def check_origin(self, origin: str | None) -> None:
        """Raise AccountError `forbidden_origin` for a page out of scope; `origin` is the request's Origin header,
        None when it has none.
        """
        if origin is not None and not scopes.allows(self.origins, origin):
            raise AccountError("forbidden_origin")


def only(allowed: scopes.Scope) -> str:
    """Return the sentence that says what is in scope."""
    return f" It may use: {', '.join(sorted(allowed))}." if allowed else ""


def authenticate(text: str | None) -> Caller:
    """Return who holds this key or token.

    Raises AccountError: `missing_key` for None, `malformed_key` when the text is not whole, `wrong_key` when there is
    none such, `revoked_key` and `expired_key` when there is. Only who knows the secret learns the last two.
    """
    if text is None:
        raise AccountError("missing_key")
    key, token = find(text, keys.parse(text))
    now = timezone.now()
    caller = Caller.from_rows(key, token)
    if key.revoked_at is not None:
        raise AccountError("revoked_key")
    if caller.expires_at is not None and caller.expires_at <= now:
        raise AccountError("expired_key")
    note_use(key, now)
    return caller


def recognise(headers: Mapping[str, str], address: str) -> Caller:
    """Return who sends these headers, lower-case names, from this address.

    Raises AccountError: what `authenticate` and `credentials.from_headers` raise, and `too_many_attempts`.
    """
    with throttling.keys.watch(address):
        return authenticate(credentials.from_headers(headers))


recognise_async = database_sync_to_async(recognise, thread_sensitive=False)


def find(text: str, parsed: keys.Parsed) -> tuple[ApiKey, Token | None]:
    """Return the rows of this text; raise `wrong_key` when there are none, or the secret is another."""
    row: ApiKey | Token
    if parsed.kind is keys.Kind.KEY:
        row = ApiKey.objects.filter(public_id=parsed.public_id).first() or nobody()
    else:
        row = Token.objects.select_related("key").filter(public_id=parsed.public_id).first() or nobody_s_token()
    if not hmac.compare_digest(keys.digest(text), row.digest):
        raise AccountError("wrong_key")
    return (row, None) if isinstance(row, ApiKey) else (row.key, row)


def nobody() -> ApiKey:
    """Return a key that no text fits, in place of one that there is not.

    A tenth of a look-up is making the object: without one, the time would tell who guesses which ids there are.
    """
    return ApiKey(digest=NOBODY)


def nobody_s_token() -> Token:
    """The same for a token."""
    return Token(digest=NOBODY, key=nobody())


def note_use(key: ApiKey, now: datetime) -> None:
    """Write when the key was last used, at most once a minute. A database that can't take it refuses nobody."""
    noted_at = max(filter(None, (key.last_used_at, unnoted.get(key.public_id))), default=None)
    if noted_at is not None and now - noted_at < USE_NOTED_EVERY:
        return
    try:
        ApiKey.objects.filter(pk=key.pk, last_used_at=key.last_used_at).update(last_used_at=now)
    except DatabaseError as error:
        unnoted[key.public_id] = now
        logger.warning("Could not note the use of key %s: %s", key.public_id, error)
