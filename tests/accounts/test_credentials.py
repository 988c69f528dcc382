"""accounts.credentials: where a request carries its key or token."""

import pytest

from accounts import credentials, keys
from accounts.errors import AccountError

KEY = keys.generate(keys.Kind.KEY, "abcDEF0123")
TOKEN = keys.generate(keys.Kind.TOKEN, "abcDEF0123")


@pytest.mark.parametrize("value", ["Bearer {}", "bearer {}", "  BEARER   {} "])
def test_a_key_comes_in_the_authorization_header(value: str) -> None:
    assert credentials.from_headers({"authorization": value.format(KEY)}) == KEY


def test_a_token_may_come_in_the_authorization_header() -> None:
    assert credentials.from_headers({"authorization": f"Bearer {TOKEN}"}) == TOKEN


@pytest.mark.parametrize("value", ["aister.v1, aister.token.{}", "aister.token.{},aister.v1", "aister.token.{}"])
def test_a_token_comes_among_the_subprotocols(value: str) -> None:
    assert credentials.from_headers({"sec-websocket-protocol": value.format(TOKEN)}) == TOKEN


def test_the_header_wins_over_the_subprotocols() -> None:
    headers = {"authorization": f"Bearer {KEY}", "sec-websocket-protocol": f"aister.token.{TOKEN}"}
    assert credentials.from_headers(headers) == KEY


@pytest.mark.parametrize(
    "headers",
    [{}, {"authorization": ""}, {"sec-websocket-protocol": "aister.v1"}, {"sec-websocket-protocol": "chat, realtime"}],
)
def test_no_credentials_are_none(headers: dict[str, str]) -> None:
    assert credentials.from_headers(headers) is None


@pytest.mark.parametrize("value", ["Basic dTpw", "Bearer", "Bearer  ", "{}"])
def test_another_scheme_than_bearer_is_refused(value: str) -> None:
    with pytest.raises(AccountError) as caught:
        credentials.from_headers({"authorization": value.format(KEY)})
    assert (caught.value.code, caught.value.message) == (
        "malformed_key",
        "The Authorization header is not 'Bearer <key>'. Send 'Authorization: Bearer <key>'.",
    )


@pytest.mark.parametrize("protocol", ["aister.token.{}", "{}"])
def test_a_key_among_the_subprotocols_is_refused(protocol: str) -> None:
    with pytest.raises(AccountError) as caught:
        credentials.from_headers({"sec-websocket-protocol": f"aister.v1, {protocol.format(KEY)}"})
    assert (caught.value.code, caught.value.message) == (
        "malformed_key",
        "That is a key, and a subprotocol takes only a token: proxies log it. Send the key as "
        "'Authorization: Bearer <key>', or exchange it for a token at POST /v1/tokens.",
    )


def test_an_empty_token_is_malformed() -> None:
    text = credentials.from_headers({"sec-websocket-protocol": "aister.v1, aister.token."})
    assert text == ""
    with pytest.raises(AccountError) as caught:
        keys.parse(text)
    assert caught.value.code == "malformed_key"
