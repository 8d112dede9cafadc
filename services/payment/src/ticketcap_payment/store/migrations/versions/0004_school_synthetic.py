"""Mark payments of synthetic schools.

Online: a constant default rewrites no row, and the running version inserts payments without the column.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.add_column(
        "payments", sa.Column("school_synthetic", sa.Boolean, nullable=False, server_default=sa.text("false"))
    )
    # The app's grants cover the whole table; those of the jobs name their columns.
    op.execute("GRANT SELECT (school_synthetic) ON payments TO payment_jobs")
