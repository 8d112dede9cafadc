"""Create the tables of money with their roles, row-level security and transitions."""

import sqlalchemy as sa
from alembic import op
from ticketcap_chassis.database.row_security import create_role, protect_table

revision = "0001"
down_revision = None

_TENANT_TABLES = ("payments", "transactions", "returns", "refunds", "outbox", "escalations")
_MOMENT = sa.DateTime(timezone=True)

# The same as domain.states.TRANSITIONS; a test tries every pair.
_MOVES = """
    CREATED REDIRECTED, CREATED AUTHORISED, CREATED CAPTURED, CREATED FAILED, CREATED EXPIRED,
    REDIRECTED AUTHORISED, REDIRECTED CAPTURED, REDIRECTED FAILED, REDIRECTED EXPIRED,
    FAILED AUTHORISED, FAILED CAPTURED, EXPIRED AUTHORISED, EXPIRED CAPTURED,
    AUTHORISED CAPTURED, AUTHORISED UNKNOWN, AUTHORISED FAILED, UNKNOWN CAPTURED, UNKNOWN FAILED,
    CAPTURED REFUND_PENDING, REFUND_PENDING REFUNDED
"""


def upgrade() -> None:
    _tables()
    _moves()
    for name in ("payment_app", "payment_jobs"):
        for statement in create_role(name):
            op.execute(statement)
    for table in _TENANT_TABLES:
        _bind(table)
    _grants()


def _moves() -> None:
    """Let a state change only as the rules say, and money given back only grow, whoever writes."""
    known = ", ".join(f"'{' '.join(move.split())}'" for move in _MOVES.split(","))
    op.execute(f"""
        CREATE FUNCTION payments_only_move_on() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
          IF OLD.state <> NEW.state AND OLD.state || ' ' || NEW.state NOT IN ({known}) THEN
            RAISE EXCEPTION 'payment % can not go from % to %', OLD.id, OLD.state, NEW.state
              USING ERRCODE = 'check_violation', CONSTRAINT = 'payments_only_move_on';
          END IF;
          IF NEW.refunded_agorot < OLD.refunded_agorot OR NEW.amount_agorot <> OLD.amount_agorot
             OR NEW."order" <> OLD."order" OR NEW.registration_id <> OLD.registration_id THEN
            RAISE EXCEPTION 'payment %: what was agreed or given back does not change', OLD.id
              USING ERRCODE = 'check_violation', CONSTRAINT = 'payments_only_move_on';
          END IF;
          RETURN NEW;
        END $$""")
    op.execute("""
        CREATE TRIGGER payments_only_move_on BEFORE UPDATE ON payments
        FOR EACH ROW EXECUTE FUNCTION payments_only_move_on()""")


def _bind(table: str) -> None:
    """Let the app see only rows of the school that its transaction names."""
    own = "school = current_setting('ticketcap.school', true)"
    for statement in protect_table(table):
        op.execute(statement)
    op.execute(f"CREATE POLICY one_school ON {table} TO payment_app USING ({own}) WITH CHECK ({own})")
    op.execute(f"CREATE POLICY all_schools ON {table} TO payment_jobs USING (true) WITH CHECK ({table == 'outbox'})")


def _grants() -> None:
    op.execute("GRANT SELECT, INSERT, UPDATE ON payments, returns, refunds, outbox, escalations TO payment_app")
    op.execute("GRANT SELECT, INSERT ON transactions TO payment_app")
    # No page's address and no message: a customer's name stands in both.
    op.execute(
        'GRANT SELECT (id, school, registration_id, event_id, "order", masof, amount_agorot, currency, created_at,'
        " state, seat, yaadpay_id, ccode, failure, capture_tries, refunded_agorot, refund_pending_agorot,"
        " authorised_at, captured_at) ON payments TO payment_jobs"
    )
    op.execute("GRANT SELECT (id, school, payment_id, verdict, received_at) ON returns TO payment_jobs")
    op.execute("GRANT SELECT ON transactions, refunds, escalations TO payment_jobs")
    op.execute("GRANT SELECT, DELETE, UPDATE (due_at, leased_until, tries) ON outbox TO payment_jobs")
    op.execute("GRANT SELECT, INSERT, UPDATE ON cursors TO payment_jobs")


