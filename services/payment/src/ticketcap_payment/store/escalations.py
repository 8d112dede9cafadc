"""Record the cases that only a person can settle, and their resolutions.

An escalation is written in the transaction that gives up.
"""

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from uuid_utils.compat import uuid7

from ticketcap_payment.domain.payment import PaymentKey
from ticketcap_payment.store.transactions import read


class Kind(enum.StrEnum):
    """The subject of an escalation."""

    PAYMENT = "payment"
    """A charge whose outcome is unknown, or that can't be made."""
    REFUND = "refund"
    RETURN = "return"
    """A return that YaadPay could not verify for too long."""
    SEAT = "seat"
    """A confirmed seat of a paid event without a captured payment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Escalation:
    """An open case. ``order``, ``yaadpay_id`` and the amount identify it in YaadPay's portal."""

    kind: Kind
    subject_id: UUID
    payment_id: UUID | None
    school_slug: str
    why: str
    since: datetime
    order: str
    yaadpay_id: str
    amount_agorot: int
    currency: str


# No target: the index of the release before, without the school, must not make it an error either.
_RAISE: Final = text("""-- escalations.raise: Open an escalation, unless its subject has one.
INSERT INTO escalations (id, school, school_id, kind, subject_id, payment_id, registration_id, why, since)
VALUES (:id, :school, :school_id, :kind, :subject_id, :payment_id, :registration_id, :why, statement_timestamp())
ON CONFLICT DO NOTHING RETURNING id""")

_RESOLVE: Final = text("""-- escalations.resolve: Close a subject's open escalation.
UPDATE escalations SET resolved_at = statement_timestamp(), resolved_by = :by, resolution = :resolution
WHERE school_id = :school_id AND kind = :kind AND subject_id = :subject_id AND resolved_at IS NULL
RETURNING id""")

_OPEN: Final = text("""-- escalations.open: List the oldest open escalations with their numbers at YaadPay.
SELECT escalations.kind, escalations.subject_id, escalations.payment_id, escalations.school AS school_slug, why, since,
       coalesce(payments."order", '') AS "order",
       coalesce(nullif(refunds.charge_id, ''), payments.yaadpay_id, '') AS yaadpay_id,
       coalesce(refunds.amount_agorot, payments.amount_agorot, 0) AS amount_agorot,
       coalesce(payments.currency, '') AS currency
FROM escalations
LEFT JOIN payments ON payments.school_id = escalations.school_id AND payments.id = escalations.payment_id
LEFT JOIN refunds ON refunds.school_id = escalations.school_id AND refunds.id = escalations.subject_id
  AND escalations.kind = 'refund'
WHERE resolved_at IS NULL ORDER BY since LIMIT :limit""")

_FIND: Final = text("""-- escalations.find: Find the school and the payment of an open escalation.
SELECT school_id, payment_id FROM escalations
WHERE kind = :kind AND subject_id = :subject_id AND resolved_at IS NULL""")


async def escalate(connection: AsyncConnection, kind: Kind, subject_id: UUID, key: PaymentKey, why: str) -> bool:
    """Escalate a subject that belongs to a payment; return False when it is escalated already."""
    values = {"subject_id": subject_id, "payment_id": key.id, "registration_id": key.registration_id}
    return await _raise(connection, kind, key.school_id, key.school_slug, why, values)


async def escalate_payment(connection: AsyncConnection, key: PaymentKey, why: str) -> bool:
    """Escalate a payment; return False when it is escalated already."""
    return await escalate(connection, Kind.PAYMENT, key.id, key, why)


async def escalate_seat(
    connection: AsyncConnection, registration_id: UUID, school_id: UUID, school_slug: str, why: str
) -> bool:
    """Escalate a seat without a payment; return False when it is escalated already."""
    values = {"subject_id": registration_id, "payment_id": None, "registration_id": registration_id}
    return await _raise(connection, Kind.SEAT, school_id, school_slug, why, values)


async def _raise(
    connection: AsyncConnection,
    kind: Kind,
    school_id: UUID,
    school_slug: str,
    why: str,
    ids: Mapping[str, UUID | None],
) -> bool:
    values = {"id": uuid7(), "school": school_slug, "school_id": school_id, "kind": kind, "why": why, **ids}
    return (await connection.execute(_RAISE, values)).one_or_none() is not None


async def resolve(
    connection: AsyncConnection, school_id: UUID, kind: Kind, subject_id: UUID, *, by: str, resolution: str
) -> bool:
    """Close an escalation; return False when none is open."""
    values = {"school_id": school_id, "kind": kind, "subject_id": subject_id, "by": by, "resolution": resolution}
    return (await connection.execute(_RESOLVE, values)).one_or_none() is not None


class Escalations:
    """The open escalations of all schools."""

    def __init__(self, jobs_engine: AsyncEngine) -> None:
        self._engine = jobs_engine

    async def oldest(self, limit: int) -> Sequence[Escalation]:
        """Return the open escalations, oldest first."""
        rows = await read(self._engine, _OPEN, limit=limit)
        return [Escalation(**{**row._mapping, "kind": Kind(row.kind)}) for row in rows]

    async def find(self, kind: Kind, subject_id: UUID) -> tuple[UUID, UUID | None] | None:
        """Return the school's id and the payment of an open escalation, or None."""
        rows = await read(self._engine, _FIND, kind=kind, subject_id=subject_id)
        return (rows[0].school_id, rows[0].payment_id) if rows else None
