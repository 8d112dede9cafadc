"""FairQuota one WatchEvent stream per watched event among all who watch it."""

import asyncio
import contextvars
import copy
import random
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Final, Protocol

from ticketcap.registration.v1 import registration_pb2 as pb
from ticketcap_chassis.concurrency.fair_quota import FairQuota
from ticketcap_chassis.errors import Aborted, Busy, DeadlineExceeded, InternalError, ServiceError, Unavailable
from ticketcap_observability import get_logger, sentry

from ticketcap_gateway.edge.rate_limits import subscriber

_FIRST_BACKOFF_SECONDS: Final = 0.1
_LONGEST_BACKOFF_SECONDS: Final = 2.0
_PACE_SECONDS: Final = 0.25
"""The shortest time between two updates of an event's watchers: in a rush its seats change many times a second, and
each update is work for every watcher."""
_PASSING: Final = (Unavailable, Busy, Aborted, DeadlineExceeded, InternalError)

_log = get_logger(__name__)


class EventWatcher(Protocol):
    """Whoever tells the seats of an event."""

    def watch_event(self, request: pb.WatchEventRequest) -> AsyncGenerator[pb.WatchEventResponse, None]:
        """Yield the seats now, then each change."""
        ...


@dataclass(frozen=True, slots=True)
class SeatsUpdate:
    """The newest seats, and how many registrations were promoted since the watcher's last update."""

    seats: pb.Seats
    promoted: int


class _Feed:
    """The newest seats of one event, kept so by a task of its own."""

    def __init__(self, source: EventWatcher, request: pb.WatchEventRequest, *, renew_seconds: float) -> None:
        self._source = source
        self._request = request
        self._renew_seconds = renew_seconds
        self.seats: pb.Seats | None = None
        self.changes = 0
        self.promoted = 0
        self.failure: ServiceError | None = None
        self.ended = False
        self.watchers = 0
        self._changed = asyncio.Event()
        self._woken_at = -_PACE_SECONDS
        self._wake_later: asyncio.TimerHandle | None = None
        # A context of its own: the stream outlives the request that opened it, and its deadline.
        self._task = asyncio.get_running_loop().create_task(self._run(), context=contextvars.Context())

    async def next_change(self) -> None:
        """Wait until anything changes."""
        await self._changed.wait()

    async def close(self) -> None:
        """End the stream; all who watch see the end."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._end(None)

    async def _run(self) -> None:
        backoff = _FIRST_BACKOFF_SECONDS
        while True:
            changes = self.changes
            try:
                if await self._follow():
                    continue
            except _PASSING as error:
                # What a client calls an event that is not known yet is no id.
                event_id = "" if self.seats is None else self.seats.event_id
                _log.warning("watch.interrupted", event_id=event_id, reason=error.reason)
            except ServiceError as error:
                return self._end(error)
            except Exception as error:  # noqa: BLE001 - whoever watches must learn of it
                _log.error("watch.unexpected_error", exc_info=error)
                sentry.report(error)
                return self._end(InternalError("an unexpected error; the log has it"))
            backoff = _FIRST_BACKOFF_SECONDS if self.changes > changes else min(backoff * 2, _LONGEST_BACKOFF_SECONDS)
            await asyncio.sleep(backoff * random.uniform(0.5, 1.0))  # noqa: S311 - spreads reconnects

    async def _follow(self) -> bool:
        """Publish what one stream brings; True when its time was over, False when the service ended it."""
        try:
            # A service that hangs looks like an event where nothing happens: only a new stream tells them apart.
            async with (
                asyncio.timeout(self._renew_seconds),
                aclosing(self._source.watch_event(self._request)) as responses,
            ):
                async for response in responses:
                    self._publish(response)
        except TimeoutError:
            return True
        return False

    def _publish(self, response: pb.WatchEventResponse) -> None:
        if self.seats == response.seats and not response.promoted:
            return
        self.seats = response.seats
        self.promoted += response.promoted
        self.changes += 1
        self._wake_paced()

    def _end(self, failure: ServiceError | None) -> None:
        self.failure = self.failure or failure
        self.ended = True
        self._wake()

    def _wake_paced(self) -> None:
        if self._wake_later is not None:
            return
        loop = asyncio.get_running_loop()
        wait = self._woken_at + _PACE_SECONDS - loop.time()
        if wait <= 0:
            self._wake()
        else:
            self._wake_later = loop.call_later(wait, self._wake)

    def _wake(self) -> None:
        if self._wake_later is not None:
            self._wake_later.cancel()
            self._wake_later = None
        self._woken_at = asyncio.get_running_loop().time()
        # Who waits now is woken; who comes later waits on a new event.
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()


class Subscription:
    """One watcher's view: it always gets the newest seats, not every step."""

    def __init__(self, feed: _Feed) -> None:
        self._feed = feed
        self._seen = 0
        self._promoted = feed.promoted

    async def next(self) -> SeatsUpdate | None:
        """Return the newest seats once they differ from the last ones; None when there will be no more.

        Raises the ServiceError that ended the stream. Cancelling loses nothing.
        """
        feed = self._feed
        while feed.changes == self._seen and not feed.ended:
            await feed.next_change()
        if feed.changes > self._seen and feed.seats is not None:
            promoted = feed.promoted - self._promoted
            self._seen, self._promoted = feed.changes, feed.promoted
            return SeatsUpdate(feed.seats, promoted)
        if feed.failure is not None:
            raise copy.copy(feed.failure)
        return None


