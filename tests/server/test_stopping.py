"""While a server stops, what is open may end, and nothing new is begun."""

import asyncio
import signal
from pathlib import Path

from tests import live
from tests.server.admin import usage
from tests.server.client import RAMBLE, RAMBLING, async_http, error_code, session
from tests.server.test_http import QUESTION, error


async def test_while_an_open_request_ends_new_ones_are_refused(tmp_path: Path) -> None:
    with live.start(tmp_path / "home") as server:
        server.wait_for(live.LOADED)
        async with session(server) as busy, session(server, "translate") as idle, async_http(server) as client:
            await client.get("/healthz")  # a connection that stays open when the server listens no more
            await busy.do("session.update", settings={**RAMBLING, "max_tokens": 400})
            await busy.send("message.create", "open", text=RAMBLE)
            await busy.until("response.delta")
            server.process.send_signal(signal.SIGTERM)
            assert await idle.receive() == {"type": "session.closing", "grace_s": 20.0}
            late = await idle.ask("translation.create", "late", text="Good morning", target="fr")
            over_http = await client.post("/v1/chat", json={"messages": QUESTION})
            events = await busy.until("response.done")
            ends = [await opened.closed() for opened in (busy, idle)]
        await asyncio.to_thread(server.process.wait, live.STOP_S)  # a second signal would cut the stopping short
    assert (late.types, late.code, late.last["id"]) == (["error"], "restarting", "late")
    assert error(over_http) == (503, "restarting", None)
    assert events[-1]["status"] == "completed"
    assert [(error_code(told[-1]), told[-1]["id"], code) for told, code in ends] == [("restarting", None, 1012)] * 2
    assert [row["status"] for row in usage(server, transport="websocket")] == ["completed"]
