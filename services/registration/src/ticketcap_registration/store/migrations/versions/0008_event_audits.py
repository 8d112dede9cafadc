"""Add the audits of events: the counters with which each event passed its last audit."""

from alembic import op
from ticketcap_chassis.database.row_security import protect_table

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.execute("""
        CREATE TABLE event_audits (
          school_id uuid NOT NULL,
          event_id uuid NOT NULL,
          version bigint NOT NULL,
          capacity integer NOT NULL,
          confirmed integer NOT NULL,
          held integer NOT NULL,
          waitlisted integer NOT NULL,
          waitlist_length integer NOT NULL,
          audited_at timestamptz NOT NULL,
          CONSTRAINT event_audits_pkey PRIMARY KEY (school_id, event_id),
          CONSTRAINT event_audits_school_id_event_id_fkey
            FOREIGN KEY (school_id, event_id) REFERENCES events (school_id, id) ON DELETE CASCADE
        )""")
    for statement in protect_table("event_audits"):
        op.execute(statement)
    op.execute("CREATE POLICY all_schools ON event_audits TO registration_jobs USING (true) WITH CHECK (true)")
    op.execute("GRANT SELECT, INSERT, UPDATE ON event_audits TO registration_jobs")
