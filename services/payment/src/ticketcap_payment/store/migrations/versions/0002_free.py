"""Allow refunds of a charge for an event that became free."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_REASONS = "'CANCELLED', 'FREE', 'ORGANISER', 'SEAT_GONE', 'SURPLUS'"


def upgrade() -> None:
    op.drop_constraint(op.f("refunds_reason_known"), "refunds", type_="check")
    op.create_check_constraint(op.f("refunds_reason_known"), "refunds", sa.text(f"reason IN ({_REASONS})"))
