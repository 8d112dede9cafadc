"""Refunds of one school; every function works inside a school's transaction."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final
from uuid import UUID

from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from ticketcap_payment.domain.refund import Method, Refund
from ticketcap_payment.domain.states import RefundReason, RefundState
from ticketcap_payment.store.models import RefundRow

_COLUMNS: Final = RefundRow.__table__.columns
_CHANGING: Final = ("charge_id", "state", "method", "tries", "yaadpay_id", "ccode", "done_at")


async def of_payment(connection: AsyncConnection, payment_id: UUID) -> list[Refund]:
    """Return a payment's refunds, oldest first."""
    query = select(*_COLUMNS).where(RefundRow.payment_id == payment_id).order_by(RefundRow.id)
    return [_refund(row) for row in (await connection.execute(query)).mappings()]


async def get(connection: AsyncConnection, refund_id: UUID) -> Refund:
    """Return one refund as it is; lock its payment first to change it."""
    query = select(*_COLUMNS).where(RefundRow.id == refund_id)
    return _refund((await connection.execute(query)).mappings().one())


async def add(connection: AsyncConnection, refund: Refund) -> None:
    """Store a new refund."""
    await connection.execute(insert(RefundRow).values(asdict(refund)))


async def save(connection: AsyncConnection, refund: Refund) -> None:
    """Write what may change of a refund."""
    values = {name: getattr(refund, name) for name in _CHANGING}
    await connection.execute(update(RefundRow).where(RefundRow.id == refund.id).values(values))


def _refund(row: Mapping[Any, Any]) -> Refund:
    return Refund(
        **{
            **row,
            "state": RefundState(row["state"]),
            "reason": RefundReason(row["reason"]),
            "method": Method(row["method"]) if row["method"] else None,
        }
    )
