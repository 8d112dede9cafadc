"""Index schools by their tag, and say until when ids without a tag were made.

Online: nothing that the running version uses is locked. That version makes ids without a tag as long as it runs beside
this release or comes back: a database with payments counts 30 days on them, an empty one none.
"""

from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.execute("""
        CREATE TABLE IF NOT EXISTS schools (
          id uuid CONSTRAINT schools_pkey PRIMARY KEY,
          slug text NOT NULL CONSTRAINT schools_slug_key UNIQUE,
          synthetic boolean NOT NULL
        )""")
    op.execute("GRANT SELECT, INSERT ON schools TO payment_app")
    op.execute("GRANT SELECT ON schools TO payment_jobs")
    op.execute("CREATE INDEX schools_by_tag ON schools (right(id::text, 4))")
    op.execute("CREATE TABLE untagged_ids (made_until timestamptz CONSTRAINT untagged_ids_pkey PRIMARY KEY)")
    # Forced row-level security hides the rows of payments from their owner, but not the table's size.
    op.execute("INSERT INTO untagged_ids SELECT now() + interval '30 days' WHERE pg_relation_size('payments') > 0")
    op.execute("GRANT SELECT ON untagged_ids TO payment_jobs")
