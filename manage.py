#!/usr/bin/env python
"""Django's command line for Aister: `python manage.py help` lists what there is."""

import gc
import os
import sys

from aister_site.configuration import ConfigurationError


def main() -> None:
    """Run one management command; what the operator can mend ends it with one line instead of a traceback."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "aister_site.settings")
    if sys.argv[1:2] == ["serve"]:
        gc.disable()  # until its models are loaded: what is imported stays, and looking through it takes time
    from django.core.management import execute_from_command_line

    try:
        execute_from_command_line(sys.argv)
    except ConfigurationError as error:
        sys.exit(f"aister: {error}")
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
