"""Read a day of a school's charges and refunds for bookkeeping."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from ticketcap_payment.domain.refund import ISRAEL
from ticketcap_payment.store.transactions import school_transaction

_PAGE: Final = 500

_ENTRIES: Final = text("""-- export.entries: Read one page of a day's charges and refunds, in the order of time.
SELECT * FROM (
  SELECT 'payment' AS kind, id, id AS payment_id, registration_id, event_id, "order", yaadpay_id, state,
         amount_agorot, currency, captured_at AS at
  FROM payments WHERE school_id = :school_id AND captured_at >= :begins AND captured_at < :ends
  UNION ALL
  -- A second charge has no payment of its own; a refund below returns it.
  SELECT 'payment', payments.id, payments.id, registration_id, event_id, "order", transactions.yaadpay_id, 'SURPLUS',
         transactions.amount_agorot, currency, recorded_at
  FROM transactions
  JOIN payments ON payments.school_id = transactions.school_id AND payments.id = payment_id
  WHERE transactions.school_id = :school_id AND role = 'SURPLUS' AND transactions.ccode = 0
    AND recorded_at >= :begins AND recorded_at < :ends
  UNION ALL
  SELECT 'refund', refunds.id, payment_id, refunds.registration_id, payments.event_id, payments."order",
         refunds.yaadpay_id, refunds.state, -refunds.amount_agorot, refunds.currency,
         coalesce(refunds.done_at, refunds.created_at)
  FROM refunds JOIN payments ON payments.school_id = refunds.school_id AND payments.id = refunds.payment_id
  WHERE refunds.school_id = :school_id AND coalesce(refunds.done_at, refunds.created_at) >= :begins
    AND coalesce(refunds.done_at, refunds.created_at) < :ends
) AS entries
WHERE (at, id) > (:after_at, :after_id) ORDER BY at, id LIMIT :limit""")


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportEntry:
    """A charge or a refund. ``at`` is when money moved, or when the refund was requested if it has not yet."""

    kind: str
    """payment or refund."""
    id: UUID
    payment_id: UUID
    registration_id: UUID
    event_id: UUID
    order: str
    yaadpay_id: str
    state: str
    amount_agorot: int
    """Negative for a refund."""
    currency: str
    at: datetime


async def day_of_school(engine: AsyncEngine, school_id: UUID, day: date) -> AsyncIterator[Sequence[ExportEntry]]:
    """Yield the entries of a day in Israel, in pages."""
    begins = datetime.combine(day, time(), ISRAEL)
    ends = datetime.combine(day + timedelta(days=1), time(), ISRAEL)
    after_at, after_id = begins - timedelta(seconds=1), UUID(int=0)
    while True:
        page_after = {"after_at": after_at, "after_id": after_id, "limit": _PAGE}
        values = {"school_id": school_id, "begins": begins, "ends": ends, **page_after}
        async with school_transaction(engine, school_id) as connection:
            rows = (await connection.execute(_ENTRIES, values)).mappings().all()
        page = [ExportEntry(**row) for row in rows]
        if page:
            yield page
        if len(page) < _PAGE:
            return
        after_at, after_id = page[-1].at, page[-1].id
