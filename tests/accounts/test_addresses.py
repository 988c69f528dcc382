"""accounts.addresses: whom a request counts for, and what nobody can make up."""

from typing import Any

import pytest
from django.conf import settings
from django.core.handlers.asgi import ASGIRequest
from django.test import RequestFactory

from accounts import addresses
from accounts.addresses import client_address

PROXY = "10.0.0.1"
CLIENT = "198.51.100.7"


@pytest.mark.parametrize("forwarded_for", ["", "203.0.113.9", "203.0.113.9, 198.51.100.7"])
def test_without_proxies_of_ours_nobody_is_believed(forwarded_for: str) -> None:
    assert client_address(CLIENT, forwarded_for, 0) == CLIENT


@pytest.mark.parametrize(
    ("forwarded_for", "trusted_proxies"),
    [
        (CLIENT, 1),
        (f"203.0.113.9, {CLIENT}", 1),
        (f"203.0.113.9,203.0.113.10 ,  {CLIENT}  ", 1),
        (f"203.0.113.9, {CLIENT}, 10.0.0.2", 2),
        (f"{CLIENT}, 10.0.0.2, 10.0.0.3", 3),
        ("," * 50_000 + CLIENT, 1),
    ],
)
def test_entries_count_from_the_right_whatever_stands_before(forwarded_for: str, trusted_proxies: int) -> None:
    assert client_address(PROXY, forwarded_for, trusted_proxies) == CLIENT


@pytest.mark.parametrize(
    ("forwarded_for", "trusted_proxies", "expected"),
    [("", 1, PROXY), ("", 3, PROXY), (f"{CLIENT}, 10.0.0.2", 3, CLIENT)],
)
def test_with_too_few_entries_the_leftmost_counts(forwarded_for: str, trusted_proxies: int, expected: str) -> None:
    assert client_address(PROXY, forwarded_for, trusted_proxies) == expected


@pytest.mark.parametrize(
    "entry", ["", "unknown", "_hidden", "example.com", "1.2.3", "1.2.3.4.5", "x" * 10_000, ":80", "[]"]
)
def test_what_is_no_address_counts_for_the_proxy_that_passed_it_on(entry: str) -> None:
    assert client_address(PROXY, entry, 1) == PROXY
    assert client_address(PROXY, f"{entry}, 10.0.0.2", 2) == "10.0.0.2"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("198.51.100.7:4711", "198.51.100.7"),
        ("[2001:db8:1:2::7]:443", "2001:db8:1:2::/64"),
        ("[2001:db8:1:2::7]", "2001:db8:1:2::/64"),
        ("2001:DB8:1:2:0:0:0:7", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff:ffff:ffff:ffff", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::7", "2001:db8:1:3::/64"),
        ("::ffff:198.51.100.7", "198.51.100.7"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::/64"),
    ],
)
def test_ports_are_left_out_and_ipv6_counts_by_network(text: str, expected: str) -> None:
    assert client_address(PROXY, text, 1) == expected
    assert client_address(text, "", 0) == expected


@pytest.mark.parametrize("peer", ["", "/run/aister.sock"])
def test_a_client_without_an_address_has_a_name(peer: str) -> None:
    assert client_address(peer, "", 0) == "unknown"


@pytest.mark.parametrize(
    ("trusted_proxies", "expected"), [(0, "10.0.0.1"), (1, "198.51.100.7"), (2, "203.0.113.9"), (9, "203.0.113.8")]
)
def test_sessions_and_requests_count_alike(
    trusted_proxies: int, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings.CONFIGURATION, "AISTER_TRUSTED_PROXIES", trusted_proxies)
    headers = [
        (b"x-forwarded-for", b"203.0.113.8"),
        (b"X-Forwarded-For", b"203.0.113.9, 198.51.100.7"),
        (b"x_forwarded_for", b"192.0.2.1"),
    ]
    scope: dict[str, Any] = {"type": "http", "method": "GET", "path": "/", "client": ["10.0.0.1", 4711]}
    scope["headers"] = headers
    assert addresses.of_session(scope) == expected
    assert addresses.of_request(ASGIRequest(scope, None)) == expected


def test_a_scope_without_a_client_is_unknown() -> None:
    assert addresses.of_session({"client": None, "headers": []}) == "unknown"
    assert addresses.of_session({"headers": []}) == "unknown"
    assert addresses.of_request(RequestFactory(REMOTE_ADDR="").get("/")) == "unknown"
