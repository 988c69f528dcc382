"""`manage.py doctor`: whether Aister can serve here, and what to do if not. Exit code 1 when there is a fault."""

import os
import sys
from collections import Counter
from typing import Any

from django.conf import settings
from django.core.management import BaseCommand

from aister_site import doctor
from inference.apps import manager


class Command(BaseCommand):
    """Print a line for each finding, and how many faults and warnings there were."""

    help = "Check Python, disk, memory, port, settings, database and models, and say what to do."
    requires_system_checks: list[str] = []  # a fault elsewhere must not keep the doctor from looking

    def handle(self, *_args: Any, **_options: Any) -> None:
        """Print what is found as it is found."""
        counts: Counter[str] = Counter()
        for finding in doctor.examine(settings.CONFIGURATION, os.environ, manager().catalog):
            counts[finding.level] += 1
            self.stdout.write(f"{finding.level:<7}  {finding.subject:<13}  {finding.text}")
        self.stdout.write(f"\nFaults: {counts['fault']}. Warnings: {counts['warning']}.")
        if counts["fault"]:
            sys.exit(1)
