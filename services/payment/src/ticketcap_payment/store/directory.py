"""Which payment somebody means, over all schools: from an Order or an id to a key.

Runs under the jobs role, which sees nothing that a customer typed. Everything after it runs under the school found
here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Row, TextClause, text
from sqlalchemy.ext.asyncio import AsyncEngine
from ticketcap_chassis.database.transactions import open_connection

from ticketcap_payment.domain.errors import PaymentNotFound

_BY_ORDER: Final = text("""-- directory.order
SELECT id, school, registration_id FROM payments WHERE "order" = :order""")

_BY_ID: Final = text("""-- directory.payment
SELECT id, school, registration_id FROM payments WHERE id = :id""")


_WITH_PAYMENTS: Final = text("""-- directory.with_payments
SELECT DISTINCT registration_id FROM payments WHERE registration_id = ANY(:registration_ids)""")


@dataclass(frozen=True, slots=True)
class PaymentKey:
    """A payment, whose school (a slug) it is, and what is paid for."""

    id: UUID
    school: str
    registration_id: UUID


class Directory:
    """Finds payments by what others call them."""

    def __init__(self, jobs_engine: AsyncEngine) -> None:
        self._engine = jobs_engine

    async def by_order(self, order: str) -> PaymentKey | None:
        """Return the payment with this Order, None when there is none."""
        return _key(await self._one(_BY_ORDER, {"order": order}))

    async def payment(self, payment: str) -> PaymentKey:
        """Return the payment with this id, or raise PaymentNotFound."""
        payment_id = as_uuid(payment)
        key = _key(await self._one(_BY_ID, {"id": payment_id})) if payment_id else None
        if key is None:
            raise PaymentNotFound(payment)
        return key

    async def with_payments(self, registration_ids: Sequence[UUID]) -> frozenset[UUID]:
        """Return those of ``registration_ids`` for which a payment was ever opened."""
        async with open_connection(self._engine) as connection:
            found = await connection.execute(_WITH_PAYMENTS, {"registration_ids": list(registration_ids)})
        return frozenset(found.scalars())

    async def _one(self, statement: TextClause, values: dict[str, object]) -> Row[Any] | None:
        async with open_connection(self._engine) as connection:
            return (await connection.execute(statement, values)).one_or_none()


def _key(row: Row[Any] | None) -> PaymentKey | None:
    return None if row is None else PaymentKey(row.id, row.school, row.registration_id)


def as_uuid(spelled: str) -> UUID | None:
    """Return the id that ``spelled`` is, or None when it is none."""
    try:
        return UUID(spelled)
    except ValueError:
        return None
