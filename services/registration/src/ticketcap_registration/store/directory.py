"""Resolve slugs and ids to keys.

Schools and events are found under the jobs role, which sees no personal data. A registration is looked for school by
school, under row-level security. Every later statement of a call runs under the school that is found here.
"""

from contextlib import suppress
from typing import Any, Final
from uuid import UUID

from async_lru import alru_cache
from sqlalchemy import Row, TextClause, text
from sqlalchemy.ext.asyncio import AsyncEngine
from ticketcap_chassis.database.transactions import open_connection
from ticketcap_chassis.tagged_ids import tag_of

from ticketcap_registration.domain.errors import EventNotFound, RegistrationNotFound, SchoolNotFound
from ticketcap_registration.domain.keys import EventKey, SchoolKey, parse_uuid
from ticketcap_registration.store.transactions import school_transaction

# A school's slug and ``synthetic`` never change. An event's may change, and the event may be deleted.
_CACHED_SCHOOLS: Final = 10_000
_CACHED_TAGS: Final = 10_000
_CACHED_EVENTS: Final = 10_000
_EVENT_SECONDS: Final = 2.0
# A new school may join those with its tag; until it is seen here, its registrations are found over all schools.
_TAG_SECONDS: Final = 60.0

_SCHOOL: Final = text("""-- directory.school: Find a school by its slug.
SELECT id, synthetic FROM schools WHERE slug = :school""")

_TAGGED: Final = text("""-- directory.tagged: List the schools with a tag.
SELECT id, slug, synthetic FROM schools WHERE right(id::text, 4) = :tag""")

_EVENT: Final = text("""-- directory.event: Find an event of a school by its id or its slug; the id wins.
SELECT id FROM events WHERE school_id = :school_id AND (slug = :event OR id = :event_id)
ORDER BY id = :event_id DESC NULLS LAST LIMIT 1""")

_REGISTRATION: Final = text("""-- directory.registration: Find the event of a school's registration.
SELECT event_id FROM registrations WHERE school_id = :school_id AND id = :registration_id""")

_UNTAGGED: Final = text("""-- directory.untagged: Find the event and school of a registration whose id has no tag.
SELECT registrations.event_id, registrations.school_id, schools.slug AS school, schools.synthetic
FROM registrations JOIN schools ON schools.id = registrations.school_id
WHERE registrations.id = :registration_id""")


class Directory:
    """Finds schools, events and registrations; caches schools, and events for two seconds."""

    def __init__(self, engine: AsyncEngine, jobs_engine: AsyncEngine) -> None:
        self._engine = engine
        self._jobs_engine = jobs_engine
        self._cached_school = alru_cache(maxsize=_CACHED_SCHOOLS)(self._find_school)
        self._cached_tagged = alru_cache(maxsize=_CACHED_TAGS, ttl=_TAG_SECONDS)(self._find_tagged)
        self._cached_event = alru_cache(maxsize=_CACHED_EVENTS, ttl=_EVENT_SECONDS)(self._find_event)

    async def school(self, slug: str) -> SchoolKey:
        """Return the school, or raise SchoolNotFound."""
        return await self._cached_school(slug)

    async def event(self, school: str, event: str) -> EventKey:
        """Return the event by its id or slug, or raise SchoolNotFound or EventNotFound."""
        return await self._cached_event(school, event)

    async def registration(self, registration_id: UUID) -> EventKey:
        """Return a registration's event, or raise RegistrationNotFound.

        For callers who know the id from TicketCap: an id that no school with its tag has is looked for in all schools,
        because ids of the releases before tags have none. Guesses must not come here.
        """
        for school in await self._cached_tagged(tag_of(registration_id)):
            if (event := await self._find_in(school, registration_id)) is not None:
                return event
        row = await self._one(_UNTAGGED, {"registration_id": registration_id})
        if row is None:
            raise RegistrationNotFound(str(registration_id))
        return EventKey(row.event_id, SchoolKey(row.school_id, row.school, row.synthetic))

    async def registration_of(self, school: str, registration_id: UUID) -> EventKey:
        """Return the event of a school's registration, or raise RegistrationNotFound."""
        with suppress(SchoolNotFound):
            if (event := await self._find_in(await self.school(school), registration_id)) is not None:
                return event
        raise RegistrationNotFound(str(registration_id))

    async def close(self) -> None:
        """Cancel look-ups that still run."""
        await self._cached_school.cache_close()
        await self._cached_tagged.cache_close()
        await self._cached_event.cache_close()

    async def _find_school(self, slug: str) -> SchoolKey:
        row = await self._one(_SCHOOL, {"school": slug})
        if row is None:
            raise SchoolNotFound(slug)
        return SchoolKey(row.id, slug, row.synthetic)

    async def _find_tagged(self, tag: str) -> list[SchoolKey]:
        async with open_connection(self._jobs_engine) as connection:
            rows = (await connection.execute(_TAGGED, {"tag": tag})).all()
        return [SchoolKey(row.id, row.slug, row.synthetic) for row in rows]

    async def _find_in(self, school: SchoolKey, registration_id: UUID) -> EventKey | None:
        values = {"school_id": school.id, "registration_id": registration_id}
        async with school_transaction(self._engine, school.id) as connection:
            event_id = await connection.scalar(_REGISTRATION, values)
        return None if event_id is None else EventKey(event_id, school)

    async def _find_event(self, school: str, event: str) -> EventKey:
        key = await self.school(school)
        row = await self._one(_EVENT, {"school_id": key.id, "event": event, "event_id": parse_uuid(event)})
        if row is None:
            raise EventNotFound(school, event)
        return EventKey(row.id, key)

    async def _one(self, statement: TextClause, values: dict[str, object]) -> Row[Any] | None:
        async with open_connection(self._jobs_engine) as connection:
            return (await connection.execute(statement, values)).one_or_none()
