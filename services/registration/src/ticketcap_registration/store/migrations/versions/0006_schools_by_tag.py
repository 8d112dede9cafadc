"""Index schools by their tag.

Online: the index is built without a lock, outside of the migration's transaction. A build that was interrupted leaves
an invalid index, which the next attempt replaces.
"""

from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS schools_by_tag")
        op.execute("CREATE INDEX CONCURRENTLY schools_by_tag ON schools (right(id::text, 4))")
