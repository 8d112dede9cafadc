"""Which school and which event a caller means: from slugs and ids to keys, over all schools.

Runs under the jobs role, which sees no person. Everything after it runs under
the school found here.
"""

from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from async_lru import alru_cache
from sqlalchemy import Row, TextClause, text
from sqlalchemy.ext.asyncio import AsyncEngine
from ticketcap_chassis.database.transactions import open_connection

from ticketcap_registration.domain.errors import EventNotFound, RegistrationNotFound, SchoolNotFound

# A school's slug never changes; an event's may, or the event may go.
_SCHOOLS_KEPT: Final = 10_000
_EVENTS_KEPT: Final = 10_000
_EVENT_SECONDS: Final = 2.0

_SCHOOL: Final = text("""-- directory.school
SELECT id FROM schools WHERE slug = :school""")

_EVENT: Final = text("""-- directory.event
SELECT id FROM events WHERE school_id = :school_id AND (slug = :event OR id = :event_id)
ORDER BY id = :event_id DESC NULLS LAST LIMIT 1""")

_REGISTRATION: Final = text("""-- directory.registration
SELECT registrations.event_id, registrations.school_id, schools.slug AS school
FROM registrations JOIN schools ON schools.id = registrations.school_id
WHERE registrations.id = :registration_id""")


@dataclass(frozen=True, slots=True)
class SchoolKey:
    """A school: its id and its slug."""

    id: UUID
    slug: str


@dataclass(frozen=True, slots=True)
class EventKey:
    """An event of a school."""

    id: UUID
    school: SchoolKey


class Directory:
    """Finds schools and events by what callers call them; remembers the answers for a short while."""

    def __init__(self, jobs_engine: AsyncEngine) -> None:
        self._engine = jobs_engine
        self._cached_school = alru_cache(maxsize=_SCHOOLS_KEPT)(self._find_school)
        self._cached_event = alru_cache(maxsize=_EVENTS_KEPT, ttl=_EVENT_SECONDS)(self._find_event)

    async def school(self, slug: str) -> SchoolKey:
        """Return the school, or raise SchoolNotFound."""
        return await self._cached_school(slug)

    async def event(self, school: str, event: str) -> EventKey:
        """Return the event by its id or slug, or raise SchoolNotFound or EventNotFound."""
        return await self._cached_event(school, event)

    async def registration(self, registration: str) -> EventKey:
        """Return the event that a registration id belongs to, or raise RegistrationNotFound."""
        registration_id = as_uuid(registration)
        if registration_id is None:
            raise RegistrationNotFound(registration)
        row = await self._one(_REGISTRATION, {"registration_id": registration_id})
        if row is None:
            raise RegistrationNotFound(registration)
        return EventKey(row.event_id, SchoolKey(row.school_id, row.school))

    async def close(self) -> None:
        """End look-ups that are under way."""
        await self._cached_school.cache_close()
        await self._cached_event.cache_close()

    async def _find_school(self, slug: str) -> SchoolKey:
        row = await self._one(_SCHOOL, {"school": slug})
        if row is None:
            raise SchoolNotFound(slug)
        return SchoolKey(row.id, slug)

    async def _find_event(self, school: str, event: str) -> EventKey:
        key = await self.school(school)
        row = await self._one(_EVENT, {"school_id": key.id, "event": event, "event_id": as_uuid(event)})
        if row is None:
            raise EventNotFound(school, event)
        return EventKey(row.id, key)

    async def _one(self, statement: TextClause, values: dict[str, object]) -> Row[Any] | None:
        async with open_connection(self._engine) as connection:
            return (await connection.execute(statement, values)).one_or_none()


def as_uuid(spelled: str) -> UUID | None:
    """Return the id that ``spelled`` is, or None when it is none."""
    try:
        return UUID(spelled)
    except ValueError:
        return None
