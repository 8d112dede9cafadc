"""Begin every key and index with the school's id.

Online: each row gets its school's id in small batches, and each index and foreign key is made beside the old one
without a lock. Short transactions change the tables between; the last one puts the new ones in their places. An
attempt that was interrupted before it is repeated from the start.

The release before this one keeps working. It names its school by the slug: a default finds the id, a second policy
shows its rows, and two unique rules without the school stay, because it names them in ON CONFLICT. A later migration
drops these, and the slugs.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import sqlalchemy as sa
from alembic import op
from ticketcap_chassis.database.online import build_index, lock_tables

revision = "0007"
down_revision = "0006"

_BATCH = 2000
_NO_SCHOOL = "00000000-0000-0000-0000-000000000000"
_KEYS = {
    "payments": "id",
    "transactions": "masof, yaadpay_id",
    "returns": "id",
    "refunds": "id",
    "outbox": "id",
    "escalations": "id",
}
"""Each table with the rest of its primary key."""
_PARTS = ("transactions", "returns", "refunds", "escalations")
"""The tables with a foreign key to a payment."""
_UNIQUE = {
    "payments_order_key": ("payments", ("order",)),
    "payments_registration_id_idempotency_key_key": ("payments", ("registration_id", "idempotency_key")),
    "returns_payment_id_digest_key": ("returns", ("payment_id", "digest")),
    "refunds_payment_id_idempotency_key_key": ("refunds", ("payment_id", "idempotency_key")),
}
"""The unique constraints of before, with their tables and columns."""


@dataclass(frozen=True)
class _Index:
    """An index; ``columns`` follow the school's id."""

    table: str
    name: str
    columns: str
    where: str = ""
    unique: bool = False

    @property
    def new_name(self) -> str:
        """The name until the index is in its place."""
        return f"new_{self.name}"

    @property
    def place(self) -> str:
        """The table, the columns and the condition."""
        where = f" WHERE {self.where}" if self.where else ""
        return f"{self.table} (school_id, {self.columns}){where}"


_RUNNING = "state IN ('AUTHORISED', 'CAPTURED', 'CREATED', 'REDIRECTED', 'UNKNOWN')"
_REPLACED = (
    _Index("payments", "payments_one_running_per_registration", "registration_id", _RUNNING, unique=True),
    _Index("payments", "payments_by_registration", "registration_id, id"),
    _Index("payments", "payments_unpaid", "created_at", "state IN ('CREATED', 'REDIRECTED')"),
    _Index("payments", "payments_capturing", "authorised_at", "state IN ('AUTHORISED', 'UNKNOWN')"),
    _Index(
        "payments", "payments_without_seat", "captured_at", "state = 'CAPTURED' AND seat NOT IN ('CONFIRMED', 'GONE')"
    ),
    _Index("payments", "payments_books", "captured_at", "captured_at IS NOT NULL"),
    _Index("transactions", "transactions_by_payment", "payment_id"),
    _Index("returns", "returns_pending", "received_at", "verdict = 'PENDING'"),
    _Index("refunds", "refunds_open", "created_at", "state IN ('REQUESTED', 'SENT')"),
    _Index("refunds", "refunds_books", "done_at", "done_at IS NOT NULL"),
    _Index("outbox", "outbox_open", "registration_id, id", "done_at IS NULL"),
    _Index("outbox", "outbox_due", "due_at", "done_at IS NULL"),
    _Index("outbox", "outbox_done", "done_at", "done_at IS NOT NULL"),
    _Index("escalations", "escalations_open", "since", "resolved_at IS NULL"),
)
_ADDED = (
    _Index("outbox", "outbox_one_open_per_school_and_subject", "topic, subject_id", "done_at IS NULL", unique=True),
    _Index(
        "escalations",
        "escalations_one_open_per_school_and_subject",
        "kind, subject_id",
        "resolved_at IS NULL",
        unique=True,
    ),
)


def upgrade() -> None:
    _add_column()
    with op.get_context().autocommit_block():
        _fill()
    _require_column()
    _make_indexes()
    _make_foreign_keys()
    _swap()


def _add_column() -> None:
    # An escalated seat may be of a school that payment never met.
    op.execute(f"""
        CREATE OR REPLACE FUNCTION school_of_slug() RETURNS uuid LANGUAGE sql STABLE AS $$
          SELECT coalesce((SELECT id FROM schools WHERE slug = current_setting('ticketcap.school', true)),
                          '{_NO_SCHOOL}'::uuid) $$""")
    lock_tables(*_KEYS)
    for table in _KEYS:
        op.execute(f"ALTER TABLE {table} ADD COLUMN IF NOT EXISTS school_id uuid")
        # Not with the column: that would store the default's value of this session in all rows.
        if table != "payments":
            op.execute(f"ALTER TABLE {table} ALTER COLUMN school_id SET DEFAULT school_of_slug()")
        # Forced row-level security hides the rows from their owner, who runs this.
        op.execute(f"DROP POLICY IF EXISTS migration ON {table}")
        op.execute(f"CREATE POLICY migration ON {table} TO CURRENT_USER USING (true) WITH CHECK (true)")
    # The app's grants cover whole tables; those of the jobs name this table's columns.
    op.execute("GRANT SELECT (school_id) ON returns TO payment_jobs")


