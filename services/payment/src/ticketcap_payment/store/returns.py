"""What came back with browsers: kept before it is acted upon; works inside a school's transaction."""

import enum
import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import func, select, update
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncConnection
from uuid_utils.compat import uuid7

from ticketcap_payment.domain.errors import TooManyReturns
from ticketcap_payment.domain.payment import Payment
from ticketcap_payment.store.models import ReturnRow

_MOST: Final = 50
"""Different returns of one payment: each is a number of YaadPay's of its own."""


class Verdict(enum.StrEnum):
    """What YaadPay says of a return when it is asked."""

    PENDING = "PENDING"
    GENUINE = "GENUINE"
    FORGED = "FORGED"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredReturn:
    """``message`` is a query without card data."""

    id: UUID
    payment_id: UUID
    message: str
    verdict: Verdict
    received_at: datetime


_COLUMNS: Final = (
    ReturnRow.id,
    ReturnRow.payment_id,
    ReturnRow.message,
    ReturnRow.verdict,
    ReturnRow.received_at,
)


async def keep(connection: AsyncConnection, payment: Payment, message: str, now: datetime) -> StoredReturn:
    """Store a return, or find the same one that came before. Raises TooManyReturns."""
    digest = hashlib.sha256(message.encode()).hexdigest()
    same = select(*_COLUMNS).where(ReturnRow.payment_id == payment.id, ReturnRow.digest == digest)
    row = {
        "id": uuid7(),
        "school": payment.school,
        "payment_id": payment.id,
        "digest": digest,
        "message": message,
        "verdict": Verdict.PENDING,
        "received_at": now,
    }
    if (found := (await connection.execute(same)).mappings().one_or_none()) is None:
        await _must_have_room(connection, payment)
        await connection.execute(postgresql.insert(ReturnRow).values(row).on_conflict_do_nothing())
        found = (await connection.execute(same)).mappings().one()
    return StoredReturn(**{**found, "verdict": Verdict(found["verdict"])})


async def get(connection: AsyncConnection, return_id: UUID) -> StoredReturn:
    """Return one of them."""
    found = (await connection.execute(select(*_COLUMNS).where(ReturnRow.id == return_id))).mappings().one()
    return StoredReturn(**{**found, "verdict": Verdict(found["verdict"])})


async def judge(connection: AsyncConnection, return_id: UUID, verdict: Verdict, now: datetime) -> None:
    """Keep what was found about a return."""
    change = update(ReturnRow).where(ReturnRow.id == return_id).values(verdict=verdict, judged_at=now)
    await connection.execute(change)


async def _must_have_room(connection: AsyncConnection, payment: Payment) -> None:
    count = await connection.scalar(select(func.count()).where(ReturnRow.payment_id == payment.id))
    if (count or 0) >= _MOST:
        raise TooManyReturns(payment.id, _MOST)
