"""What must follow a commit: written in its transaction, delivered at least once, in order per registration."""

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from ticketcap_chassis.database.transactions import open_connection, open_transaction

from ticketcap_payment.domain.payment import Payment
from ticketcap_payment.store.directory import PaymentKey
from ticketcap_payment.store.transactions import school_transaction


class Topic(enum.StrEnum):
    """What is to be done. The subject is the return, the payment or the refund."""

    VERIFY = "return.verify"
    CAPTURE = "payment.capture"
    CONFIRM_SEAT = "seat.confirm"
    REFUND = "refund.send"


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """A row that is leased to whoever holds this. ``tries`` counts this one; ``waiting_seconds`` is its age."""

    id: int
    key: PaymentKey
    topic: Topic
    subject_id: UUID
    traceparent: str
    tries: int
    waiting_seconds: float


_PUT: Final = text("""-- outbox.put
INSERT INTO outbox (school, registration_id, payment_id, topic, subject_id, traceparent,
                    created_at, due_at, tries)
VALUES (:school, :registration_id, :payment_id, :topic, :subject_id, :traceparent,
        statement_timestamp(), statement_timestamp(), 0)
ON CONFLICT (topic, subject_id) WHERE done_at IS NULL DO NOTHING""")

# The oldest open row of a registration, unless it is somebody's or not due: what comes after it waits for it.
_LEASE: Final = text("""-- outbox.lease
UPDATE outbox SET leased_until = statement_timestamp() + make_interval(secs => :seconds), tries = tries + 1
WHERE id = (SELECT id FROM outbox WHERE registration_id = :registration_id AND done_at IS NULL ORDER BY id LIMIT 1)
  AND due_at <= statement_timestamp() AND done_at IS NULL
  AND (leased_until IS NULL OR leased_until <= statement_timestamp())
RETURNING id, school, registration_id, payment_id, topic, subject_id, traceparent, tries,
          extract(epoch FROM statement_timestamp() - created_at)::float8 AS waiting_seconds""")

_DUE: Final = text("""-- outbox.due
SELECT registration_id, event_id FROM (
  SELECT oldest.registration_id, payments.event_id, due_at,
         row_number() OVER (PARTITION BY payments.event_id ORDER BY due_at) AS place
  FROM (SELECT DISTINCT ON (registration_id) registration_id, payment_id, due_at, leased_until
        FROM outbox WHERE done_at IS NULL ORDER BY registration_id, id) AS oldest
  JOIN payments ON payments.id = oldest.payment_id
  WHERE due_at <= statement_timestamp() AND (leased_until IS NULL OR leased_until <= statement_timestamp())
) AS due
WHERE place <= :of_event ORDER BY due_at LIMIT :limit""")

# Both only for who holds the lease still: each lease counts one try more.
_POSTPONE: Final = text("""-- outbox.postpone
UPDATE outbox SET leased_until = NULL, due_at = statement_timestamp() + make_interval(secs => :seconds)
WHERE id = :id AND tries = :tries""")

_DONE: Final = text("""-- outbox.done
UPDATE outbox SET done_at = statement_timestamp(), leased_until = NULL WHERE id = :id AND tries = :tries""")

_OPEN: Final = text("""-- outbox.open
SELECT count(*) FROM outbox WHERE registration_id = :registration_id AND done_at IS NULL
  AND (due_at <= statement_timestamp() OR leased_until > statement_timestamp())""")

_LAG: Final = text("""-- outbox.lag
SELECT coalesce(extract(epoch FROM statement_timestamp() - min(created_at)), 0)::float8
FROM outbox WHERE done_at IS NULL""")

_AGED: Final = text("""-- outbox.aged
DELETE FROM outbox WHERE id = ANY(ARRAY(
  SELECT id FROM outbox WHERE done_at < statement_timestamp() - make_interval(secs => :seconds) LIMIT 5000))""")


async def put(connection: AsyncConnection, payment: Payment, topic: Topic, subject_id: UUID, traceparent: str) -> None:
    """Write what must follow this transaction's commit; once, while it is not done."""
    values = {
        "school": payment.school,
        "registration_id": payment.registration_id,
        "payment_id": payment.id,
        "topic": topic,
        "subject_id": subject_id,
        "traceparent": traceparent or None,
    }
    await connection.execute(_PUT, values)


class Outbox:
    """Hands out what is due. ``lease_seconds`` outlasts any delivery: who was killed gives the row back by it."""

    def __init__(self, engine: AsyncEngine, jobs_engine: AsyncEngine, *, lease_seconds: float) -> None:
        self._engine = engine
        self._jobs_engine = jobs_engine
        self._lease_seconds = lease_seconds

    async def due(self, limit: int, *, of_event: int) -> Sequence[tuple[UUID, UUID]]:
        """Return registrations, each with its event, for which something is due that no worker holds.

        At most ``of_event`` of one event: an event that is stuck fills no page.
        """
        async with open_connection(self._jobs_engine) as connection:
            due = await connection.execute(_DUE, {"limit": limit, "of_event": of_event})
            return [(row.registration_id, row.event_id) for row in due]

    async def lease(self, registration_id: UUID) -> Delivery | None:
        """Take a registration's oldest row, None when it is not due or another's."""
        values = {"registration_id": registration_id, "seconds": self._lease_seconds}
        async with open_transaction(self._jobs_engine) as connection:
            row = (await connection.execute(_LEASE, values)).one_or_none()
        if row is None:
            return None
        return Delivery(
            id=row.id,
            key=PaymentKey(row.payment_id, row.school, row.registration_id),
            topic=Topic(row.topic),
            subject_id=row.subject_id,
            traceparent=row.traceparent or "",
            tries=row.tries,
            waiting_seconds=row.waiting_seconds,
        )

    async def postpone(self, delivery: Delivery, seconds: float) -> None:
        """Give a row back, to be tried again in ``seconds``; nothing, when the lease is another's by now."""
        async with open_transaction(self._jobs_engine) as connection:
            await connection.execute(_POSTPONE, {"id": delivery.id, "tries": delivery.tries, "seconds": seconds})

    async def done(self, delivery: Delivery) -> None:
        """Close a row; nothing, when the lease is another's by now."""
        async with school_transaction(self._engine, delivery.key.school) as connection:
            await connection.execute(_DONE, {"id": delivery.id, "tries": delivery.tries})

    async def is_under_way(self, registration_id: UUID) -> bool:
        """Say whether something for this registration is due or being done."""
        async with open_connection(self._jobs_engine) as connection:
            return bool(await connection.scalar(_OPEN, {"registration_id": registration_id}))

    async def lag_seconds(self) -> float:
        """Return how long the oldest open row has waited; 0 when there is none."""
        async with open_connection(self._jobs_engine) as connection:
            return float(await connection.scalar(_LAG) or 0.0)

    async def delete_aged(self, seconds: float) -> int:
        """Delete a bounded number of rows that were done longer than ``seconds`` ago; return how many."""
        async with open_transaction(self._jobs_engine) as connection:
            return (await connection.execute(_AGED, {"seconds": seconds})).rowcount