def _tables() -> None:
    op.create_table(
        "cursors",
        sa.Column("feed", sa.Text, nullable=False),
        sa.Column("position", sa.Text, nullable=False),
        sa.Column("read_at", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("feed", name=op.f("cursors_pkey")),
    )
    op.create_table(
        "outbox",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), nullable=False),
        sa.Column("school", sa.Text, nullable=False),
        sa.Column("registration_id", sa.Uuid, nullable=False),
        sa.Column("payment_id", sa.Uuid, nullable=False),
        sa.Column("topic", sa.Text, nullable=False),
        sa.Column("subject_id", sa.Uuid, nullable=False),
        sa.Column("traceparent", sa.Text),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.Column("due_at", _MOMENT, nullable=False),
        sa.Column("leased_until", _MOMENT),
        sa.Column("tries", sa.Integer, nullable=False),
        sa.Column("done_at", _MOMENT),
        sa.CheckConstraint(
            "topic IN ('payment.capture', 'refund.send', 'return.verify', 'seat.confirm')",
            name=op.f("outbox_topic_known"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("outbox_pkey")),
    )
    op.create_index("outbox_done", "outbox", ["done_at"], postgresql_where=sa.text("done_at IS NOT NULL"))
    op.create_index("outbox_due", "outbox", ["due_at"], postgresql_where=sa.text("done_at IS NULL"))
    op.create_index(
        "outbox_one_open_per_subject",
        "outbox",
        ["topic", "subject_id"],
        unique=True,
        postgresql_where=sa.text("done_at IS NULL"),
    )
    op.create_index("outbox_open", "outbox", ["registration_id", "id"], postgresql_where=sa.text("done_at IS NULL"))
    op.create_table(
        "payments",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("school", sa.Text, nullable=False),
        sa.Column("registration_id", sa.Uuid, nullable=False),
        sa.Column("event_id", sa.Uuid, nullable=False),
        sa.Column("order", sa.Text, nullable=False),
        sa.Column("masof", sa.Text, nullable=False),
        sa.Column("amount_agorot", sa.BigInteger, nullable=False),
        sa.Column("currency", sa.Text, nullable=False),
        sa.Column("language", sa.Text, nullable=False),
        sa.Column("idempotency_key", sa.Text, nullable=False),
        sa.Column("fingerprint", sa.Text, nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.Column("traceparent", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("seat", sa.Text, nullable=False),
        sa.Column("redirect_url", sa.Text, nullable=False),
        sa.Column("yaadpay_id", sa.Text, nullable=False),
        sa.Column("ccode", sa.Integer),
        sa.Column("failure", sa.Text, nullable=False),
        sa.Column("capture_tries", sa.Integer, nullable=False),
        sa.Column("refunded_agorot", sa.BigInteger, nullable=False),
        sa.Column("refund_pending_agorot", sa.BigInteger, nullable=False),
        sa.Column("authorised_at", _MOMENT),
        sa.Column("captured_at", _MOMENT),
        sa.CheckConstraint(
            "(state = 'REFUNDED') = (refunded_agorot = amount_agorot)", name=op.f("payments_refunded_is_whole")
        ),
        sa.CheckConstraint(
            "(state IN ('CAPTURED', 'REFUND_PENDING', 'REFUNDED')) = (captured_at IS NOT NULL)",
            name=op.f("payments_captured_has_time"),
        ),
        sa.CheckConstraint("seat IN ('CONFIRMED', 'GONE', 'HELD', 'SECURED')", name=op.f("payments_seat_known")),
        sa.CheckConstraint(
            "state IN ('AUTHORISED', 'CAPTURED', 'CREATED', 'EXPIRED', 'FAILED', 'REDIRECTED', 'REFUNDED', 'REFUND_PENDING', 'UNKNOWN')",
            name=op.f("payments_state_known"),
        ),
        sa.CheckConstraint(
            "state IN ('CAPTURED', 'REFUND_PENDING', 'REFUNDED') OR refunded_agorot + refund_pending_agorot = 0",
            name=op.f("payments_only_captured_is_refunded"),
        ),
        sa.CheckConstraint("amount_agorot > 0", name=op.f("payments_amount_positive")),
        sa.CheckConstraint(
            "refunded_agorot >= 0 AND refund_pending_agorot >= 0 AND refunded_agorot + refund_pending_agorot <= amount_agorot",
            name=op.f("payments_never_refunded_too_much"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("payments_pkey")),
        sa.UniqueConstraint("order", name=op.f("payments_order_key")),
        sa.UniqueConstraint(
            "registration_id", "idempotency_key", name=op.f("payments_registration_id_idempotency_key_key")
        ),
    )
    op.create_index(
        "payments_books", "payments", ["school", "captured_at"], postgresql_where=sa.text("captured_at IS NOT NULL")
    )
    op.create_index("payments_by_registration", "payments", ["registration_id", "id"], unique=False)
    op.create_index(
        "payments_capturing",
        "payments",
        ["authorised_at"],
        postgresql_where=sa.text("state IN ('AUTHORISED', 'UNKNOWN')"),
    )
    op.create_index(
        "payments_one_running_per_registration",
        "payments",
        ["registration_id"],
        unique=True,
        postgresql_where=sa.text("state IN ('AUTHORISED', 'CAPTURED', 'CREATED', 'REDIRECTED', 'UNKNOWN')"),
    )
    op.create_index(
        "payments_unpaid", "payments", ["created_at"], postgresql_where=sa.text("state IN ('CREATED', 'REDIRECTED')")
    )
    op.create_index(
        "payments_without_seat",
        "payments",
        ["captured_at"],
        postgresql_where=sa.text("state = 'CAPTURED' AND seat NOT IN ('CONFIRMED', 'GONE')"),
    )
    op.create_table(
        "escalations",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("school", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("subject_id", sa.Uuid, nullable=False),
        sa.Column("payment_id", sa.Uuid),
        sa.Column("registration_id", sa.Uuid, nullable=False),
        sa.Column("why", sa.Text, nullable=False),
        sa.Column("since", _MOMENT, nullable=False),
        sa.Column("resolved_at", _MOMENT),
        sa.Column("resolved_by", sa.Text),
        sa.Column("resolution", sa.Text),
        sa.CheckConstraint("kind IN ('payment', 'refund', 'return', 'seat')", name=op.f("escalations_kind_known")),
        sa.ForeignKeyConstraint(["payment_id"], ["payments.id"], name=op.f("escalations_payment_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("escalations_pkey")),
    )
    op.create_index(
        "escalations_one_open_per_subject",
        "escalations",
        ["kind", "subject_id"],
        unique=True,
        postgresql_where=sa.text("resolved_at IS NULL"),
    )
    op.create_index("escalations_open", "escalations", ["since"], postgresql_where=sa.text("resolved_at IS NULL"))
    op.create_table(
        "refunds",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("school", sa.Text, nullable=False),
        sa.Column("payment_id", sa.Uuid, nullable=False),
        sa.Column("registration_id", sa.Uuid, nullable=False),
        sa.Column("charge_id", sa.Text, nullable=False),
        sa.Column("amount_agorot", sa.BigInteger, nullable=False),
        sa.Column("currency", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("idempotency_key", sa.Text, nullable=False),
        sa.Column("fingerprint", sa.Text, nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("method", sa.Text),
        sa.Column("tries", sa.Integer, nullable=False),
        sa.Column("yaadpay_id", sa.Text, nullable=False),
        sa.Column("ccode", sa.Integer),
        sa.Column("done_at", _MOMENT),
        sa.CheckConstraint("(state = 'DONE') = (done_at IS NOT NULL)", name=op.f("refunds_done_has_time")),
        sa.CheckConstraint("method IN ('CANCEL', 'REFUND')", name=op.f("refunds_method_known")),
        sa.CheckConstraint(
            "reason IN ('CANCELLED', 'ORGANISER', 'SEAT_GONE', 'SURPLUS')", name=op.f("refunds_reason_known")
        ),
        sa.CheckConstraint(
            "state IN ('DONE', 'REFUSED', 'REQUESTED', 'SENT', 'UNKNOWN')", name=op.f("refunds_state_known")
        ),
        sa.CheckConstraint("amount_agorot > 0", name=op.f("refunds_amount_positive")),
        sa.ForeignKeyConstraint(["payment_id"], ["payments.id"], name=op.f("refunds_payment_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("refunds_pkey")),
        sa.UniqueConstraint("payment_id", "idempotency_key", name=op.f("refunds_payment_id_idempotency_key_key")),
    )
    op.create_index("refunds_books", "refunds", ["school", "done_at"], postgresql_where=sa.text("done_at IS NOT NULL"))
    op.create_index(
        "refunds_open", "refunds", ["created_at"], postgresql_where=sa.text("state IN ('REQUESTED', 'SENT')")
    )
    op.create_table(
        "returns",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("school", sa.Text, nullable=False),
        sa.Column("payment_id", sa.Uuid, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("message", sa.Text, nullable=False),
        sa.Column("verdict", sa.Text, nullable=False),
        sa.Column("received_at", _MOMENT, nullable=False),
        sa.Column("judged_at", _MOMENT),
        sa.CheckConstraint("verdict IN ('FORGED', 'GENUINE', 'PENDING')", name=op.f("returns_verdict_known")),
        sa.ForeignKeyConstraint(["payment_id"], ["payments.id"], name=op.f("returns_payment_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("returns_pkey")),
        sa.UniqueConstraint("payment_id", "digest", name=op.f("returns_payment_id_digest_key")),
    )
    op.create_index("returns_pending", "returns", ["received_at"], postgresql_where=sa.text("verdict = 'PENDING'"))
    op.create_table(
        "transactions",
        sa.Column("masof", sa.Text, nullable=False),
        sa.Column("yaadpay_id", sa.Text, nullable=False),
        sa.Column("school", sa.Text, nullable=False),
        sa.Column("payment_id", sa.Uuid, nullable=False),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("ccode", sa.Integer, nullable=False),
        sa.Column("amount_agorot", sa.BigInteger, nullable=False),
        sa.Column("recorded_at", _MOMENT, nullable=False),
        sa.CheckConstraint(
            "role IN ('AUTHORISATION', 'CHARGE', 'DECLINED', 'REFUND', 'SURPLUS')", name=op.f("transactions_role_known")
        ),
        sa.CheckConstraint("amount_agorot >= 0", name=op.f("transactions_amount_not_negative")),
        sa.ForeignKeyConstraint(["payment_id"], ["payments.id"], name=op.f("transactions_payment_id_fkey")),
        sa.PrimaryKeyConstraint("masof", "yaadpay_id", name=op.f("transactions_pkey")),
    )
    op.create_index("transactions_by_payment", "transactions", ["payment_id"], unique=False)
