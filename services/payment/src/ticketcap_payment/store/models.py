"""Describe the tables.

The migrations create them; a test compares the two.
"""

import enum
from dataclasses import fields
from datetime import datetime
from typing import Any, ClassVar, Final
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKeyConstraint,
    Identity,
    Index,
    Label,
    Text,
    TypeDecorator,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from ticketcap_chassis.database import tables
from ticketcap_chassis.database.tables import one_of

from ticketcap_payment.domain.refund import Method
from ticketcap_payment.domain.states import RUNNING, PaymentState, RefundReason, RefundState, SeatState, Verdict

# The release before writes a school's slug alone.
_SCHOOL_OF_SLUG: Final = text("school_of_slug()")


class _Word(TypeDecorator[enum.StrEnum]):
    """A member of an enumeration, stored as text."""

    impl = Text
    cache_ok = True

    def __init__(self, kind: type[enum.StrEnum]) -> None:
        super().__init__()
        self.kind = kind

    def process_result_value(self, value: Any, _dialect: Any) -> enum.StrEnum | None:
        """Return the member that a stored text names."""
        return None if value is None else self.kind(value)


class Base(DeclarativeBase):
    """Times carry their zone; amounts are integers of minor units."""

    metadata = tables.metadata()
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        **tables.TYPES,
        **{kind: _Word(kind) for kind in (PaymentState, SeatState, RefundState, RefundReason, Method, Verdict)},
    }


def columns_of(row: type[Base], record: type[Any]) -> tuple[Label[Any], ...]:
    """Return the columns of ``row`` that the dataclass ``record`` has, under its names."""
    return tuple(getattr(row, field.name).label(field.name) for field in fields(record))


class PaymentRow(Base):
    """One attempt to pay. A trigger rejects every transition that the rules forbid."""

    __tablename__ = "payments"

    school_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    school_slug: Mapped[str] = mapped_column("school")
    registration_id: Mapped[UUID]
    event_id: Mapped[UUID]
    order: Mapped[str]
    masof: Mapped[str]
    amount_agorot: Mapped[int] = mapped_column(BigInteger)
    currency: Mapped[str]
    language: Mapped[str]
    idempotency_key: Mapped[str]
    fingerprint: Mapped[str]
    created_at: Mapped[datetime]
    traceparent: Mapped[str]
    state: Mapped[PaymentState]
    seat: Mapped[SeatState]
    redirect_url: Mapped[str]
    yaadpay_id: Mapped[str]
    ccode: Mapped[int | None]
    failure: Mapped[str]
    capture_tries: Mapped[int]
    refunded_agorot: Mapped[int] = mapped_column(BigInteger)
    refund_pending_agorot: Mapped[int] = mapped_column(BigInteger)
    authorised_at: Mapped[datetime | None]
    captured_at: Mapped[datetime | None]
    school_synthetic: Mapped[bool] = mapped_column(server_default=text("false"))

    __table_args__ = (
        # Not over all schools: an Order carries its school's tag and 65 random bits.
        UniqueConstraint("school_id", "order"),
        UniqueConstraint("school_id", "registration_id", "idempotency_key"),
        CheckConstraint("amount_agorot > 0", name="amount_positive"),
        CheckConstraint(
            "refunded_agorot >= 0 AND refund_pending_agorot >= 0"
            " AND refunded_agorot + refund_pending_agorot <= amount_agorot",
            name="never_refunded_too_much",
        ),
        CheckConstraint(f"state IN ({one_of(PaymentState)})", name="state_known"),
        CheckConstraint(f"seat IN ({one_of(SeatState)})", name="seat_known"),
        CheckConstraint(
            "(state IN ('CAPTURED', 'REFUND_PENDING', 'REFUNDED')) = (captured_at IS NOT NULL)",
            name="captured_has_time",
        ),
        CheckConstraint(
            "state IN ('CAPTURED', 'REFUND_PENDING', 'REFUNDED') OR refunded_agorot + refund_pending_agorot = 0",
            name="only_captured_is_refunded",
        ),
        CheckConstraint("(state = 'REFUNDED') = (refunded_agorot = amount_agorot)", name="refunded_is_whole"),
        Index(
            "payments_one_running_per_registration",
            "school_id",
            "registration_id",
            unique=True,
            postgresql_where=text(f"state IN ({one_of(RUNNING)})"),
        ),
        Index("payments_by_registration", "school_id", "registration_id", "id"),
        Index(
            "payments_unpaid", "school_id", "created_at", postgresql_where=text("state IN ('CREATED', 'REDIRECTED')")
        ),
        Index(
            "payments_capturing",
            "school_id",
            "authorised_at",
            postgresql_where=text("state IN ('AUTHORISED', 'UNKNOWN')"),
        ),
        Index(
            "payments_without_seat",
            "school_id",
            "captured_at",
            postgresql_where=text("state = 'CAPTURED' AND seat NOT IN ('CONFIRMED', 'GONE')"),
        ),
        Index("payments_books", "school_id", "captured_at", postgresql_where=text("captured_at IS NOT NULL")),
    )


