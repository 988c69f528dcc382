"""What every test stands on: an AISTER_HOME of its own, set before Django's settings are imported."""

import atexit
import os
import shutil
import tempfile

HOME = tempfile.mkdtemp(prefix="aister-tests-")
os.environ["AISTER_HOME"] = HOME
atexit.register(shutil.rmtree, HOME, ignore_errors=True)

pytest_plugins = ["tests.live"]
