"""Where a request comes from, as far as that can be believed. Pure but for the setting; any thread.

Whoever connects may send an X-Forwarded-For of their own, and each proxy adds to its right the address that it was
asked from. So only as many entries from the right count as there are proxies of the operator's
(AISTER_TRUSTED_PROXIES); what stands further left may be made up.
"""

import re
from collections.abc import Mapping
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Any

from django.conf import settings
from django.http import HttpRequest

UNKNOWN = "unknown"  # of a client on a Unix socket, for one
WITH_PORT = re.compile(r"\[([^\]]*)\](?::\d+)?|([^:]*):\d+")
HOUSEHOLD_BITS = 64  # what an IPv6 customer gets at least: addresses within cost nothing


def of_request(request: HttpRequest) -> str:
    """Return the address that a request over HTTP counts for. Django drops headers that only look like ours (`_`)."""
    return trusted_address(request.META.get("REMOTE_ADDR", ""), request.META.get("HTTP_X_FORWARDED_FOR", ""))


def of_session(scope: Mapping[str, Any]) -> str:
    """Return the address that a WebSocket session counts for, from its ASGI scope."""
    peer = (scope.get("client") or ("",))[0]
    lines = [value.decode("latin-1") for name, value in scope["headers"] if name.lower() == b"x-forwarded-for"]
    return trusted_address(peer, ",".join(lines))


def trusted_address(peer: str, forwarded_for: str) -> str:
    """Return the address to count for, with as many proxies as the operator has set."""
    return client_address(peer, forwarded_for, settings.CONFIGURATION.AISTER_TRUSTED_PROXIES)


def client_address(peer: str, forwarded_for: str, trusted_proxies: int) -> str:
    """Return the address that a request counts for.

    `peer` has connected to us; `forwarded_for` is the X-Forwarded-For header, lines joined by commas, of which the
    last `trusted_proxies` entries are believed. With fewer entries the leftmost counts, and for one that is no
    address the next to its right: the proxy that passed it on. IPv6 addresses count as their /64 network.
    """
    entries = forwarded_for.rsplit(",", trusted_proxies)[-trusted_proxies:] if trusted_proxies else []
    for hop in (*entries, peer):
        address = read(hop.strip())
        if address is not None:
            return group(address)
    return UNKNOWN


def read(text: str) -> IPv4Address | IPv6Address | None:
    """Return the address in a text, with or without a port, None when there is none."""
    if match := WITH_PORT.fullmatch(text):
        text = match[1] or match[2] or ""
    try:
        return ip_address(text)
    except ValueError:
        return None


def group(address: IPv4Address | IPv6Address) -> str:
    """Return what an address is counted as: an IPv6 customer has more addresses than anyone can count."""
    if isinstance(address, IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(IPv6Network((int(address), HOUSEHOLD_BITS), strict=False))
