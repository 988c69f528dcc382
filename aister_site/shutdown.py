"""What happens between the order to stop and the end of the process. Event loop, in the main thread."""

import asyncio
import os
import sys
from collections.abc import Callable
from contextlib import suppress

from inference.apps import application, manager, sessions
from inference.response import all_ended
from inference.usage import ledger

GRACE_S = 20.0
CLOSE_S = 5.0


async def drain(say: Callable[[str], None]) -> None:
    """Let open requests end, write their usage, let go of the models: in this order, for each needs the next."""
    say("Stopping ...")
    await sessions().close(GRACE_S)
    await application().watch.close()
    await all_ended(CLOSE_S)
    await asyncio.to_thread(ledger.close)
    if not manager().is_loading:  # which nothing can interrupt
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.to_thread(manager().close), CLOSE_S)


def leave(say: Callable[[str], None], fault: Exception | None = None) -> None:
    """End the process here if a model is still being loaded, or does not end: Python would wait for its thread.

    All that must be kept is written by now. `fault` is why the server stopped, if not because it was asked to.
    """
    if manager().is_empty:
        return
    say("A model is still being loaded, or does not end: ending without it.")
    if fault:
        sys.stderr.write(f"aister: {fault}\n")
        sys.stderr.flush()
    os._exit(1 if fault else 0)
