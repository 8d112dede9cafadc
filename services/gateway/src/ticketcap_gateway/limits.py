"""How often one client address may write: who the client is, and whether it has had its share."""

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from ticketcap_chassis.errors import Busy

from ticketcap_gateway.settings import Network

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

_IPV6_PREFIX: Final = 64
_MAX_ADDRESSES: Final = 50_000


def client_address(peer: str, forwarded_for: Sequence[str], trusted: Sequence[Network]) -> str:
    """Return the address a request really came from.

    ``forwarded_for`` are the X-Forwarded-For headers, in order. Each proxy adds
    whom it saw on the right, so the rightmost address that is not a trusted
    proxy is the client; what stands left of it is the client's own claim.
    """
    client = peer
    hops = [hop.strip() for header in forwarded_for for hop in header.split(",")]
    while hops and is_trusted(client, trusted):
        hop = _parse(hops.pop())
        if hop is None:
            break
        client = str(hop)
    return client


def is_trusted(address: str, trusted: Sequence[Network]) -> bool:
    """Say whether ``address`` is one of the ``trusted`` proxies."""
    parsed = _parse(address)
    return parsed is not None and any(parsed in network for network in trusted)


def _parse(address: str) -> IPAddress | None:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return None
    return getattr(parsed, "ipv4_mapped", None) or parsed


@lru_cache(maxsize=_MAX_ADDRESSES)
def subscriber(address: str) -> str:
    """Return what stands for one subscriber: an IPv4 address, or an IPv6 /64, which is one household."""
    parsed = _parse(address)
    if isinstance(parsed, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((parsed, _IPV6_PREFIX), strict=False))
    return address if parsed is None else str(parsed)


@dataclass(slots=True)
class _Window:
    """Counts of one address: in the running window and in the one before."""

    number: int
    current: int = 0
    previous: int = 0


class RateLimiter:
    """Allows ``limit`` uses per address in any ``window`` seconds, as a sliding-window counter.

    The window before this one counts for the part of it that the sliding window
    still covers. Memory is bounded: the address seen longest ago is forgotten
    when there are too many.
    """

    def __init__(
        self,
        limit: int | None,
        *,
        window: float = 3600.0,
        max_addresses: int = _MAX_ADDRESSES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limit = limit
        self._window = window
        self._max_addresses = max_addresses
        self._clock = clock
        self._windows: OrderedDict[str, _Window] = OrderedDict()

    def __len__(self) -> int:
        return len(self._windows)

    def use(self, address: str) -> None:
        """Count one use by ``address``, or raise Busy that says how long to wait."""
        if self._limit is None:
            return
        number, elapsed = divmod(self._clock(), self._window)
        window = self._window_of(subscriber(address), int(number))
        wait = self._wait(self._limit, window, elapsed)
        if wait > 0:
            raise Busy(
                f"this address may do this {self._limit} times in {self._window:g} seconds; wait {wait:.0f} seconds",
                reason="RATE_LIMITED",
                retry_after=wait,
            )
        window.current += 1

    def _window_of(self, key: str, number: int) -> _Window:
        window = self._windows.setdefault(key, _Window(number))
        self._windows.move_to_end(key)
        if window.number != number:
            window.previous = window.current if window.number == number - 1 else 0
            window.number, window.current = number, 0
        if len(self._windows) > self._max_addresses:
            self._windows.popitem(last=False)
        return window

    def _wait(self, limit: int, window: _Window, elapsed: float) -> float:
        """Return the seconds until one more use fits; 0 when it fits now."""
        if window.current >= limit:
            # Only in the next window, once enough of this one has slid out.
            return self._window - elapsed + self._window * (1 - (limit - 1) / window.current)
        room = limit - 1 - window.current
        if window.previous * (1 - elapsed / self._window) <= room:
            return 0.0
        return max(1.0, self._window * (1 - room / window.previous) - elapsed)
