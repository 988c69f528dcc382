"""Aister's settings with an AISTER_HOME of the run's own. pytest-django reads settings before any conftest.py."""

import atexit
import os
import shutil
import tempfile

HOME_OF_RUN = tempfile.mkdtemp(prefix="aister-tests-")
os.environ["AISTER_HOME"] = HOME_OF_RUN
os.environ["AISTER_ATTEMPTS"] = "1000000"  # every test comes from the same address, and many fail on purpose
atexit.register(shutil.rmtree, HOME_OF_RUN, ignore_errors=True)

from aister_site.settings import *  # noqa: E402, F403
