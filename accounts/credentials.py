"""Where a client puts its key or token: the Authorization header, or a subprotocol. Pure: no database, any thread."""

from collections.abc import Iterable, Mapping

from accounts import keys
from accounts.errors import AccountError

PROTOCOL = "aister.v1"
TOKEN_PREFIX = "aister.token."
NO_SCHEME = "The Authorization header is not 'Bearer <key>'. Send 'Authorization: Bearer <key>'."
KEY_IN_SUBPROTOCOL = (
    "That is a key, and a subprotocol takes only a token: proxies log it. "
    "Send the key as 'Authorization: Bearer <key>', or exchange it for a token at POST /v1/tokens."
)


def from_headers(headers: Mapping[str, str]) -> str | None:
    """Return the key or token that a request carries, None when it carries none.

    `headers` has lower-case names; of several equal ones, the values joined by commas. The Authorization header wins
    over subprotocols. Raises AccountError `malformed_key` for another scheme than Bearer, and for a key among the
    subprotocols.
    """
    authorization = headers.get("authorization", "").strip()
    if authorization:
        return from_authorization(authorization)
    return from_subprotocols(protocol.strip() for protocol in headers.get("sec-websocket-protocol", "").split(","))


def from_authorization(value: str) -> str:
    """Return what follows `Bearer`."""
    scheme, _, text = value.partition(" ")
    if scheme.lower() != "bearer" or not text.strip():
        raise AccountError("malformed_key", NO_SCHEME)
    return text.strip()


def from_subprotocols(protocols: Iterable[str]) -> str | None:
    """Return the token among the subprotocols that a client offers, as in `aister.v1, aister.token.<token>`."""
    for protocol in protocols:
        text = protocol.removeprefix(TOKEN_PREFIX)
        if text.startswith(f"{keys.Kind.KEY}_"):
            raise AccountError("malformed_key", KEY_IN_SUBPROTOCOL)
        if text != protocol:
            return text
    return None
