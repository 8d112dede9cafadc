"""Read registrations, and write their check-ins."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Select, func, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from ticketcap_chassis.concurrency.fair_semaphore import FairSemaphore

from ticketcap_registration.domain.cursor import PagePosition
from ticketcap_registration.domain.errors import CodeNotFound, RegistrationNotFound
from ticketcap_registration.domain.keys import EventKey
from ticketcap_registration.domain.registration import Registration
from ticketcap_registration.domain.states import RegistrationStatus
from ticketcap_registration.store.models import EventRow, RegistrationRow
from ticketcap_registration.store.rows import registration_of
from ticketcap_registration.store.transactions import school_transaction

_COLUMNS: Final = RegistrationRow.__table__.columns
_AGE: Final = (RegistrationRow.created_at, RegistrationRow.id)


@dataclass(frozen=True, slots=True)
class RegistrationView:
    """A registration with its event's slug and, while it waits, its position in the waitlist, which counts from 1."""

    registration: Registration
    event_slug: str
    waitlist_position: int | None = None


class Registrations:
    """Every statement on registrations but those of a lane."""

    def __init__(self, engine: AsyncEngine, writes: FairSemaphore) -> None:
        self._engine = engine
        self._writes = writes

    async def get(self, event: EventKey, registration_id: UUID) -> RegistrationView:
        """Return one registration with its waitlist position, or raise RegistrationNotFound."""
        async with school_transaction(self._engine, event.school.id) as connection:
            row = (
                (await connection.execute(_views(event).where(RegistrationRow.id == registration_id)))
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
        after: PagePosition | None,
        limit: int,
        status: RegistrationStatus | None = None,
    ) -> list[RegistrationView]:
        """Return at most ``limit`` registrations after ``after``, oldest first, with waitlist positions."""
        rows = _views(event).where(RegistrationRow.event_id == event.id).order_by(*_AGE).limit(limit)
        if status is not None:
            rows = rows.where(RegistrationRow.status == status)
        if after is not None:
            rows = rows.where(tuple_(*_AGE) > after)
        query = _with_positions(rows, event)
        async with school_transaction(self._engine, event.school.id) as connection:
            return [_view(row) for row in (await connection.execute(query)).mappings()]

    async def update_check_in(
        self,
        event: EventKey,
        rule: Callable[[Registration, datetime], None],
        *,
        code: str | None = None,
        registration_id: UUID | None = None,
    ) -> RegistrationView:
        """Apply ``rule`` to the registration with this confirmation code or id, and store its ``checked_in_at``.

        The registration's row stays locked meanwhile: a lane that would cancel it waits, or was first.
        Raises CodeNotFound, or the errors of ``rule``, which gets the database's time.
        """
        named = RegistrationRow.id == registration_id if code is None else RegistrationRow.confirmation_code == code
        query = _views(event).add_columns(func.statement_timestamp().label("now"))
        query = query.where(RegistrationRow.event_id == event.id, named).with_for_update(of=RegistrationRow)
        async with self._writes.slot(event.id), school_transaction(self._engine, event.school.id) as connection:
            row = (await connection.execute(query)).mappings().one_or_none()
            if row is None:
                raise CodeNotFound(event.id)
            values = dict(row)
            now = values.pop("now")
            view = _view(values)
            rule(view.registration, now)
            change = update(RegistrationRow).where(
                RegistrationRow.school_id == event.school.id, RegistrationRow.id == view.registration.id
            )
            await connection.execute(change.values(checked_in_at=view.registration.checked_in_at))
        return view


def _views(event: EventKey) -> Select[Any]:
    """Select the views of the registrations of an event's school."""
    of_event = (EventRow.school_id == RegistrationRow.school_id) & (EventRow.id == RegistrationRow.event_id)
    views = select(*_COLUMNS, EventRow.slug.label("event_slug")).join(EventRow, of_event)
    return views.where(RegistrationRow.school_id == event.school.id)


def _with_positions(rows: Select[Any], event: EventKey) -> Select[Any]:
    """Add waitlist positions to some rows of an event.

    One statement numbers the waitlist and reads the rows, so all positions are of one moment. The numbering reads
    only the waitlist's index. A row that left the waitlist has its ``waitlist_seq`` still, so statuses are compared.
    """
    page = rows.subquery("page")
    waiting = (
        select(
            RegistrationRow.waitlist_seq,
            func.row_number().over(order_by=RegistrationRow.waitlist_seq).label("waitlist_position"),
        )
        .where(
            RegistrationRow.school_id == event.school.id,
            RegistrationRow.event_id == event.id,
            RegistrationRow.status == RegistrationStatus.WAITLISTED,
        )
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
        RegistrationRow.school_id == registration.school_id,
        RegistrationRow.event_id == registration.event_id,
        RegistrationRow.status == RegistrationStatus.WAITLISTED,
        RegistrationRow.waitlist_seq < registration.waitlist_seq,
    )
    return 1 + (await connection.scalar(ahead) or 0)
