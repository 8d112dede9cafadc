"""The outbox in the order of its commits, so that it can be read on from a cursor without a gap."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    # An id is drawn before its transaction commits: a smaller one may appear after a larger one was read. A reader
    # stops before the oldest transaction that still runs, so it must know which transaction wrote a row.
    op.add_column(
        "outbox",
        sa.Column(
            "transaction",
            sa.BigInteger,
            nullable=False,
            server_default=sa.text("(pg_current_xact_id()::text)::bigint"),
        ),
    )
    op.create_index("outbox_order", "outbox", ["transaction", "id"])
