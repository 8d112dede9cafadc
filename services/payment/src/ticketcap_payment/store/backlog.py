"""Find stuck and abandoned work of all schools, and count the backlog."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from ticketcap_payment.domain.payment import PaymentKey
from ticketcap_payment.store.directory import key_of
from ticketcap_payment.store.outbox import Topic
from ticketcap_payment.store.transactions import read

_LIMIT: Final = 200

_STUCK: Final = text(f"""-- backlog.stuck: Find unfinished work that has neither a delivery nor an escalation.
SELECT unfinished.topic, unfinished.subject_id, payments.id, payments.registration_id, payments.school,
       payments.school_id, school_synthetic
FROM (
  SELECT school_id, 'payment.capture' AS topic, id AS subject_id, id AS payment_id FROM payments
   WHERE state IN ('AUTHORISED', 'UNKNOWN')
  UNION ALL
  SELECT school_id, 'seat.confirm', id, id FROM payments WHERE state = 'CAPTURED' AND seat NOT IN ('CONFIRMED', 'GONE')
  UNION ALL
  SELECT school_id, 'refund.send', id, payment_id FROM refunds WHERE state IN ('REQUESTED', 'SENT')
  UNION ALL
  SELECT school_id, 'return.verify', id, payment_id FROM returns WHERE verdict = 'PENDING'
) AS unfinished
JOIN payments ON payments.school_id = unfinished.school_id AND payments.id = unfinished.payment_id
WHERE NOT EXISTS (SELECT FROM outbox WHERE outbox.school_id = unfinished.school_id
                  AND outbox.topic = unfinished.topic AND outbox.subject_id = unfinished.subject_id
                  AND done_at IS NULL)
  AND NOT EXISTS (SELECT FROM escalations WHERE escalations.school_id = unfinished.school_id
                  AND escalations.subject_id = unfinished.subject_id AND resolved_at IS NULL)
LIMIT {_LIMIT}""")

_ABANDONED: Final = text(f"""-- backlog.abandoned: Find payments whose page was not paid in time.
SELECT id, registration_id, school, school_id, school_synthetic FROM payments
WHERE state IN ('CREATED', 'REDIRECTED') AND created_at < statement_timestamp() - make_interval(secs => :seconds)
ORDER BY created_at LIMIT {_LIMIT}""")

_UNSETTLED: Final = text("""-- backlog.unsettled: Count the open deliveries by kind and age, synthetic schools apart.
SELECT kind, CASE WHEN age < 60 THEN 'under_1m' WHEN age < 600 THEN 'under_10m'
                  WHEN age < 3600 THEN 'under_1h' ELSE 'over_1h' END AS age,
       synthetic, count(*)::int AS number
FROM (
  SELECT CASE topic WHEN 'return.verify' THEN 'return_unverified' WHEN 'payment.capture' THEN 'capture'
                    WHEN 'seat.confirm' THEN 'capture_without_seat' ELSE 'refund' END AS kind,
         extract(epoch FROM statement_timestamp() - outbox.created_at) AS age, school_synthetic AS synthetic
  FROM outbox JOIN payments ON payments.school_id = outbox.school_id AND payments.id = payment_id
  WHERE done_at IS NULL) AS open
GROUP BY 1, 2, 3""")

_ESCALATED: Final = text("""-- backlog.escalated: Count the open escalations by kind, synthetic schools apart.
SELECT kind, coalesce(school_synthetic, false) AS synthetic, count(*)::int AS number
FROM escalations LEFT JOIN payments ON payments.school_id = escalations.school_id AND payments.id = payment_id
WHERE resolved_at IS NULL GROUP BY 1, 2""")


@dataclass(frozen=True, slots=True)
class StuckWork:
    """Unfinished work, and the topic of the delivery that would finish it."""

    key: PaymentKey
    topic: Topic
    subject_id: UUID


class Backlog:
    """Reads under the jobs role."""

    def __init__(self, jobs_engine: AsyncEngine) -> None:
        self._engine = jobs_engine

    async def stuck(self) -> Sequence[StuckWork]:
        """Return at most 200 pieces of work without a delivery; normally none."""
        rows = await read(self._engine, _STUCK)
        return [StuckWork(key_of(row), Topic(row.topic), row.subject_id) for row in rows]

    async def abandoned(self, seconds: float) -> Sequence[PaymentKey]:
        """Return at most 200 payments that are unpaid after ``seconds``."""
        return [key_of(row) for row in await read(self._engine, _ABANDONED, seconds=seconds)]

    async def unsettled(self) -> Mapping[tuple[str, str, bool], int]:
        """Return the number of open deliveries by kind, age, and whether the school is synthetic."""
        return {(row.kind, row.age, row.synthetic): row.number for row in await read(self._engine, _UNSETTLED)}

    async def escalated(self) -> Mapping[tuple[str, bool], int]:
        """Return the number of open escalations by kind, and whether the school is synthetic.

        A seat without a payment counts as one of a real school.
        """
        return {(row.kind, row.synthetic): row.number for row in await read(self._engine, _ESCALATED)}
