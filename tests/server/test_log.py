"""The server's log: no text of a client's, no key and no token gets into it, and nothing goes wrong unseen."""

import json
import re
import secrets

from accounts import keys
from tests.live import Server
from tests.server.admin import Admin, eventually, usage
from tests.server.client import RAMBLING, connected, http, refusal, session


async def test_neither_texts_nor_secrets_are_logged(live: Server, admin: Admin) -> None:
    marker = f"marker{secrets.token_hex(8)}"
    key, wrong = admin.make_key(), keys.generate(keys.Kind.KEY, keys.new_public_id())
    with http(live, key.headers) as client:
        token = client.post("/v1/tokens").json()["token"]
        client.post("/v1/chat", json={"messages": [{"role": "user", "text": marker}], "settings": {"system": marker}})
        client.post("/v1/chat", json={"messages": [{"role": "user", "text": marker * 9_000}], "stream": True})
        client.post("/v1/translate", json={"text": marker, "target": marker})
        client.post("/v1/translate", content=marker)
        client.post("/v1/translate", json={"text": [marker, {marker: marker}], "target": "fr"})
        client.post(f"/v1/chat?key={key.text}&text={marker}", json={marker: marker})
        client.post("/v1/chat", headers={"Authorization": f"Bearer {wrong}"})
        client.get(f"/v1/languages?model={marker}")
        client.get(f"/v1/{marker}/{key.text}")
        admin.post("/sign-in", code=marker)
    async with session(live, headers=key.headers) as chat, session(live, "translate", key.headers) as translation:
        await chat.do("session.update", settings={**RAMBLING, "system": marker, "stop": [marker], "max_tokens": 9})
        await chat.ask("message.create", text=marker)
        await chat.do("conversation.load", messages=[{"role": marker, "text": marker}])
        await chat.do(marker)
        await chat.do("message.edit", message_id=marker, text=marker)
        for frame in (marker, marker.encode(), json.dumps({"id": marker}), f'{{"type":"{marker}","id":"\\ud800'):
            await chat.say(frame)
        await translation.ask("translation.create", text=[marker, f"{marker}. {marker}!"], target="fr")
        await translation.ask("translation.create", text=marker, source=marker, target=marker)
        await chat.do("session.update", settings=RAMBLING)
        await chat.send("message.create", "long", text=marker)
        await chat.until("response.delta")
        chat.vanish()
    async with session(live, subprotocols=["aister.v1", f"aister.token.{token}"]):
        pass
    for offered in (token[:-1], wrong, key.text):
        await refusal(live, "/v1/chat", subprotocols=["aister.v1", f"aister.token.{offered}"])
    await refusal(live, f"/v1/chat?model={marker}&key={key.text}", key.headers)
    async with connected(live, f"/v1/nothing?{marker}") as lost:
        await lost.closed()
    eventually(lambda: usage(live, key_id=key.pk, status="cancelled"))  # the last that the server hears of all this
    log = live.log.read_text()
    assert marker not in log
    for secret in (key.text, token, wrong, live.key):
        assert secret not in log
        assert secret.rpartition("_")[2][:16] not in log
    assert not re.search("Traceback| ERROR | CRITICAL ", log), log
