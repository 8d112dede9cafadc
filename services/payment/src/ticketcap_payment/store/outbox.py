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


@dataclass(frozen=True, slots=True)
class DueWork:
    """A registration with open rows, its school and its event."""

    school_id: UUID
    registration_id: UUID
    event_id: UUID


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


# A second row of an open topic and subject is a no-op: the open one does the same work. No target: the index of the
# release before, without the school, must not make it an error either.
_PUT: Final = text("""-- outbox.put: Write work that follows the commit, unless the same work is open.
INSERT INTO outbox (school, school_id, registration_id, payment_id, topic, subject_id, traceparent,
                    created_at, due_at, tries)
VALUES (:school, :school_id, :registration_id, :payment_id, :topic, :subject_id, :traceparent,
        statement_timestamp(), statement_timestamp(), 0)
ON CONFLICT DO NOTHING""")

# Two workers may pick the same row: the second one waits for the row's lock, reads the new lease and finds no row.
# The outer conditions must repeat those of the lease for this reason.
_LEASE: Final = text("""-- outbox.lease: Lease a registration's oldest open row, if it is due and free.
UPDATE outbox SET leased_until = statement_timestamp() + make_interval(secs => :seconds), tries = outbox.tries + 1
FROM payments
WHERE outbox.school_id = :school_id AND payments.school_id = :school_id AND payments.id = outbox.payment_id
  AND outbox.id = (SELECT id FROM outbox
                   WHERE school_id = :school_id AND registration_id = :registration_id AND done_at IS NULL
                   ORDER BY id LIMIT 1)
  AND due_at <= statement_timestamp() AND done_at IS NULL
  AND (leased_until IS NULL OR leased_until <= statement_timestamp())
RETURNING outbox.id, payments.school, outbox.registration_id, outbox.payment_id, topic, subject_id,
          outbox.traceparent, outbox.tries, school_synthetic, outbox.created_at, leased_until""")

_DUE: Final = text("""-- outbox.due: Find registrations with due work, a bounded number of each event.
SELECT school_id, registration_id, event_id FROM (
  SELECT oldest.school_id, oldest.registration_id, payments.event_id, due_at,
         row_number() OVER (PARTITION BY oldest.school_id, payments.event_id ORDER BY due_at) AS rank
  FROM (SELECT DISTINCT ON (school_id, registration_id) school_id, registration_id, payment_id, due_at, leased_until
        FROM outbox WHERE done_at IS NULL ORDER BY school_id, registration_id, id) AS oldest
  JOIN payments ON payments.school_id = oldest.school_id AND payments.id = oldest.payment_id
  WHERE due_at <= statement_timestamp() AND (leased_until IS NULL OR leased_until <= statement_timestamp())
) AS due
WHERE rank <= :of_event ORDER BY due_at LIMIT :limit""")

# ``tries`` is the fencing token of these two: each lease raises it, so that a worker whose lease has ended changes
# nothing of the next worker's.
_POSTPONE: Final = text("""-- outbox.postpone: Give a leased row back, due again later.
UPDATE outbox SET leased_until = NULL, due_at = statement_timestamp() + make_interval(secs => :seconds)
WHERE school_id = :school_id AND id = :id AND tries = :tries""")

_DONE: Final = text("""-- outbox.done: Close a leased row.
UPDATE outbox SET done_at = statement_timestamp(), leased_until = NULL
WHERE school_id = :school_id AND id = :id AND tries = :tries""")

_OPEN: Final = text("""-- outbox.open: Count a registration's rows that are due or leased.
SELECT count(*) AS open FROM outbox
WHERE school_id = :school_id AND registration_id = :registration_id AND done_at IS NULL
  AND (due_at <= statement_timestamp() OR leased_until > statement_timestamp())""")

