"""`manage.py serve`, writing every line to its log: those too that come once a minute elsewhere, however often."""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    """Serve."""
    sys.path.insert(0, str(ROOT))
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "aister_site.settings")
    from aister_site.seldom import Seldom

    Seldom.is_due = lambda _self: True  # type: ignore[method-assign]
    from django.core.management import execute_from_command_line

    execute_from_command_line(["manage.py", *sys.argv[1:]])


if __name__ == "__main__":
    main()
