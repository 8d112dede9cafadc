"""Receive the seat announcements of every replica over one database connection.

A connection may be open and deliver nothing, and LISTEN on it never fails.
So this replica also announces a check to a channel of its own every few seconds,
through another connection (see ``check``). A listener that misses several checks
is stale and connects again.

An announcement that is made while no connection listens is lost. Therefore every
new connection makes all watchers read their events.
"""

import asyncio
import secrets
import time
from collections.abc import Callable, Mapping
from typing import Final

import psycopg
from ticketcap_chassis.database.connector import Connector
from ticketcap_observability import get_logger

from ticketcap_registration.announcements.watchers import Watchers
from ticketcap_registration.domain.seat_announcement import SeatAnnouncement
from ticketcap_registration.store.notifications import CHANNEL
from ticketcap_registration.telemetry.announcements import AnnouncementTelemetry

_RECONNECT_SECONDS: Final = 1.0
MISSED_CHECKS: Final = 3
"""After this many missed checks the listener is stale."""

_log = get_logger(__name__)


class NoCheckReceived(Exception):
    """The connection is open and delivers no check."""


class AnnouncementListener:
    """Hands announcements to ``watchers``. ``on_stale`` is called when a connection delivers no checks."""

    def __init__(
        self,
        parameters: Mapping[str, str],
        watchers: Watchers,
        telemetry: AnnouncementTelemetry,
        connector: Connector,
        *,
        check_seconds: float,
        on_stale: Callable[[], None],
    ) -> None:
        self.check_channel: Final = f"seat_announcement_check_{secrets.token_hex(8)}"
        self.connected: Final = asyncio.Event()
        """Set when it listens on a new connection, which has delivered no check yet."""
        self._parameters = parameters
        self._watchers = watchers
        self._connector = connector
        self._check_seconds = check_seconds
        self._on_stale = on_stale
        self._checked_at = time.monotonic()
        self._telemetry = telemetry
        telemetry.observe_age(lambda: self.age)

    @property
    def age(self) -> float:
        """Seconds since it received a check, or since it was made."""
        return time.monotonic() - self._checked_at

    @property
    def is_stale(self) -> bool:
        """Whether it missed so many checks that it misses seat announcements too."""
        return self.age > MISSED_CHECKS * self._check_seconds

    async def run(self) -> None:
        """Listen until cancelled; connect again when the connection is lost or delivers nothing."""
        while True:
            try:
                await self._listen()
            except Exception as error:  # noqa: BLE001 - watchers depend on this loop: no error may end it
                self._telemetry.connection_lost()
                _log.warning("announcements.lost", error_type=type(error).__name__, retry_seconds=_RECONNECT_SECONDS)
            await asyncio.sleep(_RECONNECT_SECONDS)

    async def _listen(self) -> None:
        """Listen on one connection while it delivers checks; raise NoCheckReceived afterwards."""
        connection = await self._connector.connect(
            **self._parameters, autocommit=True, application_name="ticketcap-announcements"
        )
        try:
            await connection.execute(f"LISTEN {CHANNEL}")
            await connection.execute(f"LISTEN {self.check_channel}")
            # Only now: a check that is announced before LISTEN would be lost.
            self.connected.set()
            # Also only now: a watcher that reads its event before LISTEN could miss the change after its read.
            self._watchers.invalidate()
            connected_at = time.monotonic()
            # Each connection gets as long as a running one to deliver a check. After a failover the former primary may
            # stay reachable: checks are announced on the new one, so the silence of the former is noticed here.
            while not self.is_stale or time.monotonic() - connected_at < MISSED_CHECKS * self._check_seconds:
                async for notify in connection.notifies(timeout=self._check_seconds):
                    self._receive(notify)
            # Before the watchers read their events: the pool's connections lead to the same silent server.
            self._on_stale()
            raise NoCheckReceived
        finally:
            await connection.close()

    def _receive(self, notify: psycopg.Notify) -> None:
        if notify.channel == self.check_channel:
            self._checked_at = time.monotonic()
            return
        try:
            announcement = SeatAnnouncement.from_json(notify.payload)
        except ValueError:
            # A replica of another release may announce in another shape.
            _log.warning("announcements.unreadable")
            self._watchers.invalidate()
            return
        if self._watchers.announce(announcement) and announcement.promoted and announcement.decided_at:
            # Another replica's clock may be ahead of this one's.
            self._telemetry.promotion_delivered(max(0.0, time.time() - announcement.decided_at))
