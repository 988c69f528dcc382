"""People with a browser: visitors of the playground, and the operator, who looks at usage and downloads it."""

import asyncio
import re

from benchmarks.soak.client import Client

STATIC = re.compile(r'(?:href|src)="(/static/[^"]+)"')
API = ["/v1/models", "/v1/languages", "/healthz", "/readyz"]
USAGE = "/admin/inference/usagerecord/"


async def visit(client: Client) -> None:
    """Open the playground and what it loads, then what its script asks for."""
    page = await client.get("/", "playground")
    for path in sorted(set(STATIC.findall(page.text))):
        await client.get(path, "static file")
    for path in API:
        await client.get(path, "API page")
    await client.think(4.0)


async def sign_in(client: Client) -> None:
    """Sign in with a link, as the operator does who has a terminal."""
    link = await asyncio.to_thread(client.server.manage, "signin", "--url", client.server.url)
    await client.http.get("/sign-in")
    form = {"csrfmiddlewaretoken": client.http.cookies["csrftoken"], "code": link.partition("#")[2].split()[0]}
    response = await client.http.post("/sign-in", data=form)
    if response.status_code != 302:
        client.record.cut_off(client.who, f"sign-in: {response.status_code}")


async def operate(client: Client) -> None:
    """Look at the usage, filtered and not, at the keys, and download what there is."""
    if "sessionid" not in client.http.cookies:
        await sign_in(client)
    for query in ("", "?from=today&task=chat", "?status=cancelled", "?p=2"):
        await client.get(USAGE + query, "usage page")
        await client.think(4.0)
    await client.get(f"{USAGE}keys/", "usage page")
    await client.get("/admin/accounts/apikey/", "keys page")
    await client.get(f"{USAGE}keys/csv/", "CSV of keys")
    await client.think(4.0)
    await client.get(f"{USAGE}csv/?status=failed" if client.chance(0.7) else f"{USAGE}csv/", "CSV of requests")
    await client.think(20.0)
