"""What the jobs ask over all schools: what hangs without anybody at it, what is over, how much of it there is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine
from ticketcap_chassis.database.transactions import open_connection

from ticketcap_payment.store.directory import PaymentKey
from ticketcap_payment.store.outbox import Topic

_AT_ONCE: Final = 200

# Each kind of hanging thing with the delivery that would drive it on. Nothing that a person has in hand is among them.
_HANGING: Final = text(f"""-- watchkeeping.hanging
SELECT * FROM (
  SELECT 'payment.capture' AS topic, id AS subject_id, id, school, registration_id FROM payments
   WHERE state IN ('AUTHORISED', 'UNKNOWN')
  UNION ALL
  SELECT 'seat.confirm', id, id, school, registration_id FROM payments
   WHERE state = 'CAPTURED' AND seat NOT IN ('CONFIRMED', 'GONE')
  UNION ALL
  SELECT 'refund.send', refunds.id, payment_id, school, registration_id FROM refunds
   WHERE state IN ('REQUESTED', 'SENT')
  UNION ALL
  SELECT 'return.verify', returns.id, payment_id, returns.school, payments.registration_id
   FROM returns JOIN payments ON payments.id = returns.payment_id WHERE verdict = 'PENDING'
) AS hanging
WHERE NOT EXISTS (SELECT FROM outbox WHERE outbox.topic = hanging.topic
                  AND outbox.subject_id = hanging.subject_id AND done_at IS NULL)
  AND NOT EXISTS (SELECT FROM escalations WHERE escalations.subject_id = hanging.subject_id
                  AND resolved_at IS NULL)
LIMIT {_AT_ONCE}""")

_UNPAID: Final = text(f"""-- watchkeeping.unpaid
SELECT id, school, registration_id FROM payments
WHERE state IN ('CREATED', 'REDIRECTED') AND created_at < statement_timestamp() - make_interval(secs => :seconds)
ORDER BY created_at LIMIT {_AT_ONCE}""")

_UNSETTLED: Final = text("""-- watchkeeping.unsettled
SELECT kind, CASE WHEN age < 60 THEN 'under_1m' WHEN age < 600 THEN 'under_10m'
                  WHEN age < 3600 THEN 'under_1h' ELSE 'over_1h' END AS age, count(*)::int AS number
FROM (
  SELECT CASE topic WHEN 'return.verify' THEN 'return_unverified' WHEN 'payment.capture' THEN 'capture'
                    WHEN 'seat.confirm' THEN 'capture_without_seat' ELSE 'refund' END AS kind,
         extract(epoch FROM statement_timestamp() - created_at) AS age
  FROM outbox WHERE done_at IS NULL) AS open
GROUP BY 1, 2""")

_ESCALATED: Final = text("""-- watchkeeping.escalated
SELECT kind, count(*)::int AS number FROM escalations WHERE resolved_at IS NULL GROUP BY kind""")


@dataclass(frozen=True, slots=True)
class Hanging:
    """Something that nobody is at, and what would drive it on."""

    key: PaymentKey
    topic: Topic
    subject_id: UUID


class Watchkeeping:
    """Statements under the jobs role."""

    def __init__(self, jobs_engine: AsyncEngine) -> None:
        self._engine = jobs_engine

    async def hanging(self) -> Sequence[Hanging]:
        """Return what should have a delivery and has none: a bounded number, normally none."""
        async with open_connection(self._engine) as connection:
            rows = (await connection.execute(_HANGING)).all()
        return [
            Hanging(PaymentKey(row.id, row.school, row.registration_id), Topic(row.topic), row.subject_id)
            for row in rows
        ]

    async def unpaid(self, seconds: float) -> Sequence[PaymentKey]:
        """Return payments that nobody has paid for ``seconds``, a bounded number of them."""
        async with open_connection(self._engine) as connection:
            rows = (await connection.execute(_UNPAID, {"seconds": seconds})).all()
        return [PaymentKey(row.id, row.school, row.registration_id) for row in rows]

    async def unsettled(self) -> Mapping[tuple[str, str], int]:
        """Return how many deliveries are open, by kind and age."""
        async with open_connection(self._engine) as connection:
            rows = (await connection.execute(_UNSETTLED)).all()
        return {(row.kind, row.age): row.number for row in rows}

    async def escalated(self) -> Mapping[str, int]:
        """Return how much waits for a person, by kind."""
        async with open_connection(self._engine) as connection:
            rows = (await connection.execute(_ESCALATED)).all()
        return {row.kind: row.number for row in rows}
