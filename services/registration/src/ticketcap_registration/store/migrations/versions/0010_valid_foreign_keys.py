"""Validate the foreign keys to events.

Online: reads and writes continue while the rows are read. Each row met the same rule before the keys changed.
"""

from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    for table in ("registrations", "event_audits"):
        op.execute(f"ALTER TABLE {table} VALIDATE CONSTRAINT {table}_school_id_event_id_fkey")
