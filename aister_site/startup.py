"""What `manage.py serve` does before the first request: the database, the first key, the models. Main thread.

Anything that the operator can mend raises ConfigurationError, with one line that says what to do.
"""

import gc
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from django.conf import settings
from django.core.management import call_command
from django.db import DatabaseError, connection, transaction
from django.db.migrations.executor import MigrationExecutor

from accounts import first_run, sign_in
from aister_site import home
from aister_site.configuration import ConfigurationError
from inference.errors import AisterError
from inference.manager import Model, ModelManager
from inference.tasks import translation

KEY_FILE = "first_key"

Say = Callable[[str], None]


def migrate(say: Say) -> None:
    """Bring the database up to date. A look at what is missing takes 0.1 s, the command 0.5 s."""
    try:
        check_database()
        executor = MigrationExecutor(connection)
        if executor.migration_plan(executor.loader.graph.leaf_nodes()):
            say("Preparing the database ...")
            call_command("migrate", verbosity=0, interactive=False)
    except DatabaseError as error:
        raise unusable_database(error) from None


def check_database() -> None:
    """Connect to PostgreSQL once by itself: the pool would go on trying, and complaining, for 30 s."""
    if connection.vendor == "postgresql":
        import psycopg  # 0.1 s that SQLite need not wait for

        with connection.wrap_database_errors:
            psycopg.connect(**connection.get_connection_params()).close()


def unusable_database(error: Exception) -> ConfigurationError:
    """The error that says which database, why, and what to do."""
    reason = str(error).strip().splitlines()[0]
    if connection.vendor == "sqlite":
        what = "Free some space, or set AISTER_HOME to a directory of yours."
        return ConfigurationError(f"The database in {settings.HOME} can't be used: {reason}. {what}")
    return ConfigurationError(f"The database can't be used: {reason}. Check DATABASE_URL, and that its server runs.")


def first_key(*, is_terminal: bool) -> str | None:
    """Make what a new database needs and return the text of the first key, if it was made now.

    Where nobody watches, output ends up in logs: then the key goes to a file, and None is returned. A key that can't
    be kept there is not made at all: its text could never be had again.
    """
    try:
        with transaction.atomic():
            key = first_run.prepare()
            if key is not None and not is_terminal:
                home.write_secret(settings.HOME / KEY_FILE, key)
    except DatabaseError as error:
        raise unusable_database(error) from None
    except OSError as error:
        raise home.unusable(settings.HOME, error) from None
    return key if is_terminal else None


def sign_in_link(url: str) -> str | None:
    """Return a fresh sign-in link for the administrator, None when there is none."""
    user = first_run.administrator()
    return sign_in.link(url, sign_in.issue(user)) if user else None


def warm(manager: ModelManager, on_done: Callable[[list[str]], None], on_fault: Callable[[str], None]) -> None:
    """Begin to load the default models, in a thread that calls one of the two at the end."""
    os.environ.setdefault("TQDM_DELAY", "1")  # no progress bar for what takes less than a second
    threading.Thread(target=load, args=[manager, on_done, on_fault], name="aister-warm", daemon=True).start()


def load(manager: ModelManager, on_done: Callable[[list[str]], None], on_fault: Callable[[str], None]) -> None:
    """Load the default models, and then what their first requests would wait for."""
    model_ids = [entry.id for entry in manager.catalog if entry.is_default]
    try:
        for model in load_models(manager, model_ids):
            with named(model.entry.id):
                prepare_detection(model)
    except ConfigurationError as fault:
        on_fault(str(fault))
    else:
        on_done(model_ids)


def load_models(manager: ModelManager, model_ids: list[str]) -> list[Model]:
    """Return the models when all are loaded; raise ConfigurationError for the first that can't be.

    Garbage collection is off until then: importing torch and transformers makes 2,400 modules' worth of objects that
    stay, and looking through them again and again took a fifth of the time. Frozen, they cost no pause later either.
    """
    gc.disable()
    models = []
    try:
        for model_id, future in zip(model_ids, manager.preload(model_ids), strict=True):
            with named(model_id):
                models.append(future.result())
    finally:
        gc.freeze()
        gc.enable()
    return models


@contextmanager
def named(model_id: str) -> Iterator[None]:
    """Turn an AisterError into a ConfigurationError that says which model can't be used."""
    try:
        yield
    except AisterError as error:
        raise ConfigurationError(f"Model {model_id} can't be used. {error.message}") from None


def prepare_detection(model: Model) -> None:
    """Load what tells a translation model's languages apart: 2 s that the first request without a source would wait.

    After the models, not with them: requests with a source need none of it. Raises AisterError (wrong_task) for a model
    that names no languages.
    """
    if model.entry.task == "translation":
        languages = model.engine.text.languages  # type: ignore[attr-defined]  # a translation model's engine has it
        translation.detect(languages, [], next(iter(languages.targets)))
