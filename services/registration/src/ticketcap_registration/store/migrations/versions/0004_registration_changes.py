"""Rename the outbox to registration_changes."""

from alembic import op

revision = "0004"
down_revision = "0003"

_RENAMED = (
    "ALTER TABLE outbox RENAME TO registration_changes",
    "ALTER TABLE registration_changes RENAME CONSTRAINT outbox_pkey TO registration_changes_pkey",
    "ALTER INDEX outbox_age RENAME TO registration_changes_age",
    "ALTER INDEX outbox_order RENAME TO registration_changes_order",
    "ALTER SEQUENCE outbox_id_seq RENAME TO registration_changes_id_seq",
)
_CONSTRAINT = """ALTER TABLE registrations
  RENAME CONSTRAINT registrations_waitlisted_has_place TO registrations_waitlisted_has_position"""

# The release before this one reads, writes and deletes `outbox`, and may run beside this one or come back. The view
# takes its statements: it is updatable, and security_invoker (PostgreSQL 15) applies the policies and the privileges
# of the caller, not of the view's owner. Its housekeeping deletes by ctid, which a view must name to have.
# A later release drops the view.
_FORMER_NAME = (
    "CREATE VIEW outbox WITH (security_invoker = true) AS SELECT ctid, registration_changes.* FROM registration_changes",
    "GRANT SELECT, INSERT ON outbox TO registration_app",
    "GRANT SELECT, DELETE ON outbox TO registration_jobs",
)


def upgrade() -> None:
    # Names change and no row does: each statement holds its table's lock for a moment. Rows, policies and grants of
    # the table stay with it.
    for statement in (*_RENAMED, _CONSTRAINT, *_FORMER_NAME):
        op.execute(statement)
