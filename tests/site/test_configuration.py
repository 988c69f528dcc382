"""aister_site/configuration.py: what an operator may set."""

import re
from pathlib import Path

import pytest

from aister_site.configuration import ROOT, SETTINGS, Configuration, ConfigurationError, Setting


def test_every_default_fits_its_own_type() -> None:
    configuration = Configuration({})
    assert {setting.name: str(getattr(configuration, setting.name)) for setting in SETTINGS} == {
        setting.name: setting.default for setting in SETTINGS
    }


def test_values_are_converted_and_empty_ones_are_defaults() -> None:
    configuration = Configuration({"PORT": " 9000 ", "HOST": ""})
    assert (configuration.PORT, configuration.HOST) == (9000, "127.0.0.1")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "eighty"),
        ("PORT", "65536"),
        ("AISTER_MEMORY_MB", "0"),
        ("AISTER_LOG_LEVEL", "loud"),
        ("AISTER_URL", "models.example.com"),
        ("AISTER_URL", "https://models.example.com/below"),
        ("DATABASE_URL", "mysql://user:hunter2@host/name"),
        ("DATABASE_URL", "hunter2@host"),
        ("REDIS_URL", "http://:hunter2@host"),
        ("REDIS_URL", "hunter2@host:6379"),
        ("REDIS_URL", "redis://:hunter2@"),
        ("REDIS_URL", "redis://:hunter2@host:port"),
        ("REDIS_URL", "redis://:hunter2@host/name"),
    ],
)
def test_a_value_that_does_not_fit_is_named_but_not_shown(name: str, value: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Configuration({name: value})
    message = str(caught.value)
    assert message.startswith(f"{name} can't be used: ")
    assert "\n" not in message
    assert "hunter2" not in message


@pytest.mark.parametrize(
    "address",
    ["redis://host", "rediss://user:hunter2@host:6380/2", "redis://[::1]:6379", "unix://:hunter2@/run/redis.sock"],
)
def test_a_redis_may_be_anywhere(address: str) -> None:
    assert str(Configuration({"REDIS_URL": address}).REDIS_URL) == address


def test_a_setting_that_is_not_in_the_table_is_an_error_that_names_the_table() -> None:
    with pytest.raises(AttributeError, match="SETTINGS"):
        _ = Configuration({}).NO_SUCH


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_a_setting_does_something(setting: Setting) -> None:
    sources = [
        path.read_text() for package in ("accounts", "aister_site", "inference") for path in source_files(package)
    ]
    assert any(re.search(rf"(?i:configuration|self)\.{setting.name}\b", source) for source in sources)


def source_files(package: str) -> list[Path]:
    """Return the modules of a package."""
    return list((ROOT / package).rglob("*.py"))


def test_a_relative_home_starts_at_the_repository() -> None:
    assert Configuration({}).home == ROOT / "var"
    assert Configuration({"AISTER_HOME": "/srv/aister"}).home == Path("/srv/aister")


@pytest.mark.parametrize(
    ("environment", "url"),
    [
        ({}, "http://127.0.0.1:8000"),
        ({"HOST": "0.0.0.0", "PORT": "80"}, "http://127.0.0.1:80"),
        ({"HOST": "::"}, "http://[::1]:8000"),
        ({"HOST": "models.local"}, "http://models.local:8000"),
        ({"AISTER_URL": "https://models.example.com/"}, "https://models.example.com"),
    ],
)
def test_the_address_that_people_use(environment: dict[str, str], url: str) -> None:
    assert Configuration(environment).url() == url


def test_the_address_has_the_port_that_was_free() -> None:
    assert Configuration({"PORT": "0"}).url(port=43210) == "http://127.0.0.1:43210"
