"""Terms of each registration, and the decided refund of each cancellation."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_BOUND = ("events", "registrations", "outbox")

# Nothing tells what an older registration was agreed at: the event's price of today is the closest that is known.
_TERMS = """
UPDATE registrations AS mine
SET price_agorot = events.price_agorot, currency = events.currency,
    cancellation_deadline_hours = events.cancellation_deadline_hours
FROM events WHERE events.id = mine.event_id AND mine.status <> 'WAITLISTED'"""

# Holds of an event that was made free could be paid by no one and would only expire.
_FREED = """
WITH freed AS (
  UPDATE registrations SET status = 'CONFIRMED' WHERE status = 'PENDING_PAYMENT' AND price_agorot = 0
  RETURNING id, event_id, school_id, spots
), told AS (
  INSERT INTO outbox (school_id, event_id, registration_id, topic, created_at)
  SELECT school_id, event_id, id, 'registration.confirmed', statement_timestamp() FROM freed
)
UPDATE events SET held = held - moved.spots, confirmed = confirmed + moved.spots, version = version + 1
FROM (SELECT event_id, sum(spots) AS spots FROM freed GROUP BY event_id) AS moved WHERE events.id = moved.event_id"""

# What was cancelled under the rule of before keeps its outcome: after the deadline nothing went back.
_REFUNDS = """
UPDATE outbox SET refund_agorot = 0
FROM events WHERE events.id = outbox.event_id AND outbox.topic = 'registration.cancelled'
  AND outbox.created_at > events.starts_at - make_interval(hours => events.cancellation_deadline_hours)"""


def upgrade() -> None:
    op.add_column("registrations", sa.Column("price_agorot", sa.BigInteger))
    op.add_column("registrations", sa.Column("currency", sa.Text))
    op.add_column("registrations", sa.Column("cancellation_deadline_hours", sa.Integer))
    op.add_column("outbox", sa.Column("refund_agorot", sa.BigInteger))
    _fill()
    op.create_check_constraint(
        op.f("registrations_hold_costs"), "registrations", "status <> 'PENDING_PAYMENT' OR price_agorot > 0"
    )
    op.execute("GRANT SELECT (price_agorot) ON registrations TO registration_jobs")


def _fill() -> None:
    # Forced row-level security binds the owner too, which has no policy: it would see, and change, no row.
    for table in _BOUND:
        op.execute(f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY")
    for statement in (_TERMS, _FREED, _REFUNDS):
        op.execute(statement)
    for table in _BOUND:
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
