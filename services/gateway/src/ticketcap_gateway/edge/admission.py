"""Admit requests that have a share left and can meet their deadline.

Little's law estimates a wait: with N requests of one kind for one object in
progress, and R of them answered in a second, the next one waits N/R seconds.
Each object's requests are counted apart, so that a stuck object refuses its own
callers only.
"""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from starlette.requests import Request
from ticketcap_chassis.concurrency.fair_quota import FairQuota
from ticketcap_chassis.errors import Busy, DeadlineExceeded, Unavailable

from ticketcap_gateway.edge.addresses import subscriber

# Fewer requests in progress allow no estimate.
_MIN_IN_PROGRESS: Final = 32
# A pace is measured over a third of the deadline at least: answers come in batches.
_MEASURED: Final = 1 / 3
# Of the deadline. A request admitted with less to spare would often miss it, and its work would be lost.
_WORTHWHILE: Final = 3 / 4
_LONGEST_RETRY_SECONDS: Final = 60.0
# These ends are no answers: the caller waited in vain, or did not get its turn.
_UNANSWERED: Final = (DeadlineExceeded, Unavailable, Busy, asyncio.CancelledError)


@dataclass(slots=True)
class _Pace:
    """Counts the requests for one object that are in progress, and how fast they are answered."""

    since: float
    in_progress: int = 0
    answered: float = 0.0

    def wait(self, now: float, seconds: float) -> float:
        """Return the seconds that one more request would wait; 0 where too little is known."""
        measured = now - self.since
        if self.in_progress < _MIN_IN_PROGRESS or measured < seconds * _MEASURED:
            return 0.0
        # Without any answer yet, none is to be expected at once.
        return self.in_progress * measured / self.answered if self.answered else measured

    def end(self, now: float, seconds: float, *, answered: bool) -> None:
        """Count the end of one request. Old answers lose half of their weight with each deadline that passes."""
        self.in_progress -= 1
        long = now - self.since > seconds
        if answered and long and not self.answered:
            # The first answer after a standstill: the time before it says nothing about the pace from now on.
            self.since = now
        self.answered += answered
        if long and self.answered:
            self.answered /= 2
            self.since += (now - self.since) / 2


class Admission:
    """Admits requests, at most ``share`` of one client address at once; ``address_of`` reads that address."""

    def __init__(
        self,
        address_of: Callable[[Request], str],
        *,
        most: int,
        share: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._address_of = address_of
        self._shares = FairQuota(most=most, share=share)
        self._clock = clock
        self._paces: dict[str, _Pace] = {}

    @contextmanager
    def share(self, request: Request) -> Iterator[None]:
        """Count a request of its address until its answer is sent. Raises Busy when the address has used its share up.

        Connections are shared among peers. Behind a trusted proxy the peer is
        the proxy, and one of its clients could have all of them at work.
        """
        holder = (subscriber(self._address_of(request)),)
        if self._shares.used_up(holder):
            raise Busy(
                f"{self._shares.share} requests of this address are in progress; wait for their answers",
                reason="TOO_MANY_REQUESTS",
            )
        with self._shares.hold(holder):
            yield

    @contextmanager
    def turn(self, request: Request, seconds: float) -> Iterator[None]:
        """Count a request for its object until it has an answer.

        Raises Unavailable, with the time after which there may be room, when
        its turn would come too late for its deadline of ``seconds``.
        """
        key = f"{request.method} {request.scope['path']}"
        now = self._clock()
        pace = self._paces.get(key)
        if pace is None:
            pace = self._paces[key] = _Pace(now)
        wait = pace.wait(now, seconds)
        if wait > seconds * _WORTHWHILE:
            raise Unavailable(
                f"{pace.in_progress} requests wait here, for about {wait:.0f} seconds; try again later",
                reason="OVERLOADED",
                retry_after=min(wait, _LONGEST_RETRY_SECONDS),
            )
        pace.in_progress += 1
        answered = True
        try:
            yield
        except _UNANSWERED:
            answered = False
            raise
        finally:
            pace.end(self._clock(), seconds, answered=answered)
            if not pace.in_progress:
                del self._paces[key]
