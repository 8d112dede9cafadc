"""Payments of one school and what YaadPay numbered for them; every function works inside a school's transaction."""

import enum
from collections.abc import Mapping
from dataclasses import asdict, fields
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import insert, select, text, update
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncConnection

from ticketcap_payment.domain.payment import Payment
from ticketcap_payment.domain.states import PaymentState, SeatState
from ticketcap_payment.store.models import PaymentRow, TransactionRow

_COLUMNS: Final = PaymentRow.__table__.columns
_FIXED: Final = frozenset(
    {
        *("id", "school", "registration_id", "event_id", "order", "masof", "amount_agorot", "currency", "language"),
        *("idempotency_key", "fingerprint", "created_at", "traceparent"),
    }
)
_CHANGING: Final = tuple(field.name for field in fields(Payment) if field.name not in _FIXED)

_SERIAL: Final = text("""-- payments.serial
SELECT pg_advisory_xact_lock(hashtextextended(:registration_id, 0))""")


class Role(enum.StrEnum):
    """What a transaction of YaadPay's is to a payment."""

    AUTHORISATION = "AUTHORISATION"
    CHARGE = "CHARGE"
    DECLINED = "DECLINED"
    SURPLUS = "SURPLUS"
    """Paid on the same page, or for the same registration, a second time."""
    REFUND = "REFUND"


async def lock_all(connection: AsyncConnection, registration_id: UUID) -> list[Payment]:
    """Return a registration's payments, oldest first, locked: nobody adds one or changes one before the commit."""
    await connection.execute(_SERIAL, {"registration_id": str(registration_id)})
    query = select(*_COLUMNS).where(PaymentRow.registration_id == registration_id).order_by(PaymentRow.id)
    return [_payment(row) for row in (await connection.execute(query.with_for_update())).mappings()]


async def get(connection: AsyncConnection, payment_id: UUID) -> Payment:
    """Return one payment as it is; its id came from the directory, so it is there."""
    query = select(*_COLUMNS).where(PaymentRow.id == payment_id)
    return _payment((await connection.execute(query)).mappings().one())


async def lock(connection: AsyncConnection, payment: Payment) -> Payment:
    """Return ``payment`` as it is now, its registration's payments locked."""
    everything = await lock_all(connection, payment.registration_id)
    return next(one for one in everything if one.id == payment.id)


async def add(connection: AsyncConnection, payment: Payment) -> None:
    """Store a new payment."""
    await connection.execute(insert(PaymentRow).values(asdict(payment)))


async def save(connection: AsyncConnection, payment: Payment) -> None:
    """Write what may change of a payment; the database refuses a move that the rules do not know."""
    values = {name: getattr(payment, name) for name in _CHANGING}
    await connection.execute(update(PaymentRow).where(PaymentRow.id == payment.id).values(values))


async def redirect(connection: AsyncConnection, payment: Payment) -> bool:
    """Write that the page of ``payment`` is ready; False when meanwhile it no longer waited for one."""
    waits = (PaymentRow.id == payment.id) & (PaymentRow.state == PaymentState.CREATED)
    values = {"state": payment.state, "redirect_url": payment.redirect_url, "failure": payment.failure}
    return (await connection.execute(update(PaymentRow).where(waits).values(values))).rowcount == 1


async def number(
    connection: AsyncConnection,
    payment: Payment,
    yaadpay_id: str,
    role: Role,
    *,
    ccode: int,
    amount_agorot: int,
    now: datetime,
) -> bool:
    """Keep what YaadPay numbered ``yaadpay_id``; False when that number is known already."""
    row = {
        "masof": payment.masof,
        "yaadpay_id": yaadpay_id,
        "school": payment.school,
        "payment_id": payment.id,
        "role": role,
        "ccode": ccode,
        "amount_agorot": amount_agorot,
        "recorded_at": now,
    }
    once = postgresql.insert(TransactionRow).values(row).on_conflict_do_nothing().returning(TransactionRow.yaadpay_id)
    return (await connection.execute(once)).one_or_none() is not None


def _payment(row: Mapping[Any, Any]) -> Payment:
    return Payment(**{**row, "state": PaymentState(row["state"]), "seat": SeatState(row["seat"])})
