"""Admit requests: a share for each address, and none that would wait beyond its deadline.

A wait is foretold by Little's law: with N requests of one kind for one object
under way, and R of them answered in a second, the next one waits N/R seconds.
Each object's requests are counted apart, so that a stuck event refuses its own
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

from ticketcap_gateway.access.callers import Access
from ticketcap_gateway.edge.rate_limits import subscriber

# So few requests under way foretell nothing.
_MIN_UNDER_WAY: Final = 32
# A pace is measured over a third of the deadline at least: answers come in batches.
_MEASURED: Final = 1 / 3
# Of the deadline. What is admitted on its edge would find it passed as often as not, and its work be lost.
_WORTHWHILE: Final = 3 / 4
_LONGEST_RETRY_SECONDS: Final = 60.0
# Ends that are no answers: the caller waited, or did not get its turn.
_UNANSWERED: Final = (DeadlineExceeded, Unavailable, Busy, asyncio.CancelledError)


@dataclass(slots=True)
class _Pace:
    """How many requests for one object are under way, and how fast they are answered."""

    since: float
    under_way: int = 0
    answered: float = 0.0

    def wait(self, now: float, seconds: float) -> float:
        """Return the seconds that one more request would wait; 0 where too little is known."""
        measured = now - self.since
        if self.under_way < _MIN_UNDER_WAY or measured < seconds * _MEASURED:
            return 0.0
        # Where nothing was answered yet, nothing will be at once.
        return self.under_way * measured / self.answered if self.answered else measured

    def end(self, now: float, seconds: float, *, answered: bool) -> None:
        """Take in that one has ended. What is long ago counts ever less."""
        self.under_way -= 1
        long = now - self.since > seconds
        if answered and long and not self.answered:
            # A standstill is over, and says nothing about the pace from now on.
            self.since = now
        self.answered += answered
        if long and self.answered:
            self.answered /= 2
            self.since += (now - self.since) / 2


class Admission:
    """Lets requests in, at most ``share`` of one client address at once."""

    def __init__(self, access: Access, *, most: int, share: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._access = access
        self._shares = FairQuota(most=most, share=share)
        self._clock = clock
        self._paces: dict[str, _Pace] = {}

    @contextmanager
    def share(self, request: Request) -> Iterator[None]:
        """Count a request of its address until its answer is sent. Raises Busy when the address has its share.

        Connections are shared among peers. Behind a trusted proxy the peer is
        the proxy, and one of its clients could have all of them at work.
        """
        holder = (subscriber(self._access.address(request)),)
        if self._shares.used_up(holder):
            raise Busy(
                f"{self._shares.share} requests of this address are under way; wait for their answers",
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
                f"{pace.under_way} requests wait here, for about {wait:.0f} seconds; try again later",
                reason="OVERLOADED",
                retry_after=min(wait, _LONGEST_RETRY_SECONDS),
            )
        pace.under_way += 1
        answered = True
        try:
            yield
        except _UNANSWERED:
            answered = False
            raise
        finally:
            pace.end(self._clock(), seconds, answered=answered)
            if not pace.under_way:
                del self._paces[key]