def _fill() -> None:
    """Give each row its school's id."""
    op.execute("""
        INSERT INTO schools (id, slug, synthetic)
        SELECT DISTINCT ON (school) school_id, school, school_synthetic FROM payments WHERE school_id IS NOT NULL
        ON CONFLICT DO NOTHING""")
    _require_schools()
    for table, key in _KEYS.items():
        batch = sa.text(f"""
            UPDATE {table}
            SET school_id = coalesce((SELECT id FROM schools WHERE slug = {table}.school), '{_NO_SCHOOL}')
            WHERE ({key}) IN (SELECT {key} FROM {table} WHERE school_id IS NULL LIMIT {_BATCH})""")
        # It ends: the rows that follow have an id from the start.
        while op.get_bind().execute(batch).rowcount:
            pass


def _require_schools() -> None:
    """Stop when a payment's school has no known id: releases before 0003 stored the slug alone."""
    unknown = op.get_bind().scalars(
        sa.text("""
            SELECT DISTINCT school FROM payments
            WHERE school_id IS NULL AND school NOT IN (SELECT slug FROM schools) ORDER BY school LIMIT 10""")
    )
    if slugs := list(unknown):
        raise RuntimeError(
            f"payments of the schools {', '.join(slugs)} have no school id; copy id, slug and synthetic of these "
            "schools from the table schools of the registration service to that of payment, then migrate again"
        )


def _require_column() -> None:
    """Prove that each row has an id, so that the primary keys need no look at the rows under their lock."""
    lock_tables(*_KEYS)
    for table in _KEYS:
        op.execute(f"ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {table}_has_school")
        op.execute(f"ALTER TABLE {table} ADD CONSTRAINT {table}_has_school CHECK (school_id IS NOT NULL) NOT VALID")
    for table in _PARTS:
        op.execute(f"ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {_foreign_key(table)}")
    with op.get_context().autocommit_block():
        for table in _KEYS:
            op.execute(f"ALTER TABLE {table} VALIDATE CONSTRAINT {table}_has_school")


def _make_indexes() -> None:
    for table, key in _KEYS.items():
        build_index(f"new_{table}_pkey", f"{table} (school_id, {key})", unique=True)
    for name, (table, columns) in _UNIQUE.items():
        build_index(f"new_{name}", f"{table} (school_id, {_quoted(columns)})", unique=True)
    for index in (*_REPLACED, *_ADDED):
        build_index(index.new_name, index.place, unique=index.unique)


def _make_foreign_keys() -> None:
    lock_tables("payments", *_PARTS)
    for table in _PARTS:
        op.execute(
            f"ALTER TABLE {table} ADD CONSTRAINT {_foreign_key(table)} FOREIGN KEY (school_id, payment_id)"
            " REFERENCES payments (school_id, id) NOT VALID"
        )
    with op.get_context().autocommit_block():
        for table in _PARTS:
            op.execute(f"ALTER TABLE {table} VALIDATE CONSTRAINT {_foreign_key(table)}")


def _swap() -> None:
    """Put the new keys, indexes and policies in their places."""
    lock_tables(*_KEYS)
    for table in _PARTS:
        op.execute(f"ALTER TABLE {table} DROP CONSTRAINT {table}_payment_id_fkey")
    for table in _KEYS:
        op.execute(f"ALTER TABLE {table} DROP CONSTRAINT {table}_pkey")
        op.execute(f"ALTER TABLE {table} ADD CONSTRAINT {table}_pkey PRIMARY KEY USING INDEX new_{table}_pkey")
        op.execute(f"ALTER TABLE {table} DROP CONSTRAINT {table}_has_school")
    for name, (table, columns) in _UNIQUE.items():
        op.execute(f"ALTER TABLE {table} DROP CONSTRAINT {name}")
        new = f"{table}_school_id_{'_'.join(columns)}_key"
        op.execute(f"ALTER TABLE {table} ADD CONSTRAINT {new} UNIQUE USING INDEX new_{name}")
    for index in _REPLACED:
        op.execute(f"DROP INDEX {index.name}")
    for index in (*_REPLACED, *_ADDED):
        op.execute(f"ALTER INDEX {index.new_name} RENAME TO {index.name}")
    for statement in _policies():
        op.execute(statement)


def _policies() -> Iterator[str]:
    own = "school_id = nullif(current_setting('ticketcap.school_id', true), '')::uuid"
    for table in _KEYS:
        yield f"DROP POLICY migration ON {table}"
        yield f"CREATE POLICY own_school ON {table} TO payment_app USING ({own}) WITH CHECK ({own})"


def _foreign_key(table: str) -> str:
    return f"{table}_school_id_payment_id_fkey"


def _quoted(columns: tuple[str, ...]) -> str:
    return ", ".join(f'"{column}"' for column in columns)
