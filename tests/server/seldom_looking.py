"""`manage.py serve`, looking into the database for revoked keys only when it is told to: at once, or never.

So it has more patience with Redis. It loads a model when the first session asks for it, to start sooner.
"""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
PATIENCE_S = 20.0


def main() -> None:
    """Serve."""
    sys.path.insert(0, str(ROOT))
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "aister_site.settings")
    import django

    django.setup()
    from django.conf import settings

    from accounts import announcements
    from aister_site import startup
    from inference import revocation

    revocation.INTERVAL_S = 3600
    announcements.PATIENCE_S = PATIENCE_S
    for host in settings.CHANNEL_LAYERS["default"]["CONFIG"]["hosts"]:
        host.update(socket_connect_timeout=PATIENCE_S, socket_timeout=PATIENCE_S)
    startup.warm = lambda *_: None
    from django.core.management import execute_from_command_line

    execute_from_command_line(["manage.py", *sys.argv[1:]])


if __name__ == "__main__":
    main()
