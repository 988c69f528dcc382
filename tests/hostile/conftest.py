"""The one server that is attacked by every test here, and somebody who behaves beside them."""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import live
from tests.hostile.bystander import KEEP_HEAP, warm
from tests.live import Server

PROGRAM = str(Path(__file__).with_name("impatient.py"))


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """An impatient server, its models loaded, and what it needs in memory to work there already."""
    home = tmp_path_factory.mktemp("hostile") / "home"
    with live.start(home, PROGRAM, STOCK=os.environ.get("STOCK", ""), **KEEP_HEAP) as server:
        server.wait_for(live.LOADED)
        asyncio.run(warm(server))
        yield server
