"""Store work that must follow a commit, and lease it.

Three promises:

- A row is written in the transaction that makes it necessary: both commit, or neither.
- Each row is delivered at least once. A killed worker's lease ends by itself, and another worker repeats the delivery.
- The rows of one registration are delivered in the order in which they were written. Only the oldest open row can be
  leased; it blocks the later ones until it is done.
"""

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from ticketcap_chassis.database.transactions import open_transaction

from ticketcap_payment.domain.payment import Payment, PaymentKey
from ticketcap_payment.store.transactions import read, school_transaction
from ticketcap_payment.telemetry import current_traceparent


class Topic(enum.StrEnum):
    """The work to do. The subject is the return, the payment or the refund."""

    VERIFY = "return.verify"
    CAPTURE = "payment.capture"
    CONFIRM_SEAT = "seat.confirm"
    REFUND = "refund.send"


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One lease of a row. ``tries`` counts this lease too; ``waiting_seconds`` is the row's age."""

    id: int
    key: PaymentKey
    topic: Topic
    subject_id: UUID
    traceparent: str
    tries: int
    waiting_seconds: float


# A second row of an open topic and subject is a no-op: the open one does the same work.
_PUT: Final = text("""-- outbox.put: Write work that follows the commit, unless the same work is open.
INSERT INTO outbox (school, registration_id, payment_id, topic, subject_id, traceparent,
                    created_at, due_at, tries)
VALUES (:school, :registration_id, :payment_id, :topic, :subject_id, :traceparent,
        statement_timestamp(), statement_timestamp(), 0)
ON CONFLICT (topic, subject_id) WHERE done_at IS NULL DO NOTHING""")

# Two workers may pick the same row: the second one waits for the row's lock, reads the new lease and finds no row.
# The outer conditions must repeat those of the lease for this reason.
_LEASE: Final = text("""-- outbox.lease: Lease a registration's oldest open row, if it is due and free.
UPDATE outbox SET leased_until = statement_timestamp() + make_interval(secs => :seconds), tries = tries + 1
WHERE id = (SELECT id FROM outbox WHERE registration_id = :registration_id AND done_at IS NULL ORDER BY id LIMIT 1)
  AND due_at <= statement_timestamp() AND done_at IS NULL
  AND (leased_until IS NULL OR leased_until <= statement_timestamp())
RETURNING id, school, registration_id, payment_id, topic, subject_id, traceparent, tries,
          (SELECT school_id FROM payments WHERE payments.id = payment_id) AS school_id,
          (SELECT school_synthetic FROM payments WHERE payments.id = payment_id) AS school_synthetic,
          extract(epoch FROM statement_timestamp() - created_at)::float8 AS waiting_seconds""")

_DUE: Final = text("""-- outbox.due: Find registrations with due work, a bounded number of each event.
SELECT registration_id, event_id FROM (
  SELECT oldest.registration_id, payments.event_id, due_at,
         row_number() OVER (PARTITION BY payments.event_id ORDER BY due_at) AS rank
  FROM (SELECT DISTINCT ON (registration_id) registration_id, payment_id, due_at, leased_until
        FROM outbox WHERE done_at IS NULL ORDER BY registration_id, id) AS oldest
  JOIN payments ON payments.id = oldest.payment_id
  WHERE due_at <= statement_timestamp() AND (leased_until IS NULL OR leased_until <= statement_timestamp())
) AS due
WHERE rank <= :of_event ORDER BY due_at LIMIT :limit""")

# ``tries`` is the fencing token of these two: each lease raises it, so that a worker whose lease has ended changes
# nothing of the next worker's.
_POSTPONE: Final = text("""-- outbox.postpone: Give a leased row back, due again later.
UPDATE outbox SET leased_until = NULL, due_at = statement_timestamp() + make_interval(secs => :seconds)
WHERE id = :id AND tries = :tries""")

_DONE: Final = text("""-- outbox.done: Close a leased row.
UPDATE outbox SET done_at = statement_timestamp(), leased_until = NULL WHERE id = :id AND tries = :tries""")

