"""Share one WatchEvent stream per event among all clients that watch it.

A seat watch is owned by its task, `_run`, which alone publishes seats and ends
the watch. Readers never touch the stream: they wait for the next change and
then read the newest seats, so a slow reader skips steps and delays no other.
"""

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
from ticketcap_observability import get_logger

from ticketcap_gateway import telemetry
from ticketcap_gateway.edge.addresses import subscriber

_FIRST_BACKOFF_SECONDS: Final = 0.1
_LONGEST_BACKOFF_SECONDS: Final = 2.0
_PACE_SECONDS: Final = 0.25
"""The shortest time between two updates of an event's readers: in a rush its seats change many times a second, and
each update is work for every reader."""
_PASSING: Final = (Unavailable, Busy, Aborted, DeadlineExceeded, InternalError)

_log = get_logger(__name__)


class SeatSource(Protocol):
    """Streams the seats of an event."""

    def watch_event(self, request: pb.WatchEventRequest) -> AsyncGenerator[pb.WatchEventResponse, None]:
        """Yield the seats now, then each change."""
        ...


@dataclass(frozen=True, slots=True)
class SeatsUpdate:
    """The newest seats, and the number of registrations promoted since the reader's last update."""

    seats: pb.Seats
    promoted: int


class SeatWatch:
    """The newest seats of one event; ``changes`` and ``promoted`` only grow."""

    def __init__(self, source: SeatSource, request: pb.WatchEventRequest, *, renew_seconds: float) -> None:
        self._source = source
        self._request = request
        self._renew_seconds = renew_seconds
        self.seats: pb.Seats | None = None
        self.changes = 0
        self.promoted = 0
        self.failure: ServiceError | None = None
        self.ended = False
        self.readers = 0
        self._changed = asyncio.Event()
        self._woken_at = -_PACE_SECONDS
        self._wake_later: asyncio.TimerHandle | None = None
        # A context of its own: the stream outlives the request that opened it, and its deadline.
        self._task = asyncio.get_running_loop().create_task(
            self._run(), context=contextvars.Context(), name=f"seat-watch {request.school}/{request.event}"
        )

    async def next_change(self) -> None:
        """Wait until anything changes."""
        # The event of this moment: _wake replaces it before it sets it, so each change wakes each reader once.
        await self._changed.wait()

    async def close(self) -> None:
        """End the stream; every reader sees the end."""
        self._task.cancel()
        # return_exceptions: the task's own cancellation must not look like the closer's.
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
                # Before the first update the event has only the name that a client gave it, which is no id.
                event_id = "" if self.seats is None else self.seats.event_id
                _log.warning("watch.interrupted", event_id=event_id, reason=error.reason)
            except ServiceError as error:
                return self._end(error)
            except Exception as error:  # noqa: BLE001 - the readers must learn of it
                _log.error("watch.unexpected_error", exc_info=error)
                telemetry.report_error(error)
                return self._end(InternalError("an unexpected error; the log has it"))
            backoff = _FIRST_BACKOFF_SECONDS if self.changes > changes else min(backoff * 2, _LONGEST_BACKOFF_SECONDS)
            await asyncio.sleep(backoff * random.uniform(0.5, 1.0))  # noqa: S311 - spreads reconnects

    async def _follow(self) -> bool:
        """Publish the changes of one stream; True when it is due for renewal, False when the service ended it."""
        try:
            # A service that hangs looks like an event without changes: only a new stream tells them apart.
            async with (
                asyncio.timeout(self._renew_seconds),
                # Closed on every way out, cancellation included, so that the call never outlives the watch.
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
        # Present readers are woken; later ones wait for a new event.
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()


class SeatReader:
    """One client's view of a seat watch: always the newest seats, not every step."""

    def __init__(self, watch: SeatWatch) -> None:
        self._watch = watch
        self._seen = 0
        self._promoted = watch.promoted

    async def next(self) -> SeatsUpdate | None:
        """Return the newest seats once they differ from the last ones; None when the watch ended.

        Raises the ServiceError that ended the stream. Cancelling loses nothing.
        """
        watch = self._watch
        # No await lies between the test and the wait's start, nor between the wait's end and the read.
        while watch.changes == self._seen and not watch.ended:
            await watch.next_change()
        if watch.changes > self._seen and watch.seats is not None:
            promoted = watch.promoted - self._promoted
            self._seen, self._promoted = watch.changes, watch.promoted
            return SeatsUpdate(watch.seats, promoted)
        if watch.failure is not None:
            # A copy for each reader: one exception raised in many tasks mixes their tracebacks.
            raise copy.copy(watch.failure)
        return None


class SeatWatches:
    """The seat watch of every watched event. A watch ends with its last reader.

    After ``renew_seconds`` a new stream to the service replaces a watch's stream.
    """

    def __init__(
        self,
        source: SeatSource,
        *,
        max_readers: int,
        max_of_event: int,
        max_readers_per_address: int,
        renew_seconds: float,
    ) -> None:
        self._source = source
        self._renew_seconds = renew_seconds
        self._max_of_event = max_of_event
        self._shares = FairQuota(most=max_readers, share=max_readers_per_address)
        self._watches: dict[tuple[str, str], SeatWatch] = {}
        self._closed = False

    @property
    def readers(self) -> int:
        """The number of clients that watch now."""
        return self._shares.held

    @asynccontextmanager
    async def open(self, school: str, event: str, *, address: str) -> AsyncIterator[SeatReader]:
        """Watch an event while the code inside runs.

        Raises Unavailable when the gateway stops, or when too many streams are
        open: of all events, of this event, or of this address.
        """
        holder = (subscriber(address),)
        self._refuse_if_full(holder)
        key = (school, event.lower())
        watch = self._watch(key, pb.WatchEventRequest(school=school, event=event))
        if watch.readers >= self._max_of_event:
            raise Unavailable(f"{self._max_of_event} streams of this event are open already", reason="TOO_MANY_STREAMS")
        # From the look-up to the count there is no await: the watch can't end in between for want of readers.
        with self._shares.hold(holder):
            watch.readers += 1
            try:
                yield SeatReader(watch)
            finally:
                watch.readers -= 1
                if not watch.readers:
                    # Out of the table first: a client that comes while this one closes gets a new watch.
                    if self._watches.get(key) is watch:
                        del self._watches[key]
                    await watch.close()

    async def close(self) -> None:
        """End every watch, and with it every client's stream."""
        self._closed = True
        await asyncio.gather(*(watch.close() for watch in list(self._watches.values())))

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

    def _watch(self, key: tuple[str, str], request: pb.WatchEventRequest) -> SeatWatch:
        watch = self._watches.get(key)
        if watch is None or watch.ended:
            watch = self._watches[key] = SeatWatch(self._source, request, renew_seconds=self._renew_seconds)
        return watch
