"""Identify the client of a request by its address."""

import ipaddress
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

_IPV6_PREFIX: Final = 64
_MAX_SUBSCRIBERS: Final = 50_000
# How proxies write an address: bare, with a port, an IPv6 address in brackets and then perhaps with a port.
_HOP: Final = re.compile(r"\[(?P<v6>[^\]]+)\](?::\d{1,5})?|(?P<v4>[\d.]+):\d{1,5}|(?P<bare>.*)", re.DOTALL | re.ASCII)
# A name that a proxy gives a client whose address it hides (RFC 7239, section 6.3).
_OBFUSCATED: Final = re.compile(r"_[A-Za-z0-9._-]{1,62}")


def client_address(peer: str, forwarded_for: Sequence[str], trusted: Sequence[Network]) -> str:
    """Return the address a request came from, or the name that a trusted proxy gave its client.

    ``forwarded_for`` are the X-Forwarded-For headers, in order. Each proxy adds
    its own peer on the right, so the rightmost entry that is not a trusted
    proxy is the client; the entries left of it are the client's own claim. An
    entry that names no client ("unknown") is skipped: otherwise all clients of
    that proxy would count as one.
    """
    client = peer
    hops = [hop for header in forwarded_for for hop in header.split(",")]
    while hops and is_trusted(client, trusted):
        client = _client_in(hops.pop()) or client
    return client


def _client_in(hop: str) -> str:
    """Return the client that one entry names; "" when it names none."""
    entry = hop.strip().strip('"')
    match = _HOP.fullmatch(entry)
    address = _parse(match[match.lastgroup]) if match and match.lastgroup else None
    if address is not None:
        return str(address)
    return entry if _OBFUSCATED.fullmatch(entry) else ""


def is_trusted(address: str, trusted: Sequence[Network]) -> bool:
    """Say whether ``address`` is one of the ``trusted`` proxies."""
    parsed = _parse(address)
    return parsed is not None and any(parsed in network for network in trusted)


@lru_cache(maxsize=_MAX_SUBSCRIBERS)
def subscriber(address: str) -> str:
    """Return the name of one subscriber: an IPv4 address, or an IPv6 /64, which is one household."""
    parsed = _parse(address)
    if isinstance(parsed, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((parsed, _IPV6_PREFIX), strict=False))
    return address if parsed is None else str(parsed)


def _parse(address: str) -> IPAddress | None:
    try:
        # Without a zone ("fe80::1%eth0"): it names an interface of the machine that wrote it.
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return None
    return getattr(parsed, "ipv4_mapped", None) or parsed
