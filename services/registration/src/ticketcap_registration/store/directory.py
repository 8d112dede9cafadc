"""Resolve slugs and ids to keys, over all schools.

Runs under the jobs role, which sees no personal data. Every later statement of a call runs under the school that is
found here.
"""

from typing import Any, Final
from uuid import UUID

from async_lru import alru_cache
from sqlalchemy import Row, TextClause, text
from sqlalchemy.ext.asyncio import AsyncEngine
from ticketcap_chassis.database.transactions import open_connection

from ticketcap_registration.domain.errors import EventNotFound, RegistrationNotFound, SchoolNotFound
from ticketcap_registration.domain.keys import EventKey, SchoolKey, parse_uuid

# A school's slug and ``synthetic`` never change. An event's may change, and the event may be deleted.
_CACHED_SCHOOLS: Final = 10_000
_CACHED_EVENTS: Final = 10_000
_EVENT_SECONDS: Final = 2.0

_SCHOOL: Final = text("""-- directory.school: Find a school by its slug.
SELECT id, synthetic FROM schools WHERE slug = :school""")

_EVENT: Final = text("""-- directory.event: Find an event of a school by its id or its slug; the id wins.
SELECT id FROM events WHERE school_id = :school_id AND (slug = :event OR id = :event_id)
ORDER BY id = :event_id DESC NULLS LAST LIMIT 1""")

_REGISTRATION: Final = text("""-- directory.registration: Find a registration's event and school.
SELECT registrations.event_id, registrations.school_id, schools.slug AS school, schools.synthetic
FROM registrations JOIN schools ON schools.id = registrations.school_id
WHERE registrations.id = :registration_id""")


class Directory:
    """Finds schools and events; caches schools, and events for two seconds."""

    def __init__(self, jobs_engine: AsyncEngine) -> None:
        self._engine = jobs_engine
        self._cached_school = alru_cache(maxsize=_CACHED_SCHOOLS)(self._find_school)
        self._cached_event = alru_cache(maxsize=_CACHED_EVENTS, ttl=_EVENT_SECONDS)(self._find_event)

    async def school(self, slug: str) -> SchoolKey:
        """Return the school, or raise SchoolNotFound."""
        return await self._cached_school(slug)

    async def event(self, school: str, event: str) -> EventKey:
        """Return the event by its id or slug, or raise SchoolNotFound or EventNotFound."""
        return await self._cached_event(school, event)

    async def registration(self, registration_id: UUID) -> EventKey:
        """Return a registration's event, or raise RegistrationNotFound."""
        row = await self._one(_REGISTRATION, {"registration_id": registration_id})
        if row is None:
            raise RegistrationNotFound(str(registration_id))
        return EventKey(row.event_id, SchoolKey(row.school_id, row.school, row.synthetic))

    async def close(self) -> None:
        """Cancel look-ups that still run."""
        await self._cached_school.cache_close()
        await self._cached_event.cache_close()

    async def _find_school(self, slug: str) -> SchoolKey:
        row = await self._one(_SCHOOL, {"school": slug})
        if row is None:
            raise SchoolNotFound(slug)
        return SchoolKey(row.id, slug, row.synthetic)

    async def _find_event(self, school: str, event: str) -> EventKey:
        key = await self.school(school)
        row = await self._one(_EVENT, {"school_id": key.id, "event": event, "event_id": parse_uuid(event)})
        if row is None:
            raise EventNotFound(school, event)
        return EventKey(row.id, key)

    async def _one(self, statement: TextClause, values: dict[str, object]) -> Row[Any] | None:
        async with open_connection(self._engine) as connection:
            return (await connection.execute(statement, values)).one_or_none()