_OPEN: Final = text("""-- outbox.open: Count a registration's rows that are due or leased.
SELECT count(*) AS open FROM outbox WHERE registration_id = :registration_id AND done_at IS NULL
  AND (due_at <= statement_timestamp() OR leased_until > statement_timestamp())""")

_LAG: Final = text("""-- outbox.lag: Read the age of the oldest open row in seconds.
SELECT coalesce(extract(epoch FROM statement_timestamp() - min(created_at)), 0)::float8 AS seconds
FROM outbox WHERE done_at IS NULL""")

_AGED: Final = text("""-- outbox.aged: Delete a bounded number of rows that are done for long.
DELETE FROM outbox WHERE id = ANY(ARRAY(
  SELECT id FROM outbox WHERE done_at < statement_timestamp() - make_interval(secs => :seconds) LIMIT 5000))""")


async def put(connection: AsyncConnection, payment: Payment, topic: Topic, subject_id: UUID) -> None:
    """Write work that must follow this transaction's commit, with the current trace as its cause."""
    values = {
        "school": payment.school_slug,
        "registration_id": payment.registration_id,
        "payment_id": payment.id,
        "topic": topic,
        "subject_id": subject_id,
        "traceparent": current_traceparent() or None,
    }
    await connection.execute(_PUT, values)


class Outbox:
    """Leases due rows. ``lease_seconds`` must outlast every call to YaadPay inside a delivery."""

    def __init__(self, engine: AsyncEngine, jobs_engine: AsyncEngine, *, lease_seconds: float) -> None:
        self._engine = engine
        self._jobs_engine = jobs_engine
        self._lease_seconds = lease_seconds

    async def due(self, limit: int, *, of_event: int) -> Sequence[tuple[UUID, UUID]]:
        """Return registrations, each with its event, that have due work without a worker.

        At most ``of_event`` of one event, so that a stuck event fills no page.
        """
        rows = await read(self._jobs_engine, _DUE, limit=limit, of_event=of_event)
        return [(row.registration_id, row.event_id) for row in rows]

    async def lease(self, registration_id: UUID) -> Delivery | None:
        """Lease a registration's oldest row; None when it is not due, or another worker has it."""
        values = {"registration_id": registration_id, "seconds": self._lease_seconds}
        async with open_transaction(self._jobs_engine) as connection:
            row = (await connection.execute(_LEASE, values)).one_or_none()
        if row is None:
            return None
        return Delivery(
            id=row.id,
            key=PaymentKey(row.payment_id, row.registration_id, row.school, row.school_id, row.school_synthetic),
            topic=Topic(row.topic),
            subject_id=row.subject_id,
            traceparent=row.traceparent or "",
            tries=row.tries,
            waiting_seconds=row.waiting_seconds,
        )

    async def postpone(self, delivery: Delivery, seconds: float) -> None:
        """Give a row back, due again in ``seconds``; a no-op when the lease has passed to another worker."""
        async with open_transaction(self._jobs_engine) as connection:
            await connection.execute(_POSTPONE, {"id": delivery.id, "tries": delivery.tries, "seconds": seconds})

    async def done(self, delivery: Delivery) -> None:
        """Close a row; a no-op when the lease has passed to another worker."""
        async with school_transaction(self._engine, delivery.key.school_slug) as connection:
            await connection.execute(_DONE, {"id": delivery.id, "tries": delivery.tries})

    async def is_busy(self, registration_id: UUID) -> bool:
        """Say whether a registration has work that is due or under way."""
        (row,) = await read(self._jobs_engine, _OPEN, registration_id=registration_id)
        return bool(row.open)

    async def lag_seconds(self) -> float:
        """Return the age of the oldest open row; 0 when there is none."""
        (row,) = await read(self._jobs_engine, _LAG)
        return float(row.seconds)

    async def delete_aged(self, seconds: float) -> int:
        """Delete at most 5,000 rows that were done longer than ``seconds`` ago; return how many."""
        async with open_transaction(self._jobs_engine) as connection:
            return (await connection.execute(_AGED, {"seconds": seconds})).rowcount
