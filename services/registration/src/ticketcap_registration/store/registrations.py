"""Reads registrations, and checks people in."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ColumnElement, Select, func, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from ticketcap_chassis.concurrency.fair_semaphore import FairSemaphore

from ticketcap_registration.domain.check_in import can_undo_check_in, check_in
from ticketcap_registration.domain.errors import CodeNotFound, RegistrationNotFound
from ticketcap_registration.domain.registration import Registration
from ticketcap_registration.domain.states import RegistrationStatus
from ticketcap_registration.store.directory import EventKey
from ticketcap_registration.store.models import EventRow, RegistrationRow
from ticketcap_registration.store.rows import registration_of
from ticketcap_registration.store.transactions import school_transaction

CODE_TAKEN: Final = "registrations_confirmation_code_key"
_COLUMNS: Final = RegistrationRow.__table__.columns
_AGE: Final = (RegistrationRow.created_at, RegistrationRow.id)


@dataclass(frozen=True, slots=True)
class RegistrationView:
    """A registration as it is shown: with its event's slug, and its place in the waitlist (from 1) while it waits."""

    registration: Registration
    event_slug: str
    waitlist_position: int | None = None


class Registrations:
    """Every statement about registrations that is not a lane's."""

    def __init__(self, engine: AsyncEngine, writes: FairSemaphore) -> None:
        self._engine = engine
        self._writes = writes

    async def get(self, event: EventKey, registration_id: UUID) -> RegistrationView:
        """Return one registration with its place in the waitlist, or raise RegistrationNotFound."""
        async with school_transaction(self._engine, event.school.id) as connection:
            row = (
                (await connection.execute(_shown().where(RegistrationRow.id == registration_id)))
                .mappings()
                .one_or_none()
            )
            if row is None:
                raise RegistrationNotFound(str(registration_id))
            view = _view(row)
            return RegistrationView(view.registration, view.event_slug, await _position(connection, view.registration))

    async def page(
        self,
        event: EventKey,
        *,
        after: tuple[datetime, UUID] | None,
        limit: int,
        status: RegistrationStatus | None = None,
    ) -> list[RegistrationView]:
        """Return at most ``limit`` registrations made later than ``after``, oldest first, with waitlist positions."""
        rows = _shown().where(RegistrationRow.event_id == event.id).order_by(*_AGE).limit(limit)
        if status is not None:
            rows = rows.where(RegistrationRow.status == status)
        if after is not None:
            rows = rows.where(tuple_(*_AGE) > after)
        query = _with_positions(rows, event)
        async with school_transaction(self._engine, event.school.id) as connection:
            return [_view(row) for row in (await connection.execute(query)).mappings()]

    async def check_in(self, event: EventKey, code: str) -> RegistrationView:
        """Mark the registration with this confirmation code as arrived; raise what ``domain.check_in`` refuses."""
        async with self._locked(event, RegistrationRow.confirmation_code == code) as (connection, view, now):
            await _arrived(connection, view.registration, check_in(view.registration, now))
        return view

    async def undo_check_in(self, event: EventKey, registration_id: UUID) -> RegistrationView:
        """Take a check-in back; raise what ``domain.check_in`` refuses."""
        async with self._locked(event, RegistrationRow.id == registration_id) as (connection, view, _):
            can_undo_check_in(view.registration)
            await _arrived(connection, view.registration, None)
        return view

    @asynccontextmanager
    async def _locked(
        self, event: EventKey, which: ColumnElement[bool]
    ) -> AsyncIterator[tuple[AsyncConnection, RegistrationView, datetime]]:
        """Lock one registration: a lane that would cancel it waits, then sees what was done here, or was first."""
        query = _shown().add_columns(func.statement_timestamp().label("now"))
        query = query.where(RegistrationRow.event_id == event.id, which).with_for_update(of=RegistrationRow)
        async with self._writes.slot(event.id), school_transaction(self._engine, event.school.id) as connection:
            row = (await connection.execute(query)).mappings().one_or_none()
            if row is None:
                raise CodeNotFound(event.id)
            values = dict(row)
            now = values.pop("now")
            yield connection, _view(values), now


async def _arrived(connection: AsyncConnection, registration: Registration, at: datetime | None) -> None:
    change = update(RegistrationRow).where(RegistrationRow.id == registration.id)
    await connection.execute(change.values(checked_in_at=at))
    registration.checked_in_at = at


def _shown() -> Select[Any]:
    return select(*_COLUMNS, EventRow.slug.label("event_slug")).join(EventRow, EventRow.id == RegistrationRow.event_id)


def _with_positions(rows: Select[Any], event: EventKey) -> Select[Any]:
    """Add waitlist positions to some rows of an event.

    One statement numbers the waitlist and reads the rows, so all positions are of one moment. The numbering reads
    only the waitlist's index. A row that left the waitlist keeps its ``waitlist_seq``, so the join compares statuses.
    """
    page = rows.subquery("page")
    waiting = (
        select(
            RegistrationRow.waitlist_seq,
            func.row_number().over(order_by=RegistrationRow.waitlist_seq).label("waitlist_position"),
        )
        .where(RegistrationRow.event_id == event.id, RegistrationRow.status == RegistrationStatus.WAITLISTED)
        .subquery("waiting")
    )
    waits = page.c.status == RegistrationStatus.WAITLISTED
    numbered = page.outerjoin(waiting, waits & (page.c.waitlist_seq == waiting.c.waitlist_seq))
    query = select(*page.c, waiting.c.waitlist_position).select_from(numbered)
    return query.order_by(page.c.created_at, page.c.id)


def _view(row: Mapping[Any, Any]) -> RegistrationView:
    values = dict(row)
    slug, position = values.pop("event_slug"), values.pop("waitlist_position", None)
    return RegistrationView(registration_of(values), slug, position)


async def _position(connection: AsyncConnection, registration: Registration) -> int | None:
    if registration.status is not RegistrationStatus.WAITLISTED:
        return None
    ahead = select(func.count()).where(
        RegistrationRow.event_id == registration.event_id,
        RegistrationRow.status == RegistrationStatus.WAITLISTED,
        RegistrationRow.waitlist_seq < registration.waitlist_seq,
    )
    return 1 + (await connection.scalar(ahead) or 0)