_LAG: Final = text("""-- outbox.lag: Read the age of the oldest open row in seconds.
SELECT coalesce(extract(epoch FROM statement_timestamp() - min(created_at)), 0)::float8 AS seconds
FROM outbox WHERE done_at IS NULL""")

_AGED: Final = text("""-- outbox.aged: Find the schools with rows that are done for long, and a time in each.
SELECT school_id, max(done_at) AS until FROM (
  SELECT school_id, done_at FROM outbox WHERE done_at < statement_timestamp() - make_interval(secs => :seconds)
  ORDER BY school_id, done_at LIMIT 5000) AS aged
GROUP BY school_id""")

_FORGET: Final = text("""-- outbox.forget: Delete a school's rows that were done until a time.
DELETE FROM outbox WHERE school_id = :school_id AND done_at <= :until""")


async def put(connection: AsyncConnection, payment: Payment, topic: Topic, subject_id: UUID) -> None:
    """Write work that must follow this transaction's commit, with the current trace as its cause."""
    values = {
        "school": payment.school_slug,
        "school_id": payment.school_id,
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

    async def due(self, limit: int, *, of_event: int) -> Sequence[DueWork]:
        """Return registrations that have due work without a worker.

        At most ``of_event`` of one event, so that a stuck event fills no page.
        """
        rows = await read(self._jobs_engine, _DUE, limit=limit, of_event=of_event)
        return [DueWork(**row._mapping) for row in rows]

    async def lease(self, school_id: UUID, registration_id: UUID) -> Delivery | None:
        """Lease a registration's oldest row; None when it is not due, or another worker has it."""
        values = {"school_id": school_id, "registration_id": registration_id, "seconds": self._lease_seconds}
        async with open_transaction(self._jobs_engine) as connection:
            row = (await connection.execute(_LEASE, values)).one_or_none()
        if row is None:
            return None
        return Delivery(
            id=row.id,
            key=PaymentKey(row.payment_id, row.registration_id, row.school, school_id, row.school_synthetic),
            topic=Topic(row.topic),
            subject_id=row.subject_id,
            traceparent=row.traceparent or "",
            tries=row.tries,
            # By the database's clock: the lease began when the statement did.
            waiting_seconds=(row.leased_until - row.created_at).total_seconds() - self._lease_seconds,
        )

    async def postpone(self, delivery: Delivery, seconds: float) -> None:
        """Give a row back, due again in ``seconds``; a no-op when the lease has passed to another worker."""
        async with open_transaction(self._jobs_engine) as connection:
            await connection.execute(_POSTPONE, {**_lease_of(delivery), "seconds": seconds})

    async def done(self, delivery: Delivery) -> None:
        """Close a row; a no-op when the lease has passed to another worker."""
        async with school_transaction(self._engine, delivery.key.school_id) as connection:
            await connection.execute(_DONE, _lease_of(delivery))

    async def is_busy(self, school_id: UUID, registration_id: UUID) -> bool:
        """Say whether a registration has work that is due or under way."""
        (row,) = await read(self._jobs_engine, _OPEN, school_id=school_id, registration_id=registration_id)
        return bool(row.open)

    async def lag_seconds(self) -> float:
        """Return the age of the oldest open row; 0 when there is none."""
        (row,) = await read(self._jobs_engine, _LAG)
        return float(row.seconds)

    async def delete_aged(self, seconds: float) -> int:
        """Delete about 5,000 rows that were done longer than ``seconds`` ago, school by school; return how many."""
        deleted = 0
        for aged in await read(self._jobs_engine, _AGED, seconds=seconds):
            async with open_transaction(self._jobs_engine) as connection:
                values = {"school_id": aged.school_id, "until": aged.until}
                deleted += (await connection.execute(_FORGET, values)).rowcount
        return deleted


def _lease_of(delivery: Delivery) -> dict[str, object]:
    """Return the parameters that name a row and one lease of it."""
    return {"school_id": delivery.key.school_id, "id": delivery.id, "tries": delivery.tries}
