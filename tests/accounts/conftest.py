"""Keys to test with."""

from collections.abc import Callable
from typing import Any

import pytest

from accounts.models import ApiKey

MakeKey = Callable[..., tuple[str, ApiKey]]


@pytest.fixture
def make_key(db: None) -> MakeKey:
    """Make a saved key with the given fields; return its text and its row."""

    def make(**fields: Any) -> tuple[str, ApiKey]:
        key = ApiKey(**{"name": "Test", **fields})
        text = key.make_secret()
        key.save()
        return text, key

    return make
