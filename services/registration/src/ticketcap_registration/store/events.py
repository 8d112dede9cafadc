"""Read events, and write them when no seat changes."""

from typing import Final
from uuid import UUID, uuid4

from sqlalchemy import delete, exists, select, tuple_
from sqlalchemy.ext.asyncio import AsyncEngine
from ticketcap_chassis.concurrency.fair_semaphore import FairSemaphore
from ticketcap_chassis.database.errors import ConstraintViolated

from ticketcap_registration.domain.cursor import PagePosition
from ticketcap_registration.domain.errors import EventHasRegistrations, EventNotFound
from ticketcap_registration.domain.event import Event, must_have_no_registrations
from ticketcap_registration.domain.idempotency import IdempotencyKey
from ticketcap_registration.domain.keys import EventKey
from ticketcap_registration.domain.states import EventStatus
from ticketcap_registration.store.idempotency import CreatedOnce
from ticketcap_registration.store.models import EVENT_SLUG_TAKEN, HAS_REGISTRATIONS, EventRow, RegistrationRow
from ticketcap_registration.store.rows import event_of
from ticketcap_registration.store.transactions import school_transaction

_COLUMNS: Final = EventRow.__table__.columns


class Events:
    """Every statement on events but those of a lane."""

    def __init__(self, engine: AsyncEngine, writes: FairSemaphore) -> None:
        self._engine = engine
        self._writes = writes
        self._created = CreatedOnce(Event, EventRow, EVENT_SLUG_TAKEN, engine)

    async def create(self, event: Event, key: IdempotencyKey) -> tuple[Event, bool]:
        """Create an event once per key; see ``CreatedOnce.create``."""
        return await self._created.create(event, key, event.school_id)

    async def get(self, key: EventKey) -> Event:
        """Return the event as of now, or raise EventNotFound."""
        query = select(*_COLUMNS).where(EventRow.school_id == key.school.id, EventRow.id == key.id)
        async with school_transaction(self._engine, key.school.id) as connection:
            row = (await connection.execute(query)).mappings().one_or_none()
        if row is None:
            raise EventNotFound(key.school.slug, str(key.id))
        return event_of(row)

    async def visible_to_unknown_school(self) -> bool:
        """Say whether a school that does not exist sees any event. It never does."""
        async with school_transaction(self._engine, uuid4()) as connection:
            return (await connection.execute(select(EventRow.id).limit(1))).first() is not None

    async def open_page(self, school_id: UUID, after: PagePosition | None, limit: int) -> list[Event]:
        """Return at most ``limit`` open events that start after ``after``, earliest first."""
        query = (
            select(*_COLUMNS)
            .where(EventRow.school_id == school_id, EventRow.status == EventStatus.OPEN)
            .order_by(EventRow.starts_at, EventRow.id)
            .limit(limit)
        )
        if after is not None:
            query = query.where(tuple_(EventRow.starts_at, EventRow.id) > after)
        async with school_transaction(self._engine, school_id) as connection:
            return [event_of(row) for row in (await connection.execute(query)).mappings()]

    async def delete(self, key: EventKey) -> None:
        """Delete an event; raise EventNotFound or EventHasRegistrations."""
        registered = exists().where(RegistrationRow.school_id == key.school.id, RegistrationRow.event_id == key.id)
        deletion = delete(EventRow).where(EventRow.school_id == key.school.id, EventRow.id == key.id)
        try:
            async with self._writes.slot(key.id), school_transaction(self._engine, key.school.id) as connection:
                must_have_no_registrations(key.id, has_any=bool(await connection.scalar(select(registered))))
                if (await connection.execute(deletion)).rowcount == 0:
                    raise EventNotFound(key.school.slug, str(key.id))
        except ConstraintViolated as violated:
            # A registration was committed between the look and the deletion.
            if violated.constraint == HAS_REGISTRATIONS:
                raise EventHasRegistrations(key.id) from None
            raise
