"""Let payment read every stored change again; applying one twice is a no-op."""

from alembic import op

revision = "0012"
down_revision = "0011"

# Under the jobs' role, which sees all schools: row-level security hides their rows from the owner.
_STATEMENTS = (
    "GRANT INSERT ON unread_changes TO registration_jobs",
    "SET LOCAL ROLE registration_jobs",
    """INSERT INTO unread_changes SELECT school_id, 'payment', event_id, version, id FROM registration_changes
       WHERE topic IN ('registration.cancelled', 'registration.confirmed') ON CONFLICT DO NOTHING""",
    "RESET ROLE",
    "REVOKE INSERT ON unread_changes FROM registration_jobs",
)


def upgrade() -> None:
    # The revision before this one is committed first: its lock does not last as long as the copy.
    with op.get_context().autocommit_block():
        pass
    for statement in _STATEMENTS:
        op.execute(statement)
