"""Schools, events, registrations, idempotency keys, outbox; roles and row-level security."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql
from ticketcap_chassis.database.row_security import create_role, protect_table

revision = "0001"
down_revision = None

_TENANT_COLUMN = {
    "schools": "id",
    "events": "school_id",
    "registrations": "school_id",
    "idempotency_keys": "school_id",
    "outbox": "school_id",
}


def upgrade() -> None:
    _tables()
    for name in ("registration_app", "registration_jobs"):
        for statement in create_role(name):
            op.execute(statement)
    for table, column in _TENANT_COLUMN.items():
        _bind(table, column)
    _grants()


def _tables() -> None:
    moment = sa.DateTime(timezone=True)
    op.create_table(
        "schools",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("slug", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("created_at", moment, nullable=False),
        sa.PrimaryKeyConstraint("id", name="schools_pkey"),
        sa.UniqueConstraint("slug", name="schools_slug_key"),
    )
    op.create_table(
        "events",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("school_id", sa.Uuid, nullable=False),
        sa.Column("slug", sa.Text, nullable=False),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("description", sa.Text, nullable=False),
        sa.Column("location", sa.Text, nullable=False),
        sa.Column("starts_at", moment, nullable=False),
        sa.Column("ends_at", moment),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("capacity", sa.Integer, nullable=False),
        sa.Column("max_spots_per_registration", sa.Integer, nullable=False),
        sa.Column("price_agorot", sa.BigInteger, nullable=False),
        sa.Column("currency", sa.Text, nullable=False),
        sa.Column("waitlist_enabled", sa.Boolean, nullable=False),
        sa.Column("waitlist_policy", sa.Text, nullable=False),
        sa.Column("hold_seconds", sa.Integer, nullable=False),
        sa.Column("cancellation_deadline_hours", sa.Integer, nullable=False),
        sa.Column("confirmed", sa.Integer, nullable=False),
        sa.Column("held", sa.Integer, nullable=False),
        sa.Column("waitlisted", sa.Integer, nullable=False),
        sa.Column("waitlist_length", sa.Integer, nullable=False),
        sa.Column("waitlist_sequence", sa.BigInteger, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("created_at", moment, nullable=False),
        sa.Column("updated_at", moment, nullable=False),
        sa.PrimaryKeyConstraint("id", name="events_pkey"),
        sa.ForeignKeyConstraint(["school_id"], ["schools.id"], name="events_school_id_fkey"),
        sa.UniqueConstraint("school_id", "slug", name="events_school_id_slug_key"),
        sa.UniqueConstraint("school_id", "id", name="events_school_id_id_key"),
        sa.CheckConstraint("capacity >= 1", name=op.f("events_capacity_positive")),
        sa.CheckConstraint(
            "confirmed >= 0 AND held >= 0 AND confirmed + held <= capacity", name=op.f("events_never_oversold")
        ),
        sa.CheckConstraint(
            "waitlist_length >= 0 AND waitlisted >= waitlist_length", name=op.f("events_waitlist_counts")
        ),
        sa.CheckConstraint("ends_at > starts_at", name=op.f("events_ends_after_start")),
        sa.CheckConstraint("price_agorot >= 0", name=op.f("events_price_not_negative")),
        sa.CheckConstraint("status IN ('CLOSED', 'OPEN', 'PAUSED')", name=op.f("events_status_known")),
        sa.CheckConstraint(
            "waitlist_policy IN ('FIRST_FIT', 'STRICT_FIFO')", name=op.f("events_waitlist_policy_known")
        ),
        postgresql_with={"fillfactor": "50"},
    )
    op.create_index(
        "events_open", "events", ["school_id", "starts_at", "id"], postgresql_where=sa.text("status = 'OPEN'")
    )
    op.create_table(
        "registrations",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("event_id", sa.Uuid, nullable=False),
        sa.Column("school_id", sa.Uuid, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("phone", sa.Text, nullable=False),
        sa.Column("email", sa.Text),
        sa.Column("spots", sa.Integer, nullable=False),
        sa.Column("confirmation_code", sa.Text, nullable=False),
        sa.Column("created_at", moment, nullable=False),
        sa.Column("waitlist_seq", sa.BigInteger),
        sa.Column("hold_expires_at", moment),
        sa.Column("cancelled_at", moment),
        sa.Column("cancel_reason", sa.Text),
        sa.Column("checked_in_at", moment),
        sa.PrimaryKeyConstraint("id", name="registrations_pkey"),
        sa.ForeignKeyConstraint(
            ["school_id", "event_id"],
            ["events.school_id", "events.id"],
            name="registrations_school_id_event_id_fkey",
        ),
        sa.UniqueConstraint("confirmation_code", name="registrations_confirmation_code_key"),
        sa.CheckConstraint("spots >= 1", name=op.f("registrations_spots_positive")),
        sa.CheckConstraint(
            "status IN ('CANCELLED', 'CONFIRMED', 'EXPIRED', 'PENDING_PAYMENT', 'WAITLISTED')",
            name=op.f("registrations_status_known"),
        ),
        sa.CheckConstraint(
            "status <> 'WAITLISTED' OR waitlist_seq IS NOT NULL", name=op.f("registrations_waitlisted_has_place")
        ),
        sa.CheckConstraint(
            "status <> 'PENDING_PAYMENT' OR hold_expires_at IS NOT NULL", name=op.f("registrations_hold_has_end")
        ),
        sa.CheckConstraint(
            "checked_in_at IS NULL OR status = 'CONFIRMED'", name=op.f("registrations_checked_in_is_confirmed")
        ),
    )
    op.create_index(
        "registrations_one_live_per_phone",
        "registrations",
        ["event_id", "phone"],
        unique=True,
        postgresql_where=sa.text("status IN ('CONFIRMED', 'PENDING_PAYMENT', 'WAITLISTED')"),
    )
    waitlisted = sa.text("status = 'WAITLISTED'")
    op.create_index(
        "registrations_waitlist", "registrations", ["event_id", "waitlist_seq"], postgresql_where=waitlisted
    )
    op.create_index(
        "registrations_waitlist_by_size",
        "registrations",
        ["event_id", "spots", "waitlist_seq"],
        postgresql_where=waitlisted,
    )
    op.create_index(
        "registrations_holds",
        "registrations",
        ["event_id", "hold_expires_at"],
        postgresql_where=sa.text("status = 'PENDING_PAYMENT'"),
    )
    op.create_index("registrations_pages", "registrations", ["event_id", "created_at", "id"])
    op.create_table(
        "idempotency_keys",
        sa.Column("scope", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("school_id", sa.Uuid, nullable=False),
        sa.Column("fingerprint", sa.Text, nullable=False),
        sa.Column("answer", postgresql.JSONB, nullable=False),
        sa.Column("created_at", moment, nullable=False),
        sa.PrimaryKeyConstraint("scope", "key", name="idempotency_keys_pkey"),
    )
    op.create_index("idempotency_keys_age", "idempotency_keys", ["created_at"])
    op.create_table(
        "outbox",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), nullable=False),
        sa.Column("school_id", sa.Uuid, nullable=False),
        sa.Column("event_id", sa.Uuid, nullable=False),
        sa.Column("registration_id", sa.Uuid, nullable=False),
        sa.Column("topic", sa.Text, nullable=False),
        sa.Column("traceparent", sa.Text),
        sa.Column("created_at", moment, nullable=False),
        sa.PrimaryKeyConstraint("id", name="outbox_pkey"),
    )
    op.create_index("outbox_age", "outbox", ["created_at"])


def _bind(table: str, column: str) -> None:
    """Let the app see only rows of the school that its transaction names."""
    own = f"{column} = nullif(current_setting('ticketcap.school_id', true), '')::uuid"
    for statement in protect_table(table):
        op.execute(statement)
    op.execute(f"CREATE POLICY one_school ON {table} TO registration_app USING ({own}) WITH CHECK ({own})")
    op.execute(f"CREATE POLICY all_schools ON {table} TO registration_jobs USING (true) WITH CHECK (false)")


def _grants() -> None:
    op.execute("GRANT SELECT, INSERT ON schools TO registration_app")
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON events TO registration_app")
    op.execute("GRANT SELECT, INSERT, UPDATE ON registrations TO registration_app")
    op.execute("GRANT SELECT, INSERT ON idempotency_keys, outbox TO registration_app")
    op.execute("GRANT SELECT ON schools, events TO registration_jobs")
    # No name, no phone, no e-mail, no reason that somebody wrote.
    op.execute(
        "GRANT SELECT (id, event_id, school_id, status, spots, waitlist_seq, hold_expires_at, created_at)"
        " ON registrations TO registration_jobs"
    )
    op.execute("GRANT SELECT, DELETE ON idempotency_keys, outbox TO registration_jobs")
