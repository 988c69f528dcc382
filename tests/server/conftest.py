"""An administrator of the shared server, to make keys with."""

from collections.abc import Iterator

import pytest

from tests.live import Server
from tests.server.admin import Admin


@pytest.fixture(scope="session")
def admin(live: Server) -> Iterator[Admin]:
    """Somebody signed in to the admin of the shared server."""
    admin = Admin(live)
    yield admin
    admin.http.close()
