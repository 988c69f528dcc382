"""Aister's settings with an AISTER_HOME of the run's own. pytest-django reads settings before any conftest.py."""

import atexit
import os
import shutil
import tempfile

HOME_OF_RUN = tempfile.mkdtemp(prefix="aister-tests-")
os.environ["AISTER_HOME"] = HOME_OF_RUN
atexit.register(shutil.rmtree, HOME_OF_RUN, ignore_errors=True)

from aister_site.settings import *  # noqa: E402, F403
