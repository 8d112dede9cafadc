"""Read the change feed, and acknowledge changes.

A change is unread by a consumer from the transaction that makes it until the consumer acknowledges it. So a change
that is committed late is read late, and never passed over.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine
from ticketcap_chassis.database.transactions import open_connection, open_transaction

from ticketcap_registration.domain.change_feed import ChangeId
from ticketcap_registration.domain.states import RegistrationStatus

_PREFIX: Final = "registration."

# In the order of the key, which needs no sorting however many changes are unread. Changes of one event are in the order
# of its commits: the row's lock gives each commit a version of its own.
_UNREAD: Final = text("""-- changes.unread: Read the changes after an id that a consumer has not acknowledged.
SELECT unread.school_id, unread.event_id, unread.version, unread.id AS number, changes.registration_id,
       schools.slug AS school, schools.synthetic AS school_synthetic, changes.topic, changes.created_at AS changed_at,
       changes.traceparent, changes.refund_agorot, events.starts_at, events.cancellation_deadline_hours,
       coalesce(registrations.price_agorot, events.price_agorot) AS price_agorot
FROM unread_changes AS unread
JOIN registration_changes AS changes ON changes.school_id = unread.school_id AND changes.event_id = unread.event_id
  AND changes.version = unread.version AND changes.id = unread.id
JOIN events ON events.school_id = unread.school_id AND events.id = unread.event_id
JOIN schools ON schools.id = unread.school_id
LEFT JOIN registrations
  ON registrations.school_id = unread.school_id AND registrations.id = changes.registration_id
WHERE unread.consumer = :consumer
  AND (unread.school_id, unread.consumer, unread.event_id, unread.version, unread.id)
      > (:school_id, :consumer, :event_id, :version, :number)
ORDER BY unread.school_id, unread.event_id, unread.version, unread.id LIMIT :limit""")

_ACKNOWLEDGE: Final = text("""-- changes.acknowledge: Let a consumer read some changes no more.
DELETE FROM unread_changes AS unread
USING unnest(CAST(:school_ids AS uuid[]), CAST(:event_ids AS uuid[]), CAST(:versions AS bigint[]),
             CAST(:numbers AS bigint[])) AS read (school_id, event_id, version, id)
WHERE unread.consumer = :consumer AND unread.school_id = read.school_id AND unread.event_id = read.event_id
  AND unread.version = read.version AND unread.id = read.id""")


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistrationChange:
    """A registration that entered ``status``.

    ``price_agorot`` is the registration's own price per spot. ``refund_agorot`` is the most that a cancelled one gets
    back; None means everything that it paid. ``starts_at`` and ``cancellation_deadline_hours`` are the event's today.
    """

    id: ChangeId
    registration_id: UUID
    school: str
    status: RegistrationStatus
    changed_at: datetime
    traceparent: str
    price_agorot: int
    starts_at: datetime
    cancellation_deadline_hours: int
    refund_agorot: int | None = None
    school_synthetic: bool = False


class ChangeFeed:
    """The change feed of all schools. The jobs role reads it, and sees no personal data."""

    def __init__(self, jobs_engine: AsyncEngine) -> None:
        self._engine = jobs_engine

    async def unread(self, consumer: str, after: ChangeId, *, limit: int) -> list[RegistrationChange]:
        """Return at most ``limit`` changes that ``consumer`` has not acknowledged, in the order of their ids."""
        async with open_connection(self._engine) as connection:
            values = {**asdict(after), "consumer": consumer, "limit": limit}
            rows = (await connection.execute(_UNREAD, values)).mappings().all()
        return [_change(dict(row)) for row in rows]

    async def acknowledge(self, consumer: str, changes: Sequence[ChangeId]) -> None:
        """Return ``changes`` to ``consumer`` no more; those that it acknowledged before are left out."""
        # In the order of the key: acknowledgements that meet never wait for each other in a circle.
        ordered = sorted(changes)
        values = {
            "consumer": consumer,
            "school_ids": [change.school_id for change in ordered],
            "event_ids": [change.event_id for change in ordered],
            "versions": [change.version for change in ordered],
            "numbers": [change.number for change in ordered],
        }
        async with open_transaction(self._engine) as connection:
            await connection.execute(_ACKNOWLEDGE, values)


def topic(status: RegistrationStatus) -> str:
    """Return the topic of changes into ``status``."""
    return _PREFIX + status.lower()


def _change(row: dict[str, object]) -> RegistrationChange:
    change_id = ChangeId(*(row.pop(name) for name in ("school_id", "event_id", "version", "number")))  # type: ignore[arg-type]  # by the SELECT
    status = RegistrationStatus(str(row.pop("topic")).removeprefix(_PREFIX).upper())
    traceparent = str(row.pop("traceparent") or "")
    return RegistrationChange(id=change_id, status=status, traceparent=traceparent, **row)  # type: ignore[arg-type]  # by the SELECT
