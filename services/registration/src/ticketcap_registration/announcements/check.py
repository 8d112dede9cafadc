"""Check that the listener receives what the database announces.

A check travels through a connection of the pool and returns through the
listener's own. Nothing else finds a connection that is open and delivers nothing,
or a server that accepts LISTEN and never delivers.
"""

import asyncio
import contextlib
from typing import Final

from ticketcap_chassis.errors import ServiceError
from ticketcap_chassis.rpc.server import GrpcServer
from ticketcap_observability import get_logger

from ticketcap_registration.announcements.listener import AnnouncementListener
from ticketcap_registration.store.notifications import Notifications

SEAT_ANNOUNCEMENTS: Final = "seat_announcements"
"""The listener's name in the health service. It does not count for the service's own: seats need no listener."""

_log = get_logger(__name__)


class AnnouncementCheck:
    """Announces checks to ``listener`` and sets the health of SEAT_ANNOUNCEMENTS by those that it receives."""

    def __init__(
        self, notifications: Notifications, listener: AnnouncementListener, server: GrpcServer, *, seconds: float
    ) -> None:
        self._notifications = notifications
        self._listener = listener
        self._server = server
        self._seconds = seconds
        self._serving: bool | None = None

    async def announce(self) -> None:
        """Announce one check when it is due, or at once on a new connection, so that health recovers early."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._seconds):
                await self._listener.connected.wait()
        # Before the announcement: a connection that is made during it needs a check of its own.
        self._listener.connected.clear()
        # The database's own health reports a failure here; the listener grows older meanwhile.
        with contextlib.suppress(ServiceError):
            await self._notifications.send(self._listener.check_channel, [""])

    async def report(self) -> None:
        """Set the health by whether the listener is stale; log when it becomes so."""
        serving = not self._listener.is_stale
        if serving is self._serving:
            return
        if not serving:
            _log.error("announcements.stale", seconds=round(self._listener.age))
        # Before the await: the next turn must not log the same change.
        self._serving = serving
        await self._server.set_health(SEAT_ANNOUNCEMENTS, serving=serving)
