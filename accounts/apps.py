"""The Django app. It starts nothing."""

from django.apps import AppConfig


class AccountsConfig(AppConfig):
    """API keys, tokens and sign-in links."""

    name = "accounts"
    verbose_name = "Access"

    def ready(self) -> None:
        """Have revocations announced to other processes. Runs in every command."""
        from accounts import announcements
        from accounts.signals import key_revoked

        key_revoked.connect(announcements.on_key_revoked)
