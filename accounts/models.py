"""The rows of keys, tokens and sign-in codes. Of each secret, only a digest is kept.

Keys are revoked, never deleted: usage refers to them for good. Saving a key raises the revision (see
accounts/revision.py); only `last_used_at` is written around it.
"""

from datetime import timedelta
from typing import Any, Literal

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator
from django.db import models, transaction
from django.db.models import (
    CASCADE,
    PROTECT,
    SET_NULL,
    BigIntegerField,
    BooleanField,
    CharField,
    DateTimeField,
    F,
    ForeignKey,
    JSONField,
    PositiveIntegerField,
    ProtectedError,
    Q,
    UniqueConstraint,
)
from django.utils import timezone

from accounts import keys
from accounts.signals import key_revoked

State = Literal["active", "expired", "revoked"]
DEFAULT_MAX_SESSIONS = 100
AT_LEAST_ONE = MinValueValidator(1, "Give 1 or more, or nothing for no limit.")


def validate_name(name: str) -> None:
    """Refuse what would garble a terminal or a page."""
    if not name.strip() or not name.isprintable():
        raise ValidationError("Give a name of letters, digits and signs, without line breaks.")


class Revision(models.Model):
    """One row: the number of the last change to any key."""

    number = BigIntegerField(default=0)

    def __str__(self) -> str:
        return str(self.number)

    @classmethod
    def bump(cls) -> int:
        """Raise the counter and return it. The row stays locked until the caller's transaction ends."""
        row = cls.objects.filter(pk=1)
        if not row.update(number=F("number") + 1):
            Revision.objects.bulk_create([Revision(pk=1)], ignore_conflicts=True)
            row.update(number=F("number") + 1)
        return row.get().number


class ApiKeyQuerySet(models.QuerySet["ApiKey"]):
    """Keys by their state. A key that is revoked counts as that, whether expired or not."""

    def active(self) -> "ApiKeyQuerySet":
        """Keys that work now."""
        return self.filter(Q(expires_at__isnull=True) | Q(expires_at__gt=timezone.now()), revoked_at__isnull=True)

    def expired(self) -> "ApiKeyQuerySet":
        """Keys whose time is over."""
        return self.filter(revoked_at__isnull=True, expires_at__lte=timezone.now())

    def revoked(self) -> "ApiKeyQuerySet":
        """Keys that were revoked."""
        return self.filter(revoked_at__isnull=False)

    def delete(self) -> Any:
        """Raise ProtectedError: keys are kept."""
        raise ProtectedError(ApiKey.KEPT, set(self))


