"""How far a feed of another service has been read."""

from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine
from ticketcap_chassis.database.transactions import open_connection, open_transaction

_POSITION: Final = text("""-- feeds.position
SELECT position FROM cursors WHERE feed = :feed""")

_MOVE: Final = text("""-- feeds.move
INSERT INTO cursors (feed, position, read_at) VALUES (:feed, :position, statement_timestamp())
ON CONFLICT (feed) DO UPDATE SET position = excluded.position, read_at = excluded.read_at
WHERE cursors.position = :before""")


class Feed:
    """One feed's cursor. Two readers may read the same page: what they do with it must bear that."""

    def __init__(self, jobs_engine: AsyncEngine, name: str) -> None:
        self._engine = jobs_engine
        self._name = name

    async def position(self) -> str:
        """Return the cursor to read on from; "" at the beginning."""
        async with open_connection(self._engine) as connection:
            return str(await connection.scalar(_POSITION, {"feed": self._name}) or "")

    async def move(self, before: str, after: str) -> None:
        """Go on from ``before`` to ``after``, unless another reader has gone on already."""
        async with open_transaction(self._engine) as connection:
            await connection.execute(_MOVE, {"feed": self._name, "before": before, "position": after})
