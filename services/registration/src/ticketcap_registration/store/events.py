"""Reads events, and writes them when no seat is concerned."""

from dataclasses import asdict
from datetime import datetime
from typing import Final
from uuid import UUID, uuid4

from sqlalchemy import delete, exists, func, insert, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from ticketcap_chassis.concurrency.fair_semaphore import FairSemaphore
from ticketcap_chassis.database.errors import ConstraintViolated

from ticketcap_registration.domain.errors import EventHasRegistrations, EventNotFound, SlugTaken
from ticketcap_registration.domain.event import Event
from ticketcap_registration.domain.seat_announcement import SeatAnnouncement
from ticketcap_registration.domain.states import EventStatus
from ticketcap_registration.store.directory import EventKey
from ticketcap_registration.store.keyed import Key, Keyed, Made
from ticketcap_registration.store.models import EventRow, RegistrationRow
from ticketcap_registration.store.rows import event_of
from ticketcap_registration.store.seats import CHANNEL
from ticketcap_registration.store.transactions import school_transaction

SLUG_TAKEN: Final = "events_school_id_slug_key"
_HAS_REGISTRATIONS: Final = "registrations_school_id_event_id_fkey"
_COLUMNS: Final = EventRow.__table__.columns


class Events:
    """Every statement about events that is not a lane's."""

    def __init__(self, engine: AsyncEngine, jobs_engine: AsyncEngine, writes: FairSemaphore) -> None:
        self._engine = engine
        self._writes = writes
        self._keyed = Keyed(Event, engine=engine, jobs_engine=jobs_engine)

    async def add(self, event: Event, key: Key) -> Made[Event]:
        """Open an event once per key; raise SlugTaken or IdempotencyKeyReused."""

        async def make(connection: AsyncConnection) -> Event:
            await connection.execute(insert(EventRow), asdict(event))
            return event

        try:
            return await self._keyed.make(key, event.school_id, event.created_at, make)
        except ConstraintViolated as refused:
            if refused.constraint == SLUG_TAKEN:
                raise SlugTaken("event", event.slug) from None
            raise

    async def get(self, key: EventKey) -> Event:
        """Return the event as of now, or raise EventNotFound."""
        async with school_transaction(self._engine, key.school.id) as connection:
            row = (await connection.execute(select(*_COLUMNS).where(EventRow.id == key.id))).mappings().one_or_none()
        if row is None:
            raise EventNotFound(key.school.slug, str(key.id))
        return event_of(row)

    async def seen_by_nobody(self) -> bool:
        """Say whether a school that does not exist sees any event: it never does."""
        async with school_transaction(self._engine, uuid4()) as connection:
            return (await connection.execute(select(EventRow.id).limit(1))).first() is not None

    async def open_page(self, school_id: UUID, after: tuple[datetime, UUID] | None, limit: int) -> list[Event]:
        """Return at most ``limit`` open events that begin later than ``after``, soonest first."""
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
        """Remove an event, and announce it to those who watch its seats.

        Raises EventNotFound, or EventHasRegistrations when anybody ever registered.
        """
        registered = exists().where(RegistrationRow.event_id == key.id)
        announcement = SeatAnnouncement.of_deleted(key.id).to_json()
        removal = delete(EventRow).where(EventRow.id == key.id).returning(func.pg_notify(CHANNEL, announcement))
        try:
            async with self._writes.slot(key.id), school_transaction(self._engine, key.school.id) as connection:
                if await connection.scalar(select(registered)):
                    raise EventHasRegistrations(key.id)
                gone = await connection.execute(removal)
        except ConstraintViolated as refused:
            # Somebody registered between the look and the deletion.
            if refused.constraint == _HAS_REGISTRATIONS:
                raise EventHasRegistrations(key.id) from None
            raise
        if gone.rowcount == 0:
            raise EventNotFound(key.school.slug, str(key.id))