class ApiKey(models.Model):
    """One key of a program, a page or a person. An empty list, or no number, means no limit."""

    EDITABLE = (
        "name",
        "owner",
        "expires_at",
        "tasks",
        "models",
        "origins",
        "requests_per_minute",
        "max_sessions",
        "revision",
    )
    KEPT = "Keys are revoked, never deleted: the usage they caused stays theirs."

    name = CharField(max_length=80, validators=[validate_name], help_text="What uses it, such as “Support page”.")
    owner = ForeignKey(
        settings.AUTH_USER_MODEL,
        SET_NULL,
        null=True,
        blank=True,
        related_name="api_keys",
        help_text="Who answers for it.",
    )
    public_id = CharField("key", max_length=keys.ID_CHARS, unique=True, default=keys.new_public_id)
    digest = CharField(max_length=64, editable=False)
    is_playground = BooleanField(default=False, editable=False)
    created_at = DateTimeField("created", default=timezone.now, editable=False)
    expires_at = DateTimeField("expires", null=True, blank=True, help_text="UTC. Empty: never.")
    revoked_at = DateTimeField("revoked", null=True, editable=False)
    last_used_at = DateTimeField("last used", null=True, editable=False)
    tasks = JSONField(default=list, blank=True, help_text="None chosen: all.")
    models = JSONField(default=list, blank=True, help_text="Names, with commas between them. Empty: all.")
    origins = JSONField(
        default=list, blank=True, help_text="Web pages that may use it, such as https://app.example.com. Empty: any."
    )
    requests_per_minute = PositiveIntegerField(
        null=True, blank=True, validators=[AT_LEAST_ONE], help_text="Empty: no limit."
    )
    max_sessions = PositiveIntegerField(
        "open sessions",
        null=True,
        blank=True,
        default=DEFAULT_MAX_SESSIONS,
        validators=[AT_LEAST_ONE],
        help_text="Most at a time. Empty: no limit.",
    )
    revision = BigIntegerField(default=0, db_index=True, editable=False)

    made_text = ""  # the key itself, on the one object in memory that the admin is about to show; no column

    objects = ApiKeyQuerySet.as_manager()

    class Meta:
        verbose_name = "API key"
        ordering = ["-created_at", "-pk"]
        constraints = [
            UniqueConstraint(
                fields=["owner"],
                condition=Q(is_playground=True, revoked_at__isnull=True),
                name="one_playground_key_of_an_owner",
            )
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def masked(self) -> str:
        """The key as it may be shown."""
        return keys.mask(self.public_id)

    @property
    def state(self) -> State:
        """Whether the key works now, and if not, why."""
        if self.revoked_at is not None:
            return "revoked"
        return "expired" if self.expires_at is not None and self.expires_at <= timezone.now() else "active"

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Write the row and raise the revision, both or neither."""
        # A row read a while ago must not take a revocation back: of one that exists, only what people edit is written.
        if not self._state.adding:
            kwargs.setdefault("update_fields", self.EDITABLE)
        with transaction.atomic():
            self.revision = Revision.bump()
            super().save(*args, **kwargs)

    def make_secret(self) -> str:
        """Give the key a fresh secret and return its text, which nothing keeps. The caller saves."""
        text = keys.generate(keys.Kind.KEY, self.public_id)
        self.digest = keys.digest(text)
        return text

    def revoke(self) -> bool:
        """Revoke the key for good and tell this process's sessions; return False when it was revoked before."""
        with transaction.atomic():
            # First, as in save(): two transactions that lock two rows must take them in one order.
            number = Revision.bump()
            valid = ApiKey.objects.filter(pk=self.pk, revoked_at__isnull=True)
            is_new = valid.update(revoked_at=timezone.now(), revision=number) == 1
            if is_new:
                transaction.on_commit(lambda: key_revoked.send_robust(ApiKey, key_id=self.pk))
        self.refresh_from_db(fields=["revoked_at", "revision"])
        return is_new

    def delete(self, *_args: Any, **_kwargs: Any) -> Any:
        """Raise ProtectedError: keys are kept."""
        raise ProtectedError(self.KEPT, {self})


class Token(models.Model):
    """A short-lived credential for a web page: a key's, and never wider than it. Empty means what the key may."""

    key = ForeignKey(ApiKey, PROTECT, related_name="tokens")
    public_id = CharField("token", max_length=keys.ID_CHARS, unique=True, default=keys.new_public_id, editable=False)
    digest = CharField(max_length=64, editable=False)
    created_at = DateTimeField("created", default=timezone.now, editable=False)
    expires_at = DateTimeField("expires", db_index=True)
    tasks = JSONField(default=list, blank=True)
    models = JSONField(default=list, blank=True)
    origin = CharField(max_length=300, blank=True)

    class Meta:
        ordering = ["-created_at", "-pk"]

    def __str__(self) -> str:
        return f"{keys.Kind.TOKEN}_{self.public_id}_…"

    @property
    def state(self) -> State:
        """Whether the token works now, and if not, why."""
        return "expired" if self.key.state == "active" and self.expires_at <= timezone.now() else self.key.state

    def make_secret(self) -> str:
        """Give the token a fresh secret and return its text, which nothing keeps. The caller saves."""
        text = keys.generate(keys.Kind.TOKEN, self.public_id)
        self.digest = keys.digest(text)
        return text


class SignInCode(models.Model):
    """A code that signs one user in, once, within 10 minutes."""

    LIFETIME = timedelta(minutes=10)

    user = ForeignKey(settings.AUTH_USER_MODEL, CASCADE, related_name="sign_in_codes")
    digest = CharField(max_length=64, unique=True)
    expires_at = DateTimeField()
    used_at = DateTimeField(null=True)

    def __str__(self) -> str:
        return f"sign-in code of {self.user}"
