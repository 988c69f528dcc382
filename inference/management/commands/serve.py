"""`manage.py serve`: everything from an empty directory to a listening server, in one command."""

import sys
import time
from functools import partial
from typing import Any

from django.conf import settings
from django.core.management import BaseCommand

from aister_site import database, linking, shutdown, startup, welcome
from aister_site.configuration import ConfigurationError
from inference import memory
from inference.apps import manager


class Command(BaseCommand):
    """Prepares the database, makes the first key, listens, and loads the default models."""

    help = "Serve Aister: migrate, make the first key if there is none, load the models, listen on HOST and PORT."
    requires_system_checks: list[str] = []  # they import every URL and template, which a start need not wait for

    def handle(self, *_args: Any, **_options: Any) -> None:
        """Serve until SIGTERM or Ctrl-C."""
        self.started_s = time.monotonic()
        memory.share_heap()
        linking.link_torch()
        from aister_site import server

        configuration = settings.CONFIGURATION
        self.is_terminal = sys.stdout.isatty()
        address = server.check_address(configuration.HOST, configuration.PORT)
        startup.migrate(self.say)
        self.key = startup.first_key(is_terminal=self.is_terminal)
        database.serve()
        from aister_site.asgi import application

        self.server = server.Server.at(
            address, configuration.PORT, application, on_ready=self.listening, on_stop=partial(shutdown.drain, self.say)
        )
        try:
            self.server.run()
        except ConfigurationError as fault:
            shutdown.leave(self.say, fault)
            raise
        shutdown.leave(self.say)

    def listening(self, port: int) -> None:
        """Tell people where to go and begin to load the models.

        After the socket is open, for torch and transformers take longer to import than all the rest; who asks meanwhile
        waits for the model.
        """
        url = settings.CONFIGURATION.url(port)
        if self.is_terminal:
            self.say(welcome.on_terminal(url, startup.sign_in_link(url), self.key))
        else:
            key_file = settings.HOME / startup.KEY_FILE
            self.say(welcome.in_log(url, key_file if key_file.exists() else None))
        self.key = None
        self.say("Loading the models ...")
        startup.warm(manager(), self.warmed, self.server.fail)

    def warmed(self, models: list[str]) -> None:
        """Say that every default model answers at once from now on."""
        self.say(f"Models loaded, {time.monotonic() - self.started_s:.1f} s after the start: {', '.join(models)}.")

    def say(self, text: str) -> None:
        """Print now, whatever stdout is."""
        print(text, flush=True)
