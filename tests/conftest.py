"""What every test stands on; tests/settings.py gives the run an AISTER_HOME of its own."""

pytest_plugins = ["tests.live", "tests.postgres", "tests.browser", "tests.nginx", "tests.redis_server"]
