"""Read and write schools."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine
from ticketcap_chassis.database.errors import ConstraintViolated
from ticketcap_chassis.database.transactions import open_connection

from ticketcap_registration.domain.errors import IdempotencyKeyReused, SlugTaken
from ticketcap_registration.domain.idempotency import IdempotencyKey
from ticketcap_registration.store.idempotency import CreatedOnce
from ticketcap_registration.store.models import SCHOOL_ID_TAKEN, SCHOOL_SLUG_TAKEN, SchoolRow
from ticketcap_registration.store.transactions import school_transaction

_ID: Final = text("""-- schools.id: Find the id of the school with a slug.
SELECT id FROM schools WHERE slug = :slug""")

_STATS: Final = text("""-- schools.stats: Add up the events and registrations of one school.
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
  FROM registrations WHERE school_id = :school_id
) AS people""")


@dataclass(frozen=True, slots=True, kw_only=True)
class School:
    """A tenant."""

    id: UUID
    slug: str
    name: str
    created_at: datetime
    synthetic: bool = False
    """Whether it serves no families but a demo, a drill or a probe."""


class Schools:
    """Every statement on schools."""

    def __init__(self, engine: AsyncEngine, jobs_engine: AsyncEngine) -> None:
        self._engine = engine
        self._jobs_engine = jobs_engine
        self._created = CreatedOnce(School, SchoolRow, SCHOOL_SLUG_TAKEN, engine)

    async def create(self, school: School, key: IdempotencyKey) -> tuple[School, bool]:
        """Create a school, whose id is ``id_of_new_school`` of its key, once per key; see ``CreatedOnce.create``."""
        try:
            return await self._created.create(school, key, school.id)
        except SlugTaken:
            # A release that chose ids at random may have answered this key.
            if (first := await self._created.first(key, await self._id_of(school.slug) or school.id)) is not None:
                return first, True
            raise
        except ConstraintViolated as violated:
            if violated.constraint != SCHOOL_ID_TAKEN:
                raise
            # The key opened a school so long ago that its answer is deleted.
            if await self._id_of(school.slug) == school.id:
                raise SlugTaken("school", school.slug) from None
            raise IdempotencyKeyReused from None

    async def _id_of(self, slug: str) -> UUID | None:
        async with open_connection(self._jobs_engine) as connection:
            school_id: UUID | None = await connection.scalar(_ID, {"slug": slug})
        return school_id

    async def stats(self, school_id: UUID) -> dict[str, Any]:
        """Return the sums over a school's events and registrations, by the names of the statement's columns.

        They are in registrations unless a name says spots. ``capacity_utilization`` is 0 to 1.
        """
        async with school_transaction(self._engine, school_id) as connection:
            row = (await connection.execute(_STATS, {"school_id": school_id})).mappings().one()
        return dict(row)
