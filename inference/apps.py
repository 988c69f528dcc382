"""The Django application: its `ready()` makes the process-wide model manager, and starts nothing."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, cast

from django.apps import AppConfig, apps
from django.conf import settings

from aister_site.configuration import ConfigurationError
from inference import catalog
from inference.engines.selection import EngineOptions, Loader
from inference.manager import ModelManager
from inference.sessions import SessionRegistry

if TYPE_CHECKING:
    from inference.revocation import RevocationWatch  # brings models, which can't be imported before ready()

BUNDLED = Path(__file__).parent / "bundled"


class InferenceConfig(AppConfig):
    """Holds the manager: `django.apps.apps.get_app_config("inference").manager`."""

    name = "inference"
    verbose_name = "Usage"
    manager: ModelManager
    sessions: SessionRegistry
    watch: "RevocationWatch"

    def ready(self) -> None:
        """Make the manager. Runs in every command, twice under `runserver`: no thread, loop, database or model."""
        from accounts.signals import key_revoked
        from inference.revocation import RevocationWatch

        configuration = settings.CONFIGURATION
        budget_bytes = configuration.AISTER_MEMORY_MB * 1024 * 1024
        try:
            models = catalog.build(
                BUNDLED,
                {"chat": configuration.AISTER_CHAT_MODEL, "translation": configuration.AISTER_TRANSLATION_MODEL},
            )
        except catalog.CatalogError as error:
            raise ConfigurationError(str(error)) from None
        options = EngineOptions(
            threads=configuration.AISTER_THREADS,
            max_rows=configuration.AISTER_BATCH,
            cache_bytes=budget_bytes // 4,
            dtype=configuration.AISTER_DTYPE,
            translation=configuration.AISTER_TRANSLATION_ENGINE,
            converted=configuration.home / "models" / "converted",
        )
        self.manager = ModelManager(
            models,
            Loader(options),
            budget_bytes=budget_bytes,
            queue_capacity=configuration.AISTER_QUEUE,
            patience_s=configuration.AISTER_QUEUE_SECONDS,
            keep_alive_s=configuration.AISTER_KEEP_ALIVE or math.inf,
        )
        self.sessions = SessionRegistry(configuration.AISTER_SESSIONS)
        self.watch = RevocationWatch(self.sessions)
        self.sessions.on_open = self.watch.session_opened
        key_revoked.connect(self.on_key_revoked)

    def on_key_revoked(self, *, key_id: int, **_: object) -> None:
        """End what the key has open in this process. Any thread."""
        self.sessions.close_key(key_id)


def application() -> InferenceConfig:
    """Return the application's configuration, which holds what the process has one of."""
    return cast(InferenceConfig, apps.get_app_config("inference"))


def manager() -> ModelManager:
    """Return the process-wide model manager."""
    return application().manager


def sessions() -> SessionRegistry:
    """Return the process-wide registry of open sessions."""
    return application().sessions
