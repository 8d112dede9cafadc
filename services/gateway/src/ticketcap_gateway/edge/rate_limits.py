"""Limit how often one address may write."""

import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
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

from ticketcap_gateway.edge.addresses import subscriber

_MAX_WINDOWS: Final = 50_000
_MAX_REPEATS: Final = 50_000
# Nothing was decided: the next attempt may succeed.
_FAILURES: Final = (Aborted, Busy, DeadlineExceeded, InternalError, Unavailable)


@dataclass(slots=True)
class _Window:
    """Counts of one address: in the current window and in the one before."""

    number: int
    current: int = 0
    previous: int = 0


class Use:
    """One use of an object; ``window`` is None where uses are not counted."""

    def __init__(self, window: _Window | None = None) -> None:
        self._window = window
        self._number = window.number if window else 0

    def cancel(self) -> None:
        """Make the use free; a second call is a no-op."""
        # By now the window may have become the previous one, or have slid out.
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

        A use is free when it fails without a decision, or when its input is
        invalid. ``request`` is a digest of the idempotency key and the body:
        after it was counted once, the same request is free from every address.
        """
        if request in self._repeats:
            self._repeats.move_to_end(request)
            yield Use()
            return
        use = self.use(address, of)
        # Before the request is served: a repeat that overtakes it is free as well.
        self._remember(request)
        try:
            yield use
        except BaseException as error:
            if _is_free(error):
                use.cancel()
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
        return Use(window)

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


def _is_free(error: BaseException) -> bool:
    if isinstance(error, InvalidInput):
        # Another body under a used key may be a guess at another client's key, so it is counted.
        return error.reason != "IDEMPOTENCY_KEY_REUSED"
    return not isinstance(error, ServiceError) or isinstance(error, _FAILURES)
