"""Who asks, for sessions and HTTP alike: from headers to a `Caller`, with every refusal as an AisterError.

Event loop.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

from accounts import limits
from accounts.authentication import Caller, recognise_async
from accounts.errors import AccountError
from inference.errors import AisterError
from inference.protocol import SUBPROTOCOL, SessionLimits


@contextmanager
def account_errors() -> Iterator[None]:
    """Let what accounts refuse reach the client as a row of the error table."""
    try:
        yield
    except AccountError as error:
        raise AisterError(error.code, error.message, param=error.param, retry_after_s=error.retry_after_s) from None


def headers_of(scope_headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Return an ASGI scope's headers with lower-case names; the values of equal ones are joined by commas."""
    headers: dict[str, str] = {}
    for raw_name, raw_value in scope_headers:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        headers[name] = f"{headers[name]},{value}" if name in headers else value
    return headers


def echoed_subprotocol(scope_headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    """Return our subprotocol, which the handshake echoes, when a client offers it.

    From the header itself: the scope's list was unquoted, and what is echoed but not offered hangs the handshake.
    """
    offered = headers_of(scope_headers).get("sec-websocket-protocol", "").split(",")
    return SUBPROTOCOL if SUBPROTOCOL in (name.strip() for name in offered) else None


async def identify(headers: Mapping[str, str], address: str, *, task: str | None = None) -> Caller:
    """Return whose request this is, and check its origin and, where one is given, its task.

    `address` is where it comes from: failed attempts count for it. Raises AisterError: missing_key, malformed_key,
    wrong_key, revoked_key, expired_key, too_many_attempts, forbidden_origin, forbidden_task.
    """
    with account_errors():
        caller: Caller = await recognise_async(headers, address)
        caller.check_origin(headers.get("origin"))
        if task is not None:
            caller.check_task(task)
        return caller


def spend_request(caller: Caller) -> None:
    """Count one request of the key's allowance; raise AisterError (rate_limited) when there is none left."""
    with account_errors():
        limits.requests.spend(caller)


def session_limits(caller: Caller, *, open_requests: int, frame_bytes: int, text_characters: int) -> SessionLimits:
    """Return what a session may ask for."""
    allowance = limits.requests.look(caller)
    return SessionLimits(
        open_requests=open_requests,
        frame_bytes=frame_bytes,
        text_characters=text_characters,
        requests_per_minute=caller.requests_per_minute,
        requests_left=allowance.remaining if allowance else None,
    )
