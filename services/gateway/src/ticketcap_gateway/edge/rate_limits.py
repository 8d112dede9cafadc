"""Identify the client of a request, and limit how often it may write."""

import ipaddress
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from ticketcap_chassis.errors import (
    Aborted,
    Busy,
    DeadlineExceeded,
    InternalError,
    InvalidInput,
    ServiceError,
    Unavailable,
)

from ticketcap_gateway.settings import Network

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

_IPV6_PREFIX: Final = 64
_MAX_WINDOWS: Final = 50_000
_MAX_REPEATS: Final = 50_000
# How proxies write an address: bare, with a port, an IPv6 address in brackets and then perhaps with a port.
_HOP: Final = re.compile(r"\[(?P<v6>[^\]]+)\](?::\d{1,5})?|(?P<v4>[\d.]+):\d{1,5}|(?P<bare>.*)", re.DOTALL | re.ASCII)
# A name that a proxy gives a client whose address it hides (RFC 7239, section 6.3).
_OBFUSCATED: Final = re.compile(r"_[A-Za-z0-9._-]{1,62}")
# Nothing was decided: the next try may succeed.
_FAILURES: Final = (Aborted, Busy, DeadlineExceeded, InternalError, Unavailable)


def client_address(peer: str, forwarded_for: Sequence[str], trusted: Sequence[Network]) -> str:
    """Return the address a request really came from, or the name that a trusted proxy gave its client.

    ``forwarded_for`` are the X-Forwarded-For headers, in order. Each proxy adds
    whom it saw on the right, so the rightmost entry that is not a trusted
    proxy is the client; what stands left of it is the client's own claim. An
    entry that names no client ("unknown") is skipped: otherwise all clients of
    that proxy would count as one.
    """
    client = peer
    hops = [hop for header in forwarded_for for hop in header.split(",")]
    while hops and is_trusted(client, trusted):
        client = _named(hops.pop()) or client
    return client


def _named(hop: str) -> str:
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


def _parse(address: str) -> IPAddress | None:
    try:
        # Without a zone ("fe80::1%eth0"): it names an interface of the machine that wrote it.
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return None
    return getattr(parsed, "ipv4_mapped", None) or parsed


@lru_cache(maxsize=_MAX_WINDOWS)
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


class Use:
    """A use that may turn out to cost nothing; the base class is one that was never counted."""

    def give_back(self) -> None:
        """Let the use cost nothing."""


class _Counted(Use):
    def __init__(self, window: _Window) -> None:
        self._window: _Window | None = window
        self._number = window.number

    def give_back(self) -> None:
        # Once only. By now the window may have become the previous one, or have slid out.
        window, self._window = self._window, None
        if window is None:
            return
        if window.number == self._number:
            window.current -= 1
        elif window.number == self._number + 1:
            window.previous -= 1


class RateLimiter:
    """Allows ``limit`` uses per address and object in any ``window`` seconds, as a sliding-window counter.

    The window before this one counts for the part of it that the sliding window
    still covers. Memory is bounded: the windows and the repeats seen longest ago
    are forgotten when there are too many.
    """

    def __init__(
        self,
        limit: int | None,
        *,
        window: float = 3600.0,
        max_windows: int = _MAX_WINDOWS,
        max_repeats: int = _MAX_REPEATS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limit = limit
        self._window = window
        self._max_windows = max_windows
        self._max_repeats = max_repeats
        self._clock = clock
        self._windows: OrderedDict[tuple[str, str], _Window] = OrderedDict()
        self._repeats: OrderedDict[bytes, None] = OrderedDict()

    def __len__(self) -> int:
        return max(len(self._windows), len(self._repeats))

    @contextmanager
    def one_use(self, address: str, of: str, *, request: bytes = b"") -> Iterator[Use]:
        """Count the code inside as one use of the object ``of``, or raise Busy.

        A use costs nothing when it fails without a decision, or when its input
        is wrong. ``request`` is a digest of the idempotency key and the body:
        a request that was counted is free from then on, whichever its address.
        """
        if request in self._repeats:
            self._repeats.move_to_end(request)
            yield Use()
            return
        use = self.use(address, of)
        # Before the answer: a repeat that overtakes it is free as well.
        self._remember(request)
        try:
            yield use
        except BaseException as error:
            if _costs_nothing(error):
                use.give_back()
                self._repeats.pop(request, None)
            raise

    def use(self, address: str, of: str = "") -> Use:
        """Count one use by ``address``, or raise Busy that says how long to wait."""
        if self._limit is None:
            return Use()
        number, elapsed = divmod(self._clock(), self._window)
        window = self._window_of((subscriber(address), of), int(number))
        wait = self._wait(self._limit, window, elapsed)
        if wait > 0:
            raise Busy(
                f"this address may do this {self._limit} times in {self._window:g} seconds; wait {wait:.0f} seconds",
                reason="RATE_LIMITED",
                retry_after=wait,
            )
        window.current += 1
        return _Counted(window)

    def _remember(self, request: bytes) -> None:
        if self._limit is None or not request:
            return
        self._repeats[request] = None
        if len(self._repeats) > self._max_repeats:
            self._repeats.popitem(last=False)

    def _window_of(self, key: tuple[str, str], number: int) -> _Window:
        window = self._windows.setdefault(key, _Window(number))
        self._windows.move_to_end(key)
        if window.number != number:
            window.previous = window.current if window.number == number - 1 else 0
            window.number, window.current = number, 0
        if len(self._windows) > self._max_windows:
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


def _costs_nothing(error: BaseException) -> bool:
    if isinstance(error, InvalidInput):
        # Another body under a key that was used is no slip: it may be a guess at another client's key.
        return error.reason != "IDEMPOTENCY_KEY_REUSED"
    return not isinstance(error, ServiceError) or isinstance(error, _FAILURES)