class CapacityHub:
    """Every watched event's feed. A feed ends with its last watcher.

    A new stream to the service replaces a feed's stream after ``renew_seconds``.
    """

    def __init__(
        self,
        source: EventWatcher,
        *,
        max_watchers: int,
        max_of_event: int,
        max_watchers_per_address: int,
        renew_seconds: float,
    ) -> None:
        self._source = source
        self._renew_seconds = renew_seconds
        self._max_of_event = max_of_event
        self._shares = FairQuota(most=max_watchers, share=max_watchers_per_address)
        self._feeds: dict[tuple[str, str], _Feed] = {}
        self._closed = False

    @property
    def watchers(self) -> int:
        """How many watch now."""
        return self._shares.held

    @property
    def feeds(self) -> int:
        """How many streams to the registration service are open."""
        return len(self._feeds)

    @asynccontextmanager
    async def subscribe(self, school: str, event: str, *, address: str) -> AsyncIterator[Subscription]:
        """Watch an event while the code inside runs.

        Raises Unavailable when too many watch, or too many this event, or too
        many of this address, or the gateway stops.
        """
        holder = (subscriber(address),)
        self._refuse_if_full(holder)
        feed = self._feed(school, event)
        if feed.watchers >= self._max_of_event:
            raise Unavailable(f"{self._max_of_event} streams of this event are open already", reason="TOO_MANY_STREAMS")
        with self._shares.hold(holder):
            feed.watchers += 1
            try:
                yield Subscription(feed)
            finally:
                feed.watchers -= 1
                if not feed.watchers:
                    await self._forget((school, event.lower()), feed)

    async def close(self) -> None:
        """End every feed, so that every watcher's stream ends."""
        self._closed = True
        await asyncio.gather(*(feed.close() for feed in list(self._feeds.values())))

    def _refuse_if_full(self, holder: tuple[str]) -> None:
        if self._closed:
            raise Unavailable("the gateway is stopping; try again")
        if self._shares.is_full:
            raise Unavailable(f"{self._shares.most} streams are open already", reason="TOO_MANY_STREAMS")
        if self._shares.used_up(holder):
            raise Unavailable(
                f"this address has {self._shares.share} streams open; close one, or try again later",
                reason="TOO_MANY_STREAMS",
            )

    def _feed(self, school: str, event: str) -> _Feed:
        feed = self._feeds.get((school, event.lower()))
        if feed is None or feed.ended:
            request = pb.WatchEventRequest(school=school, event=event)
            feed = _Feed(self._source, request, renew_seconds=self._renew_seconds)
            self._feeds[school, event.lower()] = feed
        return feed

    async def _forget(self, key: tuple[str, str], feed: _Feed) -> None:
        if self._feeds.get(key) is feed:
            del self._feeds[key]
        await feed.close()
