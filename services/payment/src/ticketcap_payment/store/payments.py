"""Store payments and YaadPay's transaction numbers.

Every function works inside a school's transaction.
"""

import enum
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import ColumnElement, and_, insert, select, text, update
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from ticketcap_payment.domain.payment import Payment, PaymentKey
from ticketcap_payment.domain.refund import Refund
from ticketcap_payment.domain.states import PaymentState
from ticketcap_payment.store import refunds
from ticketcap_payment.store.models import PaymentRow, TransactionRow, columns_of
from ticketcap_payment.store.transactions import school_transaction

_COLUMNS: Final = columns_of(PaymentRow, Payment)
_FIXED: Final = frozenset(
    {
        *(
            "id",
            "school_slug",
            "school_id",
            "school_synthetic",
            "registration_id",
            "event_id",
            "order",
            "masof",
            "amount_agorot",
        ),
        *("amount_agorot", "currency", "language", "idempotency_key", "fingerprint", "created_at", "traceparent"),
    }
)
_CHANGING: Final = tuple(field.name for field in fields(Payment) if field.name not in _FIXED)

_SERIALISE: Final = text("""-- payments.serial: Admit one transaction at a time to a registration's payments.
SELECT pg_advisory_xact_lock(hashtextextended(:registration_id, 0))""")


class Role(enum.StrEnum):
    """The role of a YaadPay transaction in a payment."""

    AUTHORISATION = "AUTHORISATION"
    CHARGE = "CHARGE"
    DECLINED = "DECLINED"
    SURPLUS = "SURPLUS"
    """A second payment on the same page, or for the same registration."""
    REFUND = "REFUND"


@dataclass(frozen=True, slots=True)
class PaymentSnapshot:
    """A payment with its refunds, oldest first, as one transaction saw them."""

    payment: Payment
    refunds: list[Refund]


async def read(engine: AsyncEngine, key: PaymentKey) -> Payment:
    """Read a payment in a transaction of its own, without locking it."""
    async with school_transaction(engine, key.school_id) as connection:
        return await get(connection, key.school_id, key.id)


async def snapshot(engine: AsyncEngine, key: PaymentKey) -> PaymentSnapshot:
    """Read a payment with its refunds, in a transaction of its own."""
    async with school_transaction(engine, key.school_id) as connection:
        return PaymentSnapshot(
            await get(connection, key.school_id, key.id), await refunds.of_payment(connection, key.school_id, key.id)
        )


async def lock_all(connection: AsyncConnection, school_id: UUID, registration_id: UUID) -> list[Payment]:
    """Return a registration's payments, oldest first; no other transaction adds or changes one before the commit.

    The advisory lock also covers payments that do not exist yet, which row locks can't.
    """
    await connection.execute(_SERIALISE, {"registration_id": str(registration_id)})
    own = (PaymentRow.school_id == school_id) & (PaymentRow.registration_id == registration_id)
    query = select(*_COLUMNS).where(own).order_by(PaymentRow.id).with_for_update()
    return [Payment(**row) for row in (await connection.execute(query)).mappings()]


async def lock(connection: AsyncConnection, key: PaymentKey) -> Payment:
    """Return a payment as it is now, with all payments of its registration locked."""
    return one_of(await lock_all(connection, key.school_id, key.registration_id), key.id)


def one_of(payments: list[Payment], payment_id: UUID) -> Payment:
    """Return the payment with an id that is among ``payments``."""
    return next(payment for payment in payments if payment.id == payment_id)


async def get(connection: AsyncConnection, school_id: UUID, payment_id: UUID) -> Payment:
    """Return an existing payment without locking it."""
    query = select(*_COLUMNS).where(PaymentRow.school_id == school_id, PaymentRow.id == payment_id)
    return Payment(**(await connection.execute(query)).mappings().one())


async def add(connection: AsyncConnection, payment: Payment) -> None:
    """Store a new payment."""
    await connection.execute(insert(PaymentRow).values(asdict(payment)))


async def save(connection: AsyncConnection, payment: Payment) -> None:
    """Write a payment's changing fields; the database rejects a forbidden transition."""
    values = {name: getattr(payment, name) for name in _CHANGING}
    await connection.execute(update(PaymentRow).where(_is(payment)).values(values))


async def redirect(connection: AsyncConnection, payment: Payment) -> bool:
    """Store the page of a payment; return False when the payment no longer waits for one."""
    waits = _is(payment) & (PaymentRow.state == PaymentState.CREATED)
    values = {"state": payment.state, "redirect_url": payment.redirect_url, "failure": payment.failure}
    return (await connection.execute(update(PaymentRow).where(waits).values(values))).rowcount == 1


async def record_transaction(
    connection: AsyncConnection,
    payment: Payment,
    yaadpay_id: str,
    role: Role,
    *,
    now: datetime,
    ccode: int = 0,
    amount_agorot: int | None = None,
) -> bool:
    """Record a transaction number of YaadPay's; return False when it is recorded already.

    The amount is the payment's unless ``amount_agorot`` says otherwise.
    """
    row = {
        "masof": payment.masof,
        "yaadpay_id": yaadpay_id,
        "school_slug": payment.school_slug,
        "school_id": payment.school_id,
        "payment_id": payment.id,
        "role": role,
        "ccode": ccode,
        "amount_agorot": payment.amount_agorot if amount_agorot is None else amount_agorot,
        "recorded_at": now,
    }
    once = postgresql.insert(TransactionRow).values(row).on_conflict_do_nothing().returning(TransactionRow.yaadpay_id)
    return (await connection.execute(once)).one_or_none() is not None


def _is(of: Payment) -> ColumnElement[bool]:
    """Return the condition of a payment's row."""
    return and_(PaymentRow.school_id == of.school_id, PaymentRow.id == of.id)
