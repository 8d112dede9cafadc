"""Notify the listeners of all replicas."""

from collections.abc import Sequence
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine
from ticketcap_chassis.database.transactions import open_transaction

CHANNEL: Final = "ticketcap_seats"
"""The channel of seat announcements (NOTIFY). Releases share it."""

# A transaction that notifies holds one lock of the whole server until its commit is durable. This one has nothing to
# keep after a crash, so it does not wait for the disk.
_UNSAFE: Final = text("""-- notifications.unsafe: Commit without a wait for the disk.
SET LOCAL synchronous_commit = off""")

_NOTIFY: Final = text("""-- notifications.notify: Notify a channel of some payloads when the transaction commits.
SELECT pg_notify(:channel, payload) FROM unnest(CAST(:payloads AS text[])) AS payload""")


class Notifications:
    """Sends notifications under the jobs role, in transactions of their own."""

    def __init__(self, jobs_engine: AsyncEngine) -> None:
        self._engine = jobs_engine

    async def send(self, channel: str, payloads: Sequence[str]) -> None:
        """Notify ``channel`` of each payload. Raises ServiceError."""
        async with open_transaction(self._engine) as connection:
            await connection.execute(_UNSAFE)
            await connection.execute(_NOTIFY, {"channel": channel, "payloads": list(payloads)})
