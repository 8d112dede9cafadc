"""Store refunds.

Every function works inside a school's transaction.
"""

from dataclasses import asdict
from typing import Final
from uuid import UUID

from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from ticketcap_payment.domain.refund import Refund
from ticketcap_payment.store.models import RefundRow, columns_of

_COLUMNS: Final = columns_of(RefundRow, Refund)
_CHANGING: Final = ("charge_id", "state", "method", "tries", "yaadpay_id", "ccode", "done_at")


async def of_payment(connection: AsyncConnection, school_id: UUID, payment_id: UUID) -> list[Refund]:
    """Return a payment's refunds, oldest first."""
    own = (RefundRow.school_id == school_id) & (RefundRow.payment_id == payment_id)
    query = select(*_COLUMNS).where(own).order_by(RefundRow.id)
    return [Refund(**row) for row in (await connection.execute(query)).mappings()]


async def get(connection: AsyncConnection, school_id: UUID, refund_id: UUID) -> Refund:
    """Return an existing refund. Lock its payment first to change it."""
    query = select(*_COLUMNS).where(RefundRow.school_id == school_id, RefundRow.id == refund_id)
    return Refund(**(await connection.execute(query)).mappings().one())


async def add(connection: AsyncConnection, refund: Refund) -> None:
    """Store a new refund."""
    await connection.execute(insert(RefundRow).values(asdict(refund)))


async def save(connection: AsyncConnection, refund: Refund) -> None:
    """Write a refund's changing fields."""
    values = {name: getattr(refund, name) for name in _CHANGING}
    own = (RefundRow.school_id == refund.school_id) & (RefundRow.id == refund.id)
    await connection.execute(update(RefundRow).where(own).values(values))
