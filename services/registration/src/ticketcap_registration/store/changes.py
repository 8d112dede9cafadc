"""Read the log of registration changes in the order of the commits."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine
from ticketcap_chassis.database.transactions import open_connection

from ticketcap_registration.domain.cursor import ChangePosition
from ticketcap_registration.domain.states import RegistrationStatus

_PREFIX: Final = "registration."

# A transaction begins before it commits, so a smaller one may appear after a larger one was read. The reader stops
# before the oldest transaction that still runs: no row can be committed before its position any more. A transaction
# changes one event and numbers its changes.
_AFTER: Final = text("""-- changes.after: Read the changes of all schools that follow a position.
SELECT changes.transaction, changes.id, registration_id, changes.event_id, changes.school_id,
       schools.slug AS school, schools.synthetic AS school_synthetic, topic,
       changes.created_at AS changed_at, traceparent, refund_agorot, starts_at, events.cancellation_deadline_hours,
       coalesce(registrations.price_agorot, events.price_agorot) AS price_agorot
FROM registration_changes AS changes
JOIN events ON events.school_id = changes.school_id AND events.id = changes.event_id
JOIN schools ON schools.id = changes.school_id
LEFT JOIN registrations ON registrations.school_id = changes.school_id AND registrations.id = changes.registration_id
WHERE (changes.transaction, changes.id) > (:transaction, :id)
  AND changes.transaction < (pg_snapshot_xmin(pg_current_snapshot())::text)::bigint
  AND topic = ANY(:topics)
ORDER BY changes.transaction, changes.id LIMIT :limit""")


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistrationChange:
    """A registration that entered ``status``.

    ``price_agorot`` is the registration's own price per spot. ``refund_agorot`` is the most that a cancelled one gets
    back; None means everything that it paid. ``starts_at`` and ``cancellation_deadline_hours`` are the event's today.
    """

    position: ChangePosition
    registration_id: UUID
    event_id: UUID
    school_id: UUID
    school: str
    status: RegistrationStatus
    changed_at: datetime
    traceparent: str
    price_agorot: int
    starts_at: datetime
    cancellation_deadline_hours: int
    refund_agorot: int | None = None
    school_synthetic: bool = False


class ChangeLog:
    """The change log of all schools. The jobs role reads it, and sees no personal data."""

    def __init__(self, jobs_engine: AsyncEngine) -> None:
        self._engine = jobs_engine

    async def after(
        self, position: ChangePosition, *, limit: int, statuses: Sequence[RegistrationStatus] = ()
    ) -> list[RegistrationChange]:
        """Return at most ``limit`` changes into ``statuses`` (none: into any) that follow ``position``."""
        topics = [topic(status) for status in statuses or RegistrationStatus]
        values = {"transaction": position.transaction, "id": position.id, "topics": topics, "limit": limit}
        async with open_connection(self._engine) as connection:
            rows = (await connection.execute(_AFTER, values)).mappings().all()
        return [_change(dict(row)) for row in rows]


def topic(status: RegistrationStatus) -> str:
    """Return the topic of changes into ``status``."""
    return _PREFIX + status.lower()


def _change(row: dict[str, object]) -> RegistrationChange:
    position = ChangePosition(row.pop("transaction"), row.pop("id"))  # type: ignore[arg-type]  # two integers
    status = RegistrationStatus(str(row.pop("topic")).removeprefix(_PREFIX).upper())
    traceparent = str(row.pop("traceparent") or "")
    return RegistrationChange(position=position, status=status, traceparent=traceparent, **row)  # type: ignore[arg-type]  # by the SELECT
