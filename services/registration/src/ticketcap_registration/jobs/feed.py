"""Hears of every committed change of seats, from whichever replica, and tells those who watch.

Listens on one connection. After it was lost and made again, watchers are told
to look for themselves: what was announced meanwhile is gone.

A connection may be open and carry nothing: what listens through it never fails.
So the feed listens to a channel of its own as well, on which the replica
announces a check through another connection every few seconds (see
``feed_check``). A feed that misses several of them is deaf: it connects anew.
"""

import asyncio
import secrets
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final
from uuid import UUID

import psycopg
from pydantic import ValidationError
from ticketcap_chassis.database.connector import Connector
from ticketcap_chassis.errors import Unavailable
from ticketcap_observability import Telemetry, get_logger, schema

from ticketcap_registration.store.seats import CHANNEL, SeatNews, news

_RECONNECT_SECONDS: Final = 1.0
MISSED_CHECKS: Final = 3
"""After so many the feed is deaf."""

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


class DeafFeed(Exception):
    """The connection stands, and carries no check."""


class SeatFeed:
    """Passes announcements of the database on to watchers. ``deaf`` is called when a connection carries no checks."""

    def __init__(
        self,
        parameters: Mapping[str, str],
        telemetry: Telemetry,
        connector: Connector,
        *,
        check_seconds: float,
        deaf: Callable[[], None],
    ) -> None:
        self.check_channel: Final = f"seat_feed_check_{secrets.token_hex(8)}"
        self._parameters = parameters
        self._connector = connector
        self._check_seconds = check_seconds
        self._deaf = deaf
        self._heard_at = time.monotonic()
        self.begins: Final = asyncio.Event()
        """Set when it listens on a new connection, which has carried no check yet."""
        self._delay = telemetry.histogram(schema.PROMOTION_DELAY)
        self._lost = telemetry.counter(schema.DB_CONNECTION_ERRORS)
        self._watchers: defaultdict[UUID, set[Watcher]] = defaultdict(set)
        self._ended = False

    @property
    def age(self) -> float:
        """Seconds since it last heard a check, or since it began."""
        return time.monotonic() - self._heard_at

    @property
    def is_deaf(self) -> bool:
        """Whether so many checks were missed that announcements of seats are missed too."""
        return self.age > MISSED_CHECKS * self._check_seconds

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
        """Listen for ever; connect again when the connection is lost, or carries nothing."""
        while True:
            try:
                await self._listen()
            except Exception as error:  # noqa: BLE001 - a feed that ended here would never be heard of again
                self._lost.add(1)
                _log.warning("feed.lost", error_type=type(error).__name__, retry_seconds=_RECONNECT_SECONDS)
            await asyncio.sleep(_RECONNECT_SECONDS)

    async def _listen(self) -> None:
        """Listen on one connection for as long as it carries the checks."""
        connection = await self._connector.connect(
            **self._parameters, autocommit=True, application_name="ticketcap-feed"
        )
        try:
            await connection.execute(f"LISTEN {CHANNEL}")
            await connection.execute(f"LISTEN {self.check_channel}")
            self.begins.set()
            for watcher in self._all():
                watcher.missed()
            began = time.monotonic()
            # A connection gets as long as the one before it to carry a check. After a failover the server of before may
            # live on: the checks are announced where seats are written, so its silence is found here.
            while not self.is_deaf or time.monotonic() - began < MISSED_CHECKS * self._check_seconds:
                async for notify in connection.notifies(timeout=self._check_seconds):
                    self._hear(notify)
            # The pool's connections are as old: watchers are about to read through them.
            self._deaf()
            raise DeafFeed
        finally:
            await connection.close()

    def _hear(self, notify: psycopg.Notify) -> None:
        if notify.channel == self.check_channel:
            self._heard_at = time.monotonic()
        else:
            self._dispatch(notify.payload)

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
