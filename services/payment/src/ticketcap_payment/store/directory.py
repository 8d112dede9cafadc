"""Find a payment's key by its Order or id.

An Order and an id name their school by its tag: the schools with this tag are asked, usually one, under row-level
security. References of the releases before tags are looked for in all schools under the jobs role, which sees nothing
that a customer typed. Every later step runs as the school of the key.
"""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Row, TextClause, text
from sqlalchemy.ext.asyncio import AsyncEngine
from ticketcap_chassis.tagged_ids import tag_of, time_of

from ticketcap_payment.domain.errors import PaymentNotFound
from ticketcap_payment.domain.order import is_untagged_order, tag_of_order
from ticketcap_payment.domain.payment import PaymentKey
from ticketcap_payment.store.schools import Schools
from ticketcap_payment.store.transactions import read, school_transaction

_FAN_OUTS: Final = 2
"""Look-ups in all schools at the same time: any caller can guess an old reference."""
_FOUND_FOR: Final = timedelta(days=365)
"""Time after the last reference without a tag was made, in which customers find one; organisers have no limit."""

_TAGGED: Final = text("""-- directory.tagged: List the schools with a tag.
SELECT id FROM schools WHERE right(id::text, 4) = :tag""")

_MADE_UNTIL: Final = text("""-- directory.untagged_until: Read until when ids without a tag were made.
SELECT max(made_until) AS made_until FROM untagged_ids""")

_BY_ORDER: Final = text("""-- directory.order: Find a school's payment with an Order.
SELECT id, registration_id, school, school_id, school_synthetic FROM payments
WHERE school_id = :school_id AND "order" = :order""")

_BY_ID: Final = text("""-- directory.payment: Find a school's payment with an id.
SELECT id, registration_id, school, school_id, school_synthetic FROM payments
WHERE school_id = :school_id AND id = :id""")

_BY_UNTAGGED_ORDER: Final = text("""-- directory.untagged_order: Find the payment with an Order that has no tag.
SELECT id, registration_id, school, school_id, school_synthetic FROM payments WHERE "order" = :order""")

_BY_UNTAGGED_ID: Final = text("""-- directory.untagged_payment: Find the payment with an id that has no tag.
SELECT id, registration_id, school, school_id, school_synthetic FROM payments WHERE id = :id""")

_WITH_PAYMENTS: Final = text("""-- directory.with_payments: Pick the registrations that have a payment.
SELECT DISTINCT registration_id FROM payments
WHERE (school_id, registration_id) IN (SELECT * FROM unnest(CAST(:school_ids AS uuid[]), CAST(:ids AS uuid[])))""")


class Directory:
    """Finds payments by the names that other systems use."""

    def __init__(self, engine: AsyncEngine, jobs_engine: AsyncEngine, schools: Schools) -> None:
        self._engine = engine
        self._schools = schools
        self._jobs_engine = jobs_engine
        self._fan_outs = asyncio.Semaphore(_FAN_OUTS)

    async def by_order(self, order: str) -> PaymentKey | None:
        """Return the payment with this Order, or None."""
        if (tag := tag_of_order(order)) is not None:
            return await self._tagged(tag, _BY_ORDER, order=order)
        if is_untagged_order(order) and await self._made_until() is not None:
            return await self._anywhere(_BY_UNTAGGED_ORDER, order=order)
        return None

    async def payment(self, payment: str) -> PaymentKey:
        """Return the payment with this id, or raise PaymentNotFound."""
        payment_id = as_uuid(payment)
        if payment_id is None:
            raise PaymentNotFound(payment)
        key = await self._tagged(tag_of(payment_id), _BY_ID, id=payment_id)
        if key is None and await self._may_be_untagged(payment_id):
            key = await self._anywhere(_BY_UNTAGGED_ID, id=payment_id)
        if key is None:
            raise PaymentNotFound(payment)
        return key

    async def payment_of(self, school_slug: str, payment: str) -> PaymentKey:
        """Return a school's payment with this id, or raise PaymentNotFound."""
        payment_id = as_uuid(payment)
        school_id = None if payment_id is None else await self._schools.find(school_slug)
        key = None if school_id is None else await self._find_in(school_id, _BY_ID, id=payment_id)
        if key is None:
            raise PaymentNotFound(payment)
        return key

    async def with_payments(self, registrations: Sequence[tuple[UUID, UUID]]) -> frozenset[UUID]:
        """Return the ids of those registrations for which a payment was ever opened; each comes after its school's."""
        school_ids, ids = ([pair[part] for pair in registrations] for part in (0, 1))
        rows = await read(self._jobs_engine, _WITH_PAYMENTS, school_ids=school_ids, ids=ids)
        return frozenset(row.registration_id for row in rows)

    async def _tagged(self, tag: str, statement: TextClause, **values: object) -> PaymentKey | None:
        # Read each time: a cached list could lack a new school, and its customer's return would be refused.
        for school in await read(self._jobs_engine, _TAGGED, tag=tag):
            if (key := await self._find_in(school.id, statement, **values)) is not None:
                return key
        return None

    async def _find_in(self, school_id: UUID, statement: TextClause, **values: object) -> PaymentKey | None:
        async with school_transaction(self._engine, school_id) as connection:
            row = (await connection.execute(statement, {"school_id": school_id, **values})).one_or_none()
        return None if row is None else key_of(row)

    async def _anywhere(self, statement: TextClause, **values: object) -> PaymentKey | None:
        async with self._fan_outs:
            rows = await read(self._jobs_engine, statement, **values)
        return key_of(rows[0]) if rows else None

    async def _may_be_untagged(self, payment_id: UUID) -> bool:
        made_at = time_of(payment_id)
        made_until = None if made_at is None else await self._made_until()
        return made_at is not None and made_until is not None and made_at <= made_until

    async def _made_until(self) -> datetime | None:
        """Return until when ids without a tag were made, or None when they are no longer found."""
        made_until: datetime | None = (await read(self._jobs_engine, _MADE_UNTIL))[0].made_until
        if made_until is None or datetime.now(UTC) > made_until + _FOUND_FOR:
            return None
        return made_until


def key_of(row: Row[Any]) -> PaymentKey:
    """Return the key in a row with id, registration_id, school, school_id and school_synthetic."""
    return PaymentKey(row.id, row.registration_id, row.school, row.school_id, row.school_synthetic)


def as_uuid(value: str) -> UUID | None:
    """Return the id that ``value`` spells, or None."""
    try:
        return UUID(value)
    except ValueError:
        return None
