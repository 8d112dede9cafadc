"""Add the school's UUID to payments.

Online: a nullable column without a default rewrites no row, and the running version ignores it.
Older rows have no id. Row-level security reads the slug until every row has one.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column("payments", sa.Column("school_id", sa.Uuid, nullable=True))
    # The app's grants cover the whole table; those of the jobs name their columns.
    op.execute("GRANT SELECT (school_id) ON payments TO payment_jobs")
