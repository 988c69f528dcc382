"""`manage.py runserver`: Daphne's own command, with our server. It reloads when code changes, and prepares nothing."""

from functools import partial

from daphne.management.commands import runserver

from aister_site import shutdown
from aister_site.server import Server


class Command(runserver.Command):
    """Serves for those who work on Aister; everyone else runs `manage.py serve`."""

    server_cls = partial(Server, on_stop=partial(shutdown.drain, print))
