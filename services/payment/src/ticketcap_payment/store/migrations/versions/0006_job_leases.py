"""Add the leases of jobs: one replica runs a job at a time."""

from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.execute("""
        CREATE TABLE job_leases (
          job text CONSTRAINT job_leases_pkey PRIMARY KEY,
          holder uuid NOT NULL,
          expires_at timestamptz NOT NULL
        )""")
    op.execute("GRANT SELECT, INSERT, UPDATE ON job_leases TO payment_jobs")
