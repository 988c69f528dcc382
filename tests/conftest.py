"""What every test stands on; tests/settings.py gives the run an AISTER_HOME of its own."""

from hypothesis import settings

settings.register_profile("aister", deadline=None)  # the time that an example takes tells of the machine
settings.load_profile("aister")

pytest_plugins = ["tests.live", "tests.postgres", "tests.browser", "tests.nginx", "tests.redis_server"]
