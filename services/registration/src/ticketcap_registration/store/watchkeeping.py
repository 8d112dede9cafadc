"""Read and clean up for the jobs, over all schools."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncEngine
from ticketcap_chassis.database.transactions import open_connection, open_transaction

from ticketcap_registration.domain.keys import EventKey, SchoolKey
from ticketcap_registration.store.models import ANY_TIME, COUNTED_STATUSES

_Place = tuple[UUID, UUID]
"""A school's id and an event's: the order in which events are audited."""
BEFORE_ALL: Final[_Place] = (UUID(int=0), UUID(int=0))

_EVENTS_AT_ONCE: Final = 200
_AUDITED_AT_ONCE: Final = 500
_SCHOOLS_AT_ONCE: Final = 1000
DELETED_AT_ONCE: Final = 5000
"""Rows that one statement deletes, and those of the last one's transaction."""

_DUE: Final = text(f"""-- watchkeeping.due_holds: Find events with holds whose time is over.
SELECT due.event_id AS id, due.school_id, schools.slug AS school, schools.synthetic
FROM (SELECT DISTINCT school_id, event_id FROM registrations
      WHERE status = 'PENDING_PAYMENT' AND hold_expires_at <= statement_timestamp()
        AND event_id <> ALL(CAST(:but AS uuid[])) LIMIT {_EVENTS_AT_ONCE}) AS due
JOIN schools ON schools.id = due.school_id""")

_CHANGED: Final = text(f"""-- watchkeeping.changed_events: Find events that changed since, or a day after, their audit.
SELECT events.school_id, events.id
FROM events LEFT JOIN event_audits AS audit ON audit.school_id = events.school_id AND audit.event_id = events.id
WHERE (events.school_id, events.id) > (:school_id, :event_id)
  AND ((events.version, events.capacity, events.confirmed, events.held, events.waitlisted, events.waitlist_length)
       IS DISTINCT FROM
       (audit.version, audit.capacity, audit.confirmed, audit.held, audit.waitlisted, audit.waitlist_length)
       OR audit.audited_at < statement_timestamp() - interval '1 day')
ORDER BY events.school_id, events.id LIMIT {_AUDITED_AT_ONCE}""")

# One statement sees one moment, so a transaction that still runs never looks like drift.
_COUNTS: Final = text(f"""-- watchkeeping.counts: Read the counters of some events, and count their rows.
SELECT events.id AS event_id, events.school_id, schools.slug AS school_slug, version, capacity,
       confirmed, held, waitlisted, waitlist_length, rows_confirmed, rows_held, rows_waitlisted, rows_waiting
FROM unnest(CAST(:school_ids AS uuid[]), CAST(:event_ids AS uuid[])) AS changed (school_id, event_id)
JOIN events ON events.school_id = changed.school_id AND events.id = changed.event_id
JOIN schools ON schools.id = events.school_id JOIN LATERAL (
  SELECT coalesce(sum(spots) FILTER (WHERE status = 'CONFIRMED'), 0) AS rows_confirmed,
         coalesce(sum(spots) FILTER (WHERE status = 'PENDING_PAYMENT'), 0) AS rows_held,
         coalesce(sum(spots) FILTER (WHERE status = 'WAITLISTED'), 0) AS rows_waitlisted,
         count(*) FILTER (WHERE status = 'WAITLISTED') AS rows_waiting
  FROM registrations WHERE registrations.school_id = events.school_id AND event_id = events.id
    AND status IN ({COUNTED_STATUSES}, 'WAITLISTED')
) AS totals ON true
ORDER BY events.school_id, events.id""")

# One row in each statement: where tables are spread over nodes, each goes to the node of its school.
_AUDITED: Final = text("""-- watchkeeping.audited: Note the counters with which an event passed its audit.
INSERT INTO event_audits
  (school_id, event_id, version, capacity, confirmed, held, waitlisted, waitlist_length, audited_at)
VALUES (:school_id, :event_id, :version, :capacity, :confirmed, :held, :waitlisted, :waitlist_length,
        statement_timestamp())
ON CONFLICT (school_id, event_id) DO UPDATE
SET version = excluded.version, capacity = excluded.capacity, confirmed = excluded.confirmed, held = excluded.held,
    waitlisted = excluded.waitlisted, waitlist_length = excluded.waitlist_length, audited_at = excluded.audited_at""")

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

_AGED_TABLES: Final = ("idempotency_keys", "registration_changes")