class TransactionRow(Base):
    """A transaction number of YaadPay's, recorded once."""

    __tablename__ = "transactions"

    school_id: Mapped[UUID] = mapped_column(primary_key=True, server_default=_SCHOOL_OF_SLUG)
    masof: Mapped[str] = mapped_column(primary_key=True)
    yaadpay_id: Mapped[str] = mapped_column(primary_key=True)
    school_slug: Mapped[str] = mapped_column("school")
    payment_id: Mapped[UUID]
    role: Mapped[str]
    ccode: Mapped[int]
    amount_agorot: Mapped[int] = mapped_column(BigInteger)
    recorded_at: Mapped[datetime]

    __table_args__ = (
        ForeignKeyConstraint(("school_id", "payment_id"), ("payments.school_id", "payments.id")),
        CheckConstraint("role IN ('AUTHORISATION', 'CHARGE', 'DECLINED', 'REFUND', 'SURPLUS')", name="role_known"),
        CheckConstraint("amount_agorot >= 0", name="amount_not_negative"),
        Index("transactions_by_payment", "school_id", "payment_id"),
    )


class ReturnRow(Base):
    """A customer's return as it came, without card data; stored before it is verified."""

    __tablename__ = "returns"

    school_id: Mapped[UUID] = mapped_column(primary_key=True, server_default=_SCHOOL_OF_SLUG)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    school_slug: Mapped[str] = mapped_column("school")
    payment_id: Mapped[UUID]
    digest: Mapped[str]
    message: Mapped[str]
    verdict: Mapped[Verdict]
    received_at: Mapped[datetime]
    judged_at: Mapped[datetime | None]

    __table_args__ = (
        ForeignKeyConstraint(("school_id", "payment_id"), ("payments.school_id", "payments.id")),
        UniqueConstraint("school_id", "payment_id", "digest"),
        CheckConstraint("verdict IN ('FORGED', 'GENUINE', 'PENDING')", name="verdict_known"),
        Index("returns_pending", "school_id", "received_at", postgresql_where=text("verdict = 'PENDING'")),
    )


class RefundRow(Base):
    """Money on its way back."""

    __tablename__ = "refunds"

    school_id: Mapped[UUID] = mapped_column(primary_key=True, server_default=_SCHOOL_OF_SLUG)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    school_slug: Mapped[str] = mapped_column("school")
    payment_id: Mapped[UUID]
    registration_id: Mapped[UUID]
    charge_id: Mapped[str]
    amount_agorot: Mapped[int] = mapped_column(BigInteger)
    currency: Mapped[str]
    reason: Mapped[RefundReason]
    idempotency_key: Mapped[str]
    fingerprint: Mapped[str]
    created_at: Mapped[datetime]
    state: Mapped[RefundState]
    method: Mapped[Method | None]
    tries: Mapped[int]
    yaadpay_id: Mapped[str]
    ccode: Mapped[int | None]
    done_at: Mapped[datetime | None]

    __table_args__ = (
        ForeignKeyConstraint(("school_id", "payment_id"), ("payments.school_id", "payments.id")),
        UniqueConstraint("school_id", "payment_id", "idempotency_key"),
        CheckConstraint("amount_agorot > 0", name="amount_positive"),
        CheckConstraint(f"state IN ({one_of(RefundState)})", name="state_known"),
        CheckConstraint(f"reason IN ({one_of(RefundReason)})", name="reason_known"),
        CheckConstraint("method IN ('CANCEL', 'REFUND')", name="method_known"),
        CheckConstraint("(state = 'DONE') = (done_at IS NOT NULL)", name="done_has_time"),
        Index("refunds_open", "school_id", "created_at", postgresql_where=text("state IN ('REQUESTED', 'SENT')")),
        Index("refunds_books", "school_id", "done_at", postgresql_where=text("done_at IS NOT NULL")),
    )


