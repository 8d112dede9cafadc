"""What only a person can settle; written in the transaction that gave up, with what the person said later."""

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from ticketcap_chassis.database.transactions import open_connection
from uuid_utils.compat import uuid7

from ticketcap_payment.domain.payment import Payment


class Kind(enum.StrEnum):
    """What waits for a person."""

    PAYMENT = "payment"
    """A charge whose outcome is not known, or that can't be made."""
    REFUND = "refund"
    RETURN = "return"
    """A return that YaadPay could not be asked about for too long."""
    SEAT = "seat"
    """A confirmed seat of a paid event that nobody paid for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Escalation:
    """``order``, ``yaadpay_id`` and the amount say where to look in YaadPay's portal."""

    kind: Kind
    subject_id: UUID
    payment_id: UUID | None
    school: str
    why: str
    since: datetime
    order: str
    yaadpay_id: str
    amount_agorot: int
    currency: str


_RAISE: Final = text("""-- escalations.raise
INSERT INTO escalations (id, school, kind, subject_id, payment_id, registration_id, why, since)
VALUES (:id, :school, :kind, :subject_id, :payment_id, :registration_id, :why, statement_timestamp())
ON CONFLICT (kind, subject_id) WHERE resolved_at IS NULL DO NOTHING RETURNING id""")

_RESOLVE: Final = text("""-- escalations.resolve
UPDATE escalations SET resolved_at = statement_timestamp(), resolved_by = :who, resolution = :resolution
WHERE kind = :kind AND subject_id = :subject_id AND resolved_at IS NULL RETURNING id""")

_OPEN: Final = text("""-- escalations.open
SELECT escalations.kind, escalations.subject_id, escalations.payment_id, escalations.school, why, since,
       coalesce(payments."order", '') AS "order",
       coalesce(nullif(refunds.charge_id, ''), payments.yaadpay_id, '') AS yaadpay_id,
       coalesce(refunds.amount_agorot, payments.amount_agorot, 0) AS amount_agorot,
       coalesce(payments.currency, '') AS currency
FROM escalations
LEFT JOIN payments ON payments.id = escalations.payment_id
LEFT JOIN refunds ON refunds.id = escalations.subject_id AND escalations.kind = 'refund'
WHERE resolved_at IS NULL ORDER BY since LIMIT :limit""")

_FIND: Final = text("""-- escalations.find
SELECT payment_id, school FROM escalations
WHERE kind = :kind AND subject_id = :subject_id AND resolved_at IS NULL""")


async def escalate(
    connection: AsyncConnection,
    *,
    school: str,
    kind: Kind,
    subject_id: UUID,
    payment_id: UUID | None,
    registration_id: UUID,
    why: str,
) -> bool:
    """Hand something to a person; False when it is in a person's hands already."""
    values = {
        "id": uuid7(),
        "school": school,
        "kind": kind,
        "subject_id": subject_id,
        "payment_id": payment_id,
        "registration_id": registration_id,
        "why": why,
    }
    return (await connection.execute(_RAISE, values)).one_or_none() is not None


async def escalate_payment(connection: AsyncConnection, payment: Payment, why: str) -> bool:
    """Hand a payment to a person; False when it is in a person's hands already."""
    return await escalate(
        connection,
        school=payment.school,
        kind=Kind.PAYMENT,
        subject_id=payment.id,
        payment_id=payment.id,
        registration_id=payment.registration_id,
        why=why,
    )


async def resolve(connection: AsyncConnection, kind: Kind, subject_id: UUID, *, who: str, resolution: str) -> bool:
    """Keep what a person said; False when nothing waited."""
    values = {"kind": kind, "subject_id": subject_id, "who": who, "resolution": resolution}
    return (await connection.execute(_RESOLVE, values)).one_or_none() is not None


class Escalations:
    """What waits, over all schools."""

    def __init__(self, jobs_engine: AsyncEngine) -> None:
        self._engine = jobs_engine

    async def oldest(self, limit: int) -> Sequence[Escalation]:
        """Return what waits for a person, oldest first."""
        async with open_connection(self._engine) as connection:
            rows = (await connection.execute(_OPEN, {"limit": limit})).mappings().all()
        return [Escalation(**{**row, "kind": Kind(row["kind"])}) for row in rows]

    async def school_of(self, kind: Kind, subject_id: UUID) -> tuple[str, UUID | None] | None:
        """Return the school and the payment of what waits, None when it does not."""
        async with open_connection(self._engine) as connection:
            row = (await connection.execute(_FIND, {"kind": kind, "subject_id": subject_id})).one_or_none()
        return None if row is None else (row.school, row.payment_id)
