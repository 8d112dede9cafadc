"""Announce seats after their commit.

A lane only hands an announcement over: it waits for no listener, and no failure
here fails a claim. Announcements that wait are merged, so an event has one at
most. One that is lost costs its watchers a few seconds: they read their events
again after a while.
"""

import asyncio
from dataclasses import replace
from typing import Final
from uuid import UUID

from ticketcap_observability import get_logger

from ticketcap_registration.domain.seat_announcement import SeatAnnouncement
from ticketcap_registration.store.notifications import CHANNEL, Notifications
from ticketcap_registration.telemetry.announcements import AnnouncementTelemetry

_MOST_WAITING: Final = 10_000
"""Events whose announcements wait; those of further events are dropped."""
_AT_ONCE: Final = 500
"""Announcements in one transaction."""

_log = get_logger(__name__)


class Announcer:
    """Sends the announcements of this replica, the oldest first."""

    def __init__(self, notifications: Notifications, telemetry: AnnouncementTelemetry) -> None:
        self._notifications = notifications
        self._telemetry = telemetry
        self._waiting: dict[UUID, SeatAnnouncement] = {}
        self._arrived = asyncio.Event()
        self._sending = asyncio.Lock()

    def announce(self, announcement: SeatAnnouncement) -> None:
        """Hand an announcement over after its commit; return at once.

        There is no await between the end of a commit and this call, so no cancellation comes between them.
        """
        waiting = self._waiting.get(announcement.event_id)
        if waiting is None and len(self._waiting) >= _MOST_WAITING:
            self._telemetry.dropped(1)
            return
        self._waiting[announcement.event_id] = _merged(waiting, announcement)
        self._arrived.set()

    async def run(self) -> None:
        """Send announcements until cancelled."""
        while True:
            await self._arrived.wait()
            await self._send()

    async def flush(self, seconds: float) -> None:
        """Send the announcements that wait, also those under way, for at most ``seconds``; drop the rest."""
        try:
            async with asyncio.timeout(seconds):
                await self._send()
                while self._waiting:
                    await self._send()
        except TimeoutError:
            self._drop(len(self._waiting), "TimeoutError")

    async def _send(self) -> None:
        # One at a time: a flush waits for those under way.
        async with self._sending:
            # Cleared first: an announcement that arrives during the await below sets it again.
            self._arrived.clear()
            taken = [self._waiting.pop(event_id) for event_id in list(self._waiting)[:_AT_ONCE]]
            if not taken:
                return
            try:
                await self._notifications.send(CHANNEL, [announcement.to_json() for announcement in taken])
            except Exception as error:  # noqa: BLE001 - no failure here may end the service
                self._drop(len(taken), type(error).__name__)
            except asyncio.CancelledError:
                self._drop(len(taken), "CancelledError")
                raise
            else:
                self._telemetry.published(len(taken))
            if self._waiting:
                self._arrived.set()

    def _drop(self, count: int, reason: str) -> None:
        if not count:
            return
        self._telemetry.dropped(count)
        _log.warning("announcements.dropped", count=count, reason=reason)


def _merged(waiting: SeatAnnouncement | None, announcement: SeatAnnouncement) -> SeatAnnouncement:
    """Return the newer of two announcements, with the promotions of both."""
    if waiting is None:
        return announcement
    older, newer = sorted((waiting, announcement), key=lambda one: one.version)
    promoted = older.promoted + newer.promoted
    # The delay of a promotion counts from the first decision.
    return replace(newer, promoted=promoted, decided_at=older.decided_at if older.promoted else newer.decided_at)
