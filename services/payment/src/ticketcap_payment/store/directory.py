"""Find a payment's key by its Order or id, in any school.

Runs under the jobs role, which sees nothing that a customer typed. Every later step runs as the school of the key.
"""

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncEngine

from ticketcap_payment.domain.errors import PaymentNotFound
from ticketcap_payment.domain.payment import PaymentKey
from ticketcap_payment.store.transactions import read

_BY_ORDER: Final = text("""-- directory.order: Find the payment with an Order.
SELECT id, registration_id, school, school_id, school_synthetic FROM payments WHERE "order" = :order""")

_BY_ID: Final = text("""-- directory.payment: Find the payment with an id.
SELECT id, registration_id, school, school_id, school_synthetic FROM payments WHERE id = :id""")

_WITH_PAYMENTS: Final = text("""-- directory.with_payments: Pick the registrations that have a payment.
SELECT DISTINCT registration_id FROM payments WHERE registration_id = ANY(:registration_ids)""")


class Directory:
    """Finds payments by the names that other systems use."""

    def __init__(self, jobs_engine: AsyncEngine) -> None:
        self._engine = jobs_engine

    async def by_order(self, order: str) -> PaymentKey | None:
        """Return the payment with this Order, or None."""
        rows = await read(self._engine, _BY_ORDER, order=order)
        return key_of(rows[0]) if rows else None

    async def payment(self, payment: str) -> PaymentKey:
        """Return the payment with this id, or raise PaymentNotFound."""
        payment_id = as_uuid(payment)
        rows = await read(self._engine, _BY_ID, id=payment_id) if payment_id else []
        if not rows:
            raise PaymentNotFound(payment)
        return key_of(rows[0])

    async def with_payments(self, registration_ids: Sequence[UUID]) -> frozenset[UUID]:
        """Return those of ``registration_ids`` for which a payment was ever opened."""
        rows = await read(self._engine, _WITH_PAYMENTS, registration_ids=list(registration_ids))
        return frozenset(row.registration_id for row in rows)


def key_of(row: Row[Any]) -> PaymentKey:
    """Return the key in a row with id, registration_id, school, school_id and school_synthetic."""
    return PaymentKey(row.id, row.registration_id, row.school, row.school_id, row.school_synthetic)


def as_uuid(value: str) -> UUID | None:
    """Return the id that ``value`` spells, or None."""
    try:
        return UUID(value)
    except ValueError:
        return None
