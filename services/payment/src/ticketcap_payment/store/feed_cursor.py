"""Store how far another service's change feed is processed."""

from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine
from ticketcap_chassis.database.transactions import open_transaction

from ticketcap_payment.store.transactions import read

_POSITION: Final = text("""-- feed_cursor.position: Read the position of a feed.
SELECT position FROM cursors WHERE feed = :feed""")

_ADVANCE: Final = text("""-- feed_cursor.advance: Move a feed's position, unless another reader has moved it.
INSERT INTO cursors (feed, position, read_at) VALUES (:feed, :position, statement_timestamp())
ON CONFLICT (feed) DO UPDATE SET position = excluded.position, read_at = excluded.read_at
WHERE cursors.position = :before""")


class FeedCursor:
    """The position in one feed. Two replicas may process the same page, so applying a change must be idempotent."""

    def __init__(self, jobs_engine: AsyncEngine, feed: str) -> None:
        self._engine = jobs_engine
        self._feed = feed

    async def position(self) -> str:
        """Return the cursor of the next page; "" at the beginning."""
        rows = await read(self._engine, _POSITION, feed=self._feed)
        return str(rows[0].position) if rows else ""

    async def advance(self, before: str, after: str) -> None:
        """Move from ``before`` to ``after``, unless another reader has moved already."""
        async with open_transaction(self._engine) as connection:
            await connection.execute(_ADVANCE, {"feed": self._feed, "before": before, "position": after})
