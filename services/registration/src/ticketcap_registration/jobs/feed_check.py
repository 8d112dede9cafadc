"""Check that the seat feed hears what the database announces.

The check goes through a connection of the pool and comes back through the feed's own: only so is a connection found
that is open and carries nothing, or a server that takes LISTEN and never delivers.
"""

import asyncio
import contextlib
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine
from ticketcap_chassis.database.transactions import open_transaction
from ticketcap_chassis.errors import ServiceError
from ticketcap_chassis.rpc.server import GrpcServer
from ticketcap_observability import get_logger

from ticketcap_registration.jobs.feed import SeatFeed

SEAT_FEED: Final = "seat_feed"
"""The name under which the health service tells of the feed alone: without it seats are given away all the same."""

_ANNOUNCE: Final = text("""-- feed.check
SELECT pg_notify(:channel, '')""")

_log = get_logger(__name__)


class FeedCheck:
    """Announces checks to ``feed`` and sets the health of SEAT_FEED by what it hears."""

    def __init__(self, engine: AsyncEngine, feed: SeatFeed, server: GrpcServer, *, seconds: float) -> None:
        self._seconds = seconds
        self._engine = engine
        self._feed = feed
        self._server = server
        self._serving: bool | None = None

    async def announce(self) -> None:
        """Announce one check: when it is time, or at once on a new connection, so that health is soon right again."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._seconds):
                await self._feed.begins.wait()
        self._feed.begins.clear()
        # The database's own health reports one that does not answer; the feed grows older meanwhile.
        with contextlib.suppress(ServiceError):
            async with open_transaction(self._engine) as connection:
                await connection.execute(_ANNOUNCE, {"channel": self._feed.check_channel})

    async def tell(self) -> None:
        """Say whether the feed hears; log when that has changed."""
        serving = not self._feed.is_deaf
        if serving is self._serving:
            return
        if not serving:
            _log.error("feed.deaf", seconds=round(self._feed.age))
        self._serving = serving
        await self._server.set_health(SEAT_FEED, serving=serving)
