"""Store customers' returns before they are verified.

Every function works inside a school's transaction.
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import func, select, update
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncConnection
from ticketcap_chassis.tagged_ids import tagged_uuid7

from ticketcap_payment.domain.errors import TooManyReturns
from ticketcap_payment.domain.payment import Payment
from ticketcap_payment.domain.states import Verdict
from ticketcap_payment.store.models import ReturnRow, columns_of

_LIMIT: Final = 50
"""Different returns of one payment; each has a transaction number of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredReturn:
    """A return. ``message`` is its query string without card data."""

    id: UUID
    payment_id: UUID
    message: str
    verdict: Verdict


_COLUMNS: Final = columns_of(ReturnRow, StoredReturn)


async def store(connection: AsyncConnection, payment: Payment, message: str, now: datetime) -> StoredReturn:
    """Store a return, or find the same one stored before. Raises TooManyReturns."""
    digest = hashlib.sha256(message.encode()).hexdigest()
    own = (ReturnRow.school_id == payment.school_id) & (ReturnRow.payment_id == payment.id)
    same = select(*_COLUMNS).where(own, ReturnRow.digest == digest)
    if (found := (await connection.execute(same)).mappings().one_or_none()) is None:
        count = await connection.scalar(select(func.count()).where(own))
        if (count or 0) >= _LIMIT:
            raise TooManyReturns(payment.id, _LIMIT)
        row = {
            "id": tagged_uuid7(payment.school_id),
            "school_slug": payment.school_slug,
            "school_id": payment.school_id,
            "payment_id": payment.id,
            "digest": digest,
            "message": message,
            "verdict": Verdict.PENDING,
            "received_at": now,
        }
        await connection.execute(postgresql.insert(ReturnRow).values(row).on_conflict_do_nothing())
        found = (await connection.execute(same)).mappings().one()
    return StoredReturn(**found)


async def get(connection: AsyncConnection, school_id: UUID, return_id: UUID) -> StoredReturn:
    """Return an existing return."""
    query = select(*_COLUMNS).where(ReturnRow.school_id == school_id, ReturnRow.id == return_id)
    return StoredReturn(**(await connection.execute(query)).mappings().one())


async def record_verdict(
    connection: AsyncConnection, school_id: UUID, return_id: UUID, verdict: Verdict, now: datetime
) -> None:
    """Record the verdict on a return."""
    own = (ReturnRow.school_id == school_id) & (ReturnRow.id == return_id)
    await connection.execute(update(ReturnRow).where(own).values(verdict=verdict, judged_at=now))
