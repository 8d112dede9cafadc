"""Reads and writes schools."""

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import insert, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from ticketcap_chassis.database.errors import ConstraintViolated

from ticketcap_registration.domain.errors import SlugTaken
from ticketcap_registration.store.keyed import Key, Keyed, Made
from ticketcap_registration.store.models import SchoolRow
from ticketcap_registration.store.transactions import school_transaction

_SLUG_TAKEN: Final = "schools_slug_key"

_STATS: Final = text("""-- schools.stats
SELECT totals.*, people.*
FROM (
  SELECT count(*) AS events,
         count(*) FILTER (WHERE active) AS active_events,
         coalesce(sum(capacity), 0) AS capacity_spots,
         coalesce(sum(confirmed), 0) AS confirmed_spots,
         coalesce(sum(held), 0) AS held_spots,
         coalesce(sum(confirmed + held) FILTER (WHERE coming)::float / sum(capacity) FILTER (WHERE coming), 0)
           AS capacity_utilization
  FROM events, LATERAL (SELECT coalesce(ends_at, starts_at) > now() AS coming) AS c,
       LATERAL (SELECT coming AND status = 'OPEN' AS active) AS a
  WHERE school_id = :school_id
) AS totals, (
  SELECT count(*) AS registrations,
         count(*) FILTER (WHERE status = 'CONFIRMED') AS confirmed,
         count(*) FILTER (WHERE status = 'PENDING_PAYMENT') AS pending_payment,
         count(*) FILTER (WHERE status = 'WAITLISTED') AS waitlisted,
         count(*) FILTER (WHERE status = 'CANCELLED') AS cancelled,
         count(*) FILTER (WHERE status = 'EXPIRED') AS expired,
         count(checked_in_at) AS checked_in
  FROM registrations WHERE event_id IN (SELECT id FROM events WHERE school_id = :school_id)
) AS people""")


@dataclass(frozen=True, slots=True, kw_only=True)
class School:
    """A tenant."""

    id: UUID
    slug: str
    name: str
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class SchoolStats:
    """A school's events added up: registrations, except where spots are named; utilization is 0 to 1."""

    events: int
    active_events: int
    registrations: int
    confirmed: int
    pending_payment: int
    waitlisted: int
    cancelled: int
    expired: int
    checked_in: int
    capacity_spots: int
    confirmed_spots: int
    held_spots: int
    capacity_utilization: float


class Schools:
    """Every statement about schools."""

    def __init__(self, engine: AsyncEngine, jobs_engine: AsyncEngine) -> None:
        self._engine = engine
        self._keyed = Keyed(School, engine=engine, jobs_engine=jobs_engine)

    async def add(self, school: School, key: Key) -> Made[School]:
        """Open a tenant once per key; raise SlugTaken or IdempotencyKeyReused."""

        async def make(connection: AsyncConnection) -> School:
            await connection.execute(insert(SchoolRow), asdict(school))
            return school

        try:
            return await self._keyed.make(key, school.id, school.created_at, make)
        except ConstraintViolated as refused:
            if refused.constraint == _SLUG_TAKEN:
                raise SlugTaken("school", school.slug) from None
            raise

    async def stats(self, school_id: UUID) -> SchoolStats:
        """Add a school's events up."""
        async with school_transaction(self._engine, school_id) as connection:
            row = (await connection.execute(_STATS, {"school_id": school_id})).mappings().one()
        return SchoolStats(**row)
