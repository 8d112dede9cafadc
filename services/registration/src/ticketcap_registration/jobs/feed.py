"""Hears of every committed change of seats, from whichever replica, and tells those who watch.

Listens on one connection. After it was lost and made again, watchers are told
to look for themselves: what was announced meanwhile is gone.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final
from uuid import UUID

import psycopg
from pydantic import ValidationError
from ticketcap_chassis.errors import Unavailable
from ticketcap_chassis.link import Link
from ticketcap_observability import Telemetry, get_logger, schema

from ticketcap_registration.store.seats import CHANNEL, SeatNews, news

_RECONNECT_SECONDS: Final = 1.0
_PING_SECONDS: Final = 5.0
_PING: Final = "SELECT current_setting('transaction_read_only')::bool"

_log = get_logger(__name__)


class Watcher:
    """One reader of one event. Keeps only the newest news, so that a slow reader costs nothing."""

    def __init__(self) -> None:
        self._changed = asyncio.Event()
        self._newest: SeatNews | None = None
        self._promoted = 0
        self._ended = False

    async def next(self) -> tuple[SeatNews | None, int]:
        """Wait for news. Return the newest and how many were promoted since the last call.

        None means that news may have been missed: look at the event itself.
        Raises Unavailable when the feed ends.
        """
        await self._changed.wait()
        if self._ended:
            raise Unavailable("this replica is stopping; watch again", reason="STOPPING")
        self._changed.clear()
        newest, promoted = self._newest, self._promoted
        self._newest, self._promoted = None, 0
        return newest, promoted

    def tell(self, change: SeatNews) -> None:
        """Take news in."""
        if self._newest is None or change.version > self._newest.version:
            self._newest = change
        self._promoted += change.promoted
        self._changed.set()

    def missed(self) -> None:
        """Take in that news may have been missed."""
        self._newest = None
        self._changed.set()

    def end(self) -> None:
        """Make ``next`` raise."""
        self._ended = True
        self._changed.set()


class SeatFeed:
    """Passes announcements of the database on to watchers."""

    def __init__(self, database_url: str, telemetry: Telemetry, link: Link) -> None:
        self._url = database_url
        self._link = link
        self._delay = telemetry.histogram(schema.PROMOTION_DELAY)
        self._lost = telemetry.counter(schema.DB_CONNECTION_ERRORS)
        self._watchers: defaultdict[UUID, set[Watcher]] = defaultdict(set)
        self._ended = False

    @contextmanager
    def watch(self, event_id: UUID) -> Iterator[Watcher]:
        """Watch one event. Read the event itself after this has begun, so that nothing falls between."""
        watcher = Watcher()
        if self._ended:
            watcher.end()
        self._watchers[event_id].add(watcher)
        try:
            yield watcher
        finally:
            self._watchers[event_id].discard(watcher)
            if not self._watchers[event_id]:
                del self._watchers[event_id]

    def end(self) -> None:
        """End every watcher, those to come included."""
        self._ended = True
        for watcher in self._all():
            watcher.end()

    async def run(self) -> None:
        """Listen for ever; connect again when the connection is lost."""
        while True:
            try:
                await self._listen()
            except (psycopg.Error, OSError) as error:
                self._lost.add(1)
                _log.warning("feed.lost", error_type=type(error).__name__, retry_seconds=_RECONNECT_SECONDS)
            await asyncio.sleep(_RECONNECT_SECONDS)

    async def _listen(self) -> None:
        connection = await self._link.connect(self._url, autocommit=True, application_name="ticketcap-feed")
        async with connection:
            await connection.execute(f"LISTEN {CHANNEL}")
            for watcher in self._all():
                watcher.missed()
            while True:
                async for notify in connection.notifies(timeout=_PING_SECONDS):
                    self._dispatch(notify.payload)
                # Make sure that the other side is still there, and still where seats are written: after a failover
                # the server of before may go on living, and would never announce anything again.
                if (found := await (await connection.execute(_PING)).fetchone()) and found[0]:
                    raise psycopg.OperationalError("the database takes no writes any more; listening somewhere else")

    def _dispatch(self, payload: str) -> None:
        try:
            change = news.validate_json(payload)
        except ValidationError:
            # A replica of another version may announce in another shape.
            _log.warning("feed.unreadable")
            for watcher in self._all():
                watcher.missed()
            return
        watchers = self._watchers.get(change.event_id, ())
        for watcher in watchers:
            watcher.tell(change)
        if watchers and change.promoted and change.decided_at:
            # Another replica's clock may be ahead of ours.
            self._delay.record(max(0.0, time.time() - change.decided_at))

    def _all(self) -> list[Watcher]:
        return [watcher for watchers in self._watchers.values() for watcher in watchers]
