"""The courtesy for every WebSocket path that is none: an error that says so, then close code 4404."""

from typing import Any

from channels.consumer import AsyncConsumer
from channels.exceptions import StopConsumer

from inference.callers import echoed_subprotocol
from inference.errors import AisterError
from inference.protocol import Error, encode, error_body


class UnknownPathConsumer(AsyncConsumer):
    """Accepts, tells, closes."""

    channel_layer_alias = ""

    async def websocket_connect(self, _message: dict[str, Any]) -> None:
        """Tell the client that there is nothing here."""
        error = AisterError("unknown_endpoint")
        event = Error(id=None, request_id=None, error=error_body(error))
        await self.send({"type": "websocket.accept", "subprotocol": echoed_subprotocol(self.scope["headers"])})
        await self.send({"type": "websocket.send", "text": encode(event)})
        await self.send({"type": "websocket.close", "code": error.row.close})

    async def websocket_receive(self, _message: dict[str, Any]) -> None:
        """Nothing that comes here is read."""

    async def websocket_disconnect(self, _message: dict[str, Any]) -> None:
        """The client has gone."""
        raise StopConsumer