_AGED_SCHOOLS: Final = {
    table: text(f"""-- watchkeeping.aged_schools_{table}: Find schools with rows beyond a number of seconds.
SELECT DISTINCT school_id FROM {table}
WHERE {ANY_TIME} AND created_at < statement_timestamp() - make_interval(secs => :seconds)
LIMIT {_SCHOOLS_AT_ONCE}""")
    for table in _AGED_TABLES
}

_BUT_UNREAD: Final = """
  AND NOT EXISTS (SELECT FROM unread_changes AS unread
    WHERE unread.school_id = registration_changes.school_id AND unread.event_id = registration_changes.event_id
      AND unread.version = registration_changes.version AND unread.id = registration_changes.id)"""
"""However old it is: its consumer still reads it."""

# The rows of one transaction have one time, and are deleted together: they may be more than the limit.
_AGED: Final = {
    table: text(f"""-- watchkeeping.aged_{table}: Delete the oldest rows of a school beyond a number of seconds.
DELETE FROM {table} WHERE school_id = :school_id AND {ANY_TIME} AND created_at <= (
  SELECT max(created_at) FROM (
    SELECT created_at FROM {table}
    WHERE school_id = :school_id AND {ANY_TIME}
      AND created_at < statement_timestamp() - make_interval(secs => :seconds)
    ORDER BY created_at LIMIT {DELETED_AT_ONCE}) AS aged){_BUT_UNREAD if table == "registration_changes" else ""}""")
    for table in _AGED_TABLES
}


@dataclass(frozen=True, slots=True)
class EventCounts:
    """An event's counters and what its rows add up to, at one moment. All in spots but ``…waiting`` and ``…length``."""

    event_id: UUID
    school_id: UUID
    school_slug: str
    version: int
    capacity: int
    confirmed: int
    held: int
    waitlisted: int
    waitlist_length: int
    rows_confirmed: int
    rows_held: int
    rows_waitlisted: int
    rows_waiting: int

    @property
    def drifts(self) -> bool:
        """True when a counter differs from the rows, or the rows reserve more than the capacity."""
        counters = (self.confirmed, self.held, self.waitlisted, self.waitlist_length)
        rows = (self.rows_confirmed, self.rows_held, self.rows_waitlisted, self.rows_waiting)
        return counters != rows or self.rows_confirmed + self.rows_held > self.capacity


class Watchkeeping:
    """Every statement of the jobs, under their role."""

    def __init__(self, jobs_engine: AsyncEngine) -> None:
        self._engine = jobs_engine

    async def due_holds(self, *, but: Sequence[UUID] = ()) -> list[EventKey]:
        """Return events with holds whose time is over, except ``but``; a bounded number."""
        async with open_connection(self._engine) as connection:
            rows = (await connection.execute(_DUE, {"but": list(but)})).all()
        return [EventKey(row.id, _school(row)) for row in rows]

    async def changed_events(self, after: _Place) -> list[_Place]:
        """Return the next events that changed since their audit, or were not audited for a day; a bounded number."""
        async with open_connection(self._engine) as connection:
            rows = await connection.execute(_CHANGED, {"school_id": after[0], "event_id": after[1]})
            return [(row.school_id, row.id) for row in rows]

    async def counts(self, events: Sequence[_Place]) -> list[EventCounts]:
        """Return the counters and the rows' sums of ``events``, each pair of one moment."""
        school_ids, event_ids = [school_id for school_id, _ in events], [event_id for _, event_id in events]
        async with open_connection(self._engine) as connection:
            rows = await connection.execute(_COUNTS, {"school_ids": school_ids, "event_ids": event_ids})
            return [EventCounts(**row) for row in rows.mappings()]

    async def audited(self, passed: Sequence[EventCounts]) -> None:
        """Note the counters of events that passed their audit: they are audited again when they change."""
        if passed:
            async with open_transaction(self._engine) as connection:
                await connection.execute(_AUDITED, [asdict(counts) for counts in passed])

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

    async def schools_with_aged(self, table: str, seconds: float) -> list[UUID]:
        """Return schools with rows of ``table`` that are older than ``seconds``; a bounded number."""
        async with open_connection(self._engine) as connection:
            return list((await connection.execute(_AGED_SCHOOLS[table], {"seconds": seconds})).scalars())

    async def delete_aged(self, table: str, seconds: float, school_id: UUID) -> int:
        """Delete a bounded number of a school's rows of ``table`` that are older than ``seconds``; return how many."""
        async with open_transaction(self._engine) as connection:
            values = {"school_id": school_id, "seconds": seconds}
            return (await connection.execute(_AGED[table], values)).rowcount


def _school(row: Row[Any]) -> SchoolKey:
    """Return the key in a row with school_id, school and synthetic."""
    return SchoolKey(row.school_id, row.school, row.synthetic)