class OutboxRow(Base):
    """Work that must follow a commit, written in the same transaction."""

    __tablename__ = "outbox"

    school_id: Mapped[UUID] = mapped_column(primary_key=True, server_default=_SCHOOL_OF_SLUG)
    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    """One row per statement: the sequence of one node numbers the rows of all."""
    school_slug: Mapped[str] = mapped_column("school")
    registration_id: Mapped[UUID]
    payment_id: Mapped[UUID]
    topic: Mapped[str]
    subject_id: Mapped[UUID]
    traceparent: Mapped[str | None]
    created_at: Mapped[datetime]
    due_at: Mapped[datetime]
    leased_until: Mapped[datetime | None]
    tries: Mapped[int]
    done_at: Mapped[datetime | None]

    __table_args__ = (
        CheckConstraint(
            "topic IN ('payment.capture', 'refund.send', 'return.verify', 'seat.confirm')", name="topic_known"
        ),
        Index(
            "outbox_one_open_per_school_and_subject",
            "school_id",
            "topic",
            "subject_id",
            unique=True,
            postgresql_where=text("done_at IS NULL"),
        ),
        # The release before names it in ON CONFLICT.
        Index(
            "outbox_one_open_per_subject",
            "topic",
            "subject_id",
            unique=True,
            postgresql_where=text("done_at IS NULL"),
        ),
        Index("outbox_open", "school_id", "registration_id", "id", postgresql_where=text("done_at IS NULL")),
        Index("outbox_due", "school_id", "due_at", postgresql_where=text("done_at IS NULL")),
        Index("outbox_done", "school_id", "done_at", postgresql_where=text("done_at IS NOT NULL")),
    )


class EscalationRow(Base):
    """A case that only a person can settle, and the person's resolution."""

    __tablename__ = "escalations"

    school_id: Mapped[UUID] = mapped_column(primary_key=True, server_default=_SCHOOL_OF_SLUG)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    school_slug: Mapped[str] = mapped_column("school")
    kind: Mapped[str]
    subject_id: Mapped[UUID]
    payment_id: Mapped[UUID | None]
    registration_id: Mapped[UUID]
    why: Mapped[str]
    since: Mapped[datetime]
    resolved_at: Mapped[datetime | None]
    resolved_by: Mapped[str | None]
    resolution: Mapped[str | None]

    __table_args__ = (
        ForeignKeyConstraint(("school_id", "payment_id"), ("payments.school_id", "payments.id")),
        CheckConstraint("kind IN ('payment', 'refund', 'return', 'seat')", name="kind_known"),
        Index(
            "escalations_one_open_per_school_and_subject",
            "school_id",
            "kind",
            "subject_id",
            unique=True,
            postgresql_where=text("resolved_at IS NULL"),
        ),
        # The release before names it in ON CONFLICT.
        Index(
            "escalations_one_open_per_subject",
            "kind",
            "subject_id",
            unique=True,
            postgresql_where=text("resolved_at IS NULL"),
        ),
        Index("escalations_open", "school_id", "since", postgresql_where=text("resolved_at IS NULL")),
    )


class SchoolRow(Base):
    """A school with payments. Reference data, for every school to see."""

    __tablename__ = "schools"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    slug: Mapped[str] = mapped_column(unique=True)
    synthetic: Mapped[bool]

    # The school's tag, with which its ids end.
    __table_args__ = (Index("schools_by_tag", text("right(id::text, 4)")),)


class UntaggedIdsRow(Base):
    """Until when ids without a school's tag were made. No row: never."""

    __tablename__ = "untagged_ids"

    made_until: Mapped[datetime] = mapped_column(primary_key=True)


class CursorRow(Base):
    """The position of the release before this one in the change feed; a later release drops the table."""

    __tablename__ = "cursors"

    feed: Mapped[str] = mapped_column(primary_key=True)
    position: Mapped[str]
    read_at: Mapped[datetime]


class JobLeaseRow(Base):
    """The replica that runs a job; another one takes the job when the lease expires."""

    __tablename__ = "job_leases"

    job: Mapped[str] = mapped_column(primary_key=True)
    holder: Mapped[UUID]
    expires_at: Mapped[datetime]
