"""Requests of plain HTTP clients, through Django: an exchange lives as long as its client."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from channels.db import database_sync_to_async
from django.core.asgi import get_asgi_application

from accounts.models import ApiKey
from inference import exchange
from inference.apps import application, sessions
from inference.catalog import Catalog, ModelEntry
from inference.manager import ModelManager
from inference.usage import Ledger
from inference.views import tasks
from tests.inference.test_manager import Loads
from tests.inference.test_response import Rows, ScriptedAnswer

pytestmark = pytest.mark.django_db(transaction=True)

Message = dict[str, Any]
WORDS = 50_000  # seconds of work, for an engine that says one a step


@pytest.fixture
def rows() -> Rows:
    return Rows()


@pytest.fixture
def loads() -> Loads:
    return Loads()


@pytest.fixture(autouse=True)
async def _scripted(rows: Rows, loads: Loads, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """A manager with a scripted model, which answers every chat with many words; a ledger that keeps its rows."""
    entry = ModelEntry(id="a", task="chat", source="/nowhere", is_default=True)
    manager = ModelManager(Catalog([entry]), loads, budget_bytes=1000, queue_capacity=8)
    ledger = Ledger(rows)
    monkeypatch.setattr(application(), "manager", manager)
    monkeypatch.setattr(exchange, "ledger", ledger)
    monkeypatch.setattr(tasks, "chat_answer", lambda _body: ScriptedAnswer(["a"] * WORDS))
    yield
    loads.gate.set()
    await asyncio.to_thread(manager.close)
    await asyncio.to_thread(ledger.close)
    assert ledger.reserved == 0, "a place was never given back"
    assert not sessions().sessions


def make_key() -> str:
    key = ApiKey(name="exchange")
    text = key.make_secret()
    key.save()
    return text


class Client:
    """An HTTP client on the other side of an ASGI application. It goes when a message makes `leaves_at` true."""

    def __init__(self, leaves_at: Callable[[Message], bool] = lambda _message: False) -> None:
        self.leaves_at = leaves_at
        self.gone = asyncio.Event()
        self.messages: list[Message] = []
        self.hears = asyncio.Event()

    async def ask(self, **fields: Any) -> None:
        """Send a request and return when the application has ended it."""
        key = await database_sync_to_async(make_key)()
        body = json.dumps({"messages": [{"role": "user", "text": "?"}], **fields}).encode()
        self.requests = [{"type": "http.request", "body": body, "more_body": False}]
        headers = [(b"authorization", f"Bearer {key}".encode()), (b"host", b"localhost")]
        scope = {"type": "http", "method": "POST", "path": "/v1/chat", "query_string": b"", "headers": headers}
        async with asyncio.timeout(20):
            await get_asgi_application()(scope, self.receive, self.send)  # type: ignore[arg-type]

    @property
    def body(self) -> str:
        """What it was sent."""
        return b"".join(message.get("body", b"") for message in self.messages).decode()

    async def receive(self) -> Message:
        if self.requests:
            return self.requests.pop()
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        self.messages.append(message)
        if message.get("body"):
            self.hears.set()
        if self.leaves_at(message):
            self.gone.set()
            await asyncio.Event().wait()  # until the application notices


async def begun() -> None:
    async with asyncio.timeout(20):
        while not sessions().sessions:  # noqa: ASYNC110  # until a request is open
            await asyncio.sleep(0.001)


async def row_status(rows: Rows) -> str:
    async with asyncio.timeout(20):
        while not rows.rows or sessions().sessions:  # noqa: ASYNC110  # nobody is told of a row whose client has gone
            await asyncio.sleep(0.001)
    return str(rows.rows[0].status)


@pytest.mark.parametrize("kind", ["http.response.start", "http.response.body"])
async def test_a_client_that_leaves_a_stream_cancels_its_request(kind: str, rows: Rows) -> None:
    client = Client(lambda message: bool(message["type"] == kind))
    await client.ask(stream=True)
    assert await row_status(rows) == "cancelled"


@pytest.mark.parametrize("stream", [False, True])
async def test_a_request_of_a_revoked_key_ends_with_an_error_about_no_event(stream: bool, rows: Rows) -> None:
    client = Client()
    asking = asyncio.create_task(client.ask(stream=stream))
    await begun()
    if stream:
        await client.hears.wait()
    (asked,) = sessions().sessions
    sessions().end_key(asked.key_id)
    await asking
    last = client.body.rsplit("data: ", 1)[-1]
    assert (json.loads(last)["id"], json.loads(last)["error"]["code"]) == (None, "revoked_key")
    assert client.messages[0]["status"] == (200 if stream else 401)
    assert await row_status(rows) == "cancelled"


async def test_a_client_that_leaves_before_its_answer_cancels_its_request(rows: Rows) -> None:
    client = Client()
    asking = asyncio.create_task(client.ask())
    await begun()
    client.gone.set()
    await asking
    assert client.messages == []
    assert await row_status(rows) == "cancelled"
