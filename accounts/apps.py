"""The Django app. It has nothing to start: no thread, no signal of another app."""

from django.apps import AppConfig


class AccountsConfig(AppConfig):
    """API keys, tokens and sign-in links."""

    name = "accounts"
    verbose_name = "Access"
