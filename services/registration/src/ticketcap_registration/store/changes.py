"""Read the log of registration changes in the order of the commits."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine
from ticketcap_chassis.database.transactions import open_connection

from ticketcap_registration.domain.states import RegistrationStatus

_TOPIC: Final = "registration."
_ALL: Final = tuple(f"{_TOPIC}{status.lower()}" for status in RegistrationStatus)

# Rows of transactions older than every one that still runs: nothing can be committed before them any more.
_AFTER: Final = text("""-- changes.after
SELECT changes.transaction, changes.id, registration_id, changes.event_id, schools.slug AS school, topic,
       changes.created_at AS changed_at, traceparent, refund_agorot, starts_at, events.cancellation_deadline_hours,
       coalesce(registrations.price_agorot, events.price_agorot) AS price_agorot
FROM registration_changes AS changes
JOIN events ON events.id = changes.event_id JOIN schools ON schools.id = changes.school_id
LEFT JOIN registrations ON registrations.id = changes.registration_id
WHERE (changes.transaction, changes.id) > (:transaction, :id)
  AND changes.transaction < (pg_snapshot_xmin(pg_current_snapshot())::text)::bigint
  AND topic = ANY(:topics)
ORDER BY changes.transaction, changes.id LIMIT :limit""")


@dataclass(frozen=True, slots=True, order=True)
class ChangePosition:
    """Where a reader stands."""

    transaction: int = 0
    id: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistrationChange:
    """A registration that came into ``status``.

    ``price_agorot`` is its own; ``refund_agorot`` is what a cancelled one gets back at most, None: everything.
    The event's fields are as they are now.
    """

    position: ChangePosition
    registration_id: UUID
    event_id: UUID
    school: str
    status: RegistrationStatus
    changed_at: datetime
    traceparent: str
    price_agorot: int
    starts_at: datetime
    cancellation_deadline_hours: int
    refund_agorot: int | None = None


class ChangeLog:
    """Reads under the jobs role: of all schools, and no person."""

    def __init__(self, jobs_engine: AsyncEngine) -> None:
        self._engine = jobs_engine

    async def after(
        self, position: ChangePosition, *, limit: int, statuses: Sequence[RegistrationStatus] = ()
    ) -> list[RegistrationChange]:
        """Return at most ``limit`` changes into ``statuses`` (none: into any) that follow ``position``."""
        topics = [f"{_TOPIC}{status.lower()}" for status in statuses] or list(_ALL)
        values = {"transaction": position.transaction, "id": position.id, "topics": topics, "limit": limit}
        async with open_connection(self._engine) as connection:
            rows = (await connection.execute(_AFTER, values)).mappings().all()
        return [_change(dict(row)) for row in rows]


def _change(row: dict[str, object]) -> RegistrationChange:
    position = ChangePosition(row.pop("transaction"), row.pop("id"))  # type: ignore[arg-type]  # two integers
    status = RegistrationStatus(str(row.pop("topic")).removeprefix(_TOPIC).upper())
    traceparent = str(row.pop("traceparent") or "")
    return RegistrationChange(position=position, status=status, traceparent=traceparent, **row)  # type: ignore[arg-type]  # by the SELECT
