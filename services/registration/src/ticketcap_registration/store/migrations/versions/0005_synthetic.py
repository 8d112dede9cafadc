"""Mark synthetic schools.

Online: a constant default rewrites no row, and the running version inserts schools without the column.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.add_column("schools", sa.Column("synthetic", sa.Boolean, nullable=False, server_default=sa.text("false")))
