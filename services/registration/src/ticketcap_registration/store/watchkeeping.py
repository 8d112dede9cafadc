"""Read and clean up for the jobs, over all schools."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncEngine
from ticketcap_chassis.database.transactions import open_connection, open_transaction

from ticketcap_registration.domain.keys import EventKey, SchoolKey
from ticketcap_registration.store.models import COUNTED_STATUSES

_EVENTS_AT_ONCE: Final = 200
_AUDITED_AT_ONCE: Final = 500
_BEFORE_ALL: Final = UUID(int=0)
DELETED_AT_ONCE: Final = 5000
"""Rows that one statement deletes at most."""

_DUE: Final = text(f"""-- watchkeeping.due_holds: Find events with holds whose time is over.
SELECT events.id, events.school_id, schools.slug AS school, schools.synthetic
FROM (SELECT DISTINCT event_id FROM registrations
      WHERE status = 'PENDING_PAYMENT' AND hold_expires_at <= statement_timestamp()
        AND event_id <> ALL(CAST(:but AS uuid[])) LIMIT {_EVENTS_AT_ONCE}) AS due
JOIN events ON events.id = due.event_id JOIN schools ON schools.id = events.school_id""")

# One statement sees one moment, so a transaction that still runs never looks like drift.
_DRIFT: Final = text(f"""-- watchkeeping.drift: Compare the counters of some events with their rows.
SELECT events.id AS event_id, school_id, schools.slug AS school_slug, confirmed, held, waitlisted, capacity,
       rows_confirmed, rows_held, rows_waitlisted, rows_waiting
FROM events JOIN schools ON schools.id = school_id JOIN LATERAL (
  SELECT coalesce(sum(spots) FILTER (WHERE status = 'CONFIRMED'), 0) AS rows_confirmed,
         coalesce(sum(spots) FILTER (WHERE status = 'PENDING_PAYMENT'), 0) AS rows_held,
         coalesce(sum(spots) FILTER (WHERE status = 'WAITLISTED'), 0) AS rows_waitlisted,
         count(*) FILTER (WHERE status = 'WAITLISTED') AS rows_waiting
  FROM registrations WHERE event_id = events.id AND status IN ({COUNTED_STATUSES}, 'WAITLISTED')
) AS totals ON true
WHERE events.id = ANY(:event_ids) AND (
  (confirmed, held, waitlisted, waitlist_length) <> (rows_confirmed, rows_held, rows_waitlisted, rows_waiting)
  OR rows_confirmed + rows_held > capacity)
ORDER BY events.id""")

_NEXT_EVENTS: Final = text(f"""-- watchkeeping.next_events: Read the ids of the next events to audit.
SELECT id FROM events WHERE id > :after ORDER BY id LIMIT {_AUDITED_AT_ONCE}""")

_FULLEST: Final = text("""-- watchkeeping.fullest_events: Find the open events with the highest utilization.
SELECT events.id, events.school_id, schools.slug AS school, schools.synthetic,
       (confirmed + held)::float8 / greatest(capacity, 1) AS utilization
FROM events JOIN schools ON schools.id = events.school_id
WHERE status = 'OPEN' AND starts_at > statement_timestamp()
ORDER BY utilization DESC, events.id LIMIT :limit""")

_ACTIVE: Final = text("""-- watchkeeping.active_events: Count the open events of the schools that have most.
SELECT schools.id AS school_id, schools.slug AS school, schools.synthetic, active.events
FROM (SELECT school_id, count(*) AS events FROM events
      WHERE status = 'OPEN' AND starts_at > statement_timestamp()
      GROUP BY school_id ORDER BY events DESC, school_id LIMIT :limit) AS active
JOIN schools ON schools.id = active.school_id""")

_ANNOUNCE: Final = text("""-- announcements.check: Announce a check to one replica.
SELECT pg_notify(:channel, '')""")

_AGED: Final = {
    table: text(f"""-- watchkeeping.aged_{table}: Delete rows that are older than a number of seconds.
DELETE FROM {table} WHERE ctid = ANY(ARRAY(
  SELECT ctid FROM {table} WHERE created_at < now() - make_interval(secs => :seconds) LIMIT {DELETED_AT_ONCE}))""")
    for table in ("idempotency_keys", "registration_changes")
}


@dataclass(frozen=True, slots=True)
class Drift:
    """An event whose counters differ from its rows, or that is oversold. All in spots but ``rows_waiting``."""

    event_id: UUID
    school_id: UUID
    school_slug: str
    confirmed: int
    held: int
    waitlisted: int
    capacity: int
    rows_confirmed: int
    rows_held: int
    rows_waitlisted: int
    rows_waiting: int


class Watchkeeping:
    """Every statement of the jobs, under their role."""

    def __init__(self, jobs_engine: AsyncEngine) -> None:
        self._engine = jobs_engine

    async def due_holds(self, *, but: Sequence[UUID] = ()) -> list[EventKey]:
        """Return events with holds whose time is over, except ``but``; a bounded number."""
        async with open_connection(self._engine) as connection:
            rows = (await connection.execute(_DUE, {"but": list(but)})).all()
        return [EventKey(row.id, _school(row)) for row in rows]

    async def drift(self) -> list[Drift]:
        """Return the events whose counters and rows disagree; there should be none. Reads them in portions."""
        found: list[Drift] = []
        after = _BEFORE_ALL
        while True:
            # A connection per portion: the audit must not hold one of the few from the other jobs.
            async with open_connection(self._engine) as connection:
                event_ids = (await connection.execute(_NEXT_EVENTS, {"after": after})).scalars().all()
                if not event_ids:
                    return found
                rows = await connection.execute(_DRIFT, {"event_ids": list(event_ids)})
                found += [Drift(**row) for row in rows.mappings()]
                after = event_ids[-1]

    async def fullest_events(self, limit: int) -> list[tuple[EventKey, float]]:
        """Return at most ``limit`` open events, the fullest first, each with the reserved share of its capacity."""
        async with open_connection(self._engine) as connection:
            rows = (await connection.execute(_FULLEST, {"limit": limit})).all()
        return [(EventKey(row.id, _school(row)), row.utilization) for row in rows]

    async def active_events(self, limit: int) -> list[tuple[SchoolKey, int]]:
        """Return at most ``limit`` schools, those with most open events first, with the number of these."""
        async with open_connection(self._engine) as connection:
            rows = (await connection.execute(_ACTIVE, {"limit": limit})).all()
        return [(_school(row), row.events) for row in rows]

    async def announce(self, channel: str) -> None:
        """Announce an empty payload on ``channel``."""
        async with open_transaction(self._engine) as connection:
            await connection.execute(_ANNOUNCE, {"channel": channel})

    async def delete_aged(self, table: str, seconds: float) -> int:
        """Delete a bounded number of rows of ``table`` that are older than ``seconds``; return how many."""
        async with open_transaction(self._engine) as connection:
            return (await connection.execute(_AGED[table], {"seconds": seconds})).rowcount


def _school(row: Row[Any]) -> SchoolKey:
    """Return the key in a row with school_id, school and synthetic."""
    return SchoolKey(row.school_id, row.school, row.synthetic)
