"""What happens between the order to stop and the end of the process. Event loop, in the main thread."""

import asyncio
import os
from collections.abc import Callable

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
    if manager().is_loading:
        say("A model is still being loaded: ending without it.")
        os._exit(0)  # all that must be kept is written, and Python would wait for the loader's thread
    try:
        await asyncio.wait_for(asyncio.to_thread(manager().close), CLOSE_S)
    except TimeoutError:
        say("A model does not end: ending without it.")
        os._exit(0)
