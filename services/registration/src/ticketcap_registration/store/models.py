"""Declare the schema. The migrations create it; a test compares the two.

The rows of a school have its id, and each of their keys, rules and indexes begins with it: a database that is spread
over machines then holds a school's rows in one place. ``schools`` is the one table that every machine has.
"""

from datetime import datetime
from typing import Any, ClassVar, Final
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    PrimaryKeyConstraint,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from ticketcap_chassis.database import tables
from ticketcap_chassis.database.tables import one_of

from ticketcap_registration.domain.states import COUNTED, LIVE, EventStatus, RegistrationStatus, WaitlistPolicy

# Constraints whose violation has a meaning to callers.
SCHOOL_ID_TAKEN: Final = "schools_pkey"
SCHOOL_SLUG_TAKEN: Final = "schools_slug_key"
EVENT_SLUG_TAKEN: Final = "events_school_id_slug_key"
CODE_TAKEN: Final = "registrations_school_id_confirmation_code_key"
HAS_REGISTRATIONS: Final = "registrations_school_id_event_id_fkey"

# Of an index by age: a look-up by a key, which names no time, can't be planned with it.
ANY_TIME: Final = "created_at > '-infinity'"

LIVE_STATUSES: Final = one_of(LIVE)
COUNTED_STATUSES: Final = one_of(COUNTED)


class Base(DeclarativeBase):
    """The metadata of every table. Times have a time zone."""

    metadata = tables.metadata()
    type_annotation_map: ClassVar[dict[Any, Any]] = tables.TYPES


class SchoolRow(Base):
    """A tenant."""

    __tablename__ = "schools"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    slug: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]
    created_at: Mapped[datetime]
    synthetic: Mapped[bool] = mapped_column(server_default=text("false"))

    # The school's tag, with which its ids end.
    __table_args__ = (Index("schools_by_tag", text("right(id::text, 4)")),)


class EventRow(Base):
    """An event and the counters of its seats, in spots."""

    __tablename__ = "events"

    id: Mapped[UUID] = mapped_column()
    school_id: Mapped[UUID] = mapped_column(ForeignKey("schools.id"))
    slug: Mapped[str]
    title: Mapped[str]
    description: Mapped[str]
    location: Mapped[str]
    starts_at: Mapped[datetime]
    ends_at: Mapped[datetime | None]
    status: Mapped[str]
    capacity: Mapped[int]
    max_spots_per_registration: Mapped[int]
    price_agorot: Mapped[int] = mapped_column(BigInteger)
    currency: Mapped[str]
    waitlist_enabled: Mapped[bool]
    waitlist_policy: Mapped[str]
    hold_seconds: Mapped[int]
    cancellation_deadline_hours: Mapped[int]
    confirmed: Mapped[int]
    held: Mapped[int]
    waitlisted: Mapped[int]
    waitlist_length: Mapped[int]
    waitlist_sequence: Mapped[int] = mapped_column(BigInteger)
    version: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]

    __table_args__ = (
        PrimaryKeyConstraint("school_id", "id"),
        UniqueConstraint("school_id", "slug"),
        CheckConstraint("capacity >= 1", name="capacity_positive"),
        CheckConstraint("confirmed >= 0 AND held >= 0 AND confirmed + held <= capacity", name="never_oversold"),
        CheckConstraint("waitlist_length >= 0 AND waitlisted >= waitlist_length", name="waitlist_counts"),
        CheckConstraint("ends_at > starts_at", name="ends_after_start"),
        CheckConstraint("price_agorot >= 0", name="price_not_negative"),
        CheckConstraint(f"status IN ({one_of(EventStatus)})", name="status_known"),
        CheckConstraint(f"waitlist_policy IN ({one_of(WaitlistPolicy)})", name="waitlist_policy_known"),
        Index("events_open", "school_id", "starts_at", "id", postgresql_where=text("status = 'OPEN'")),
        # Every change of a seat rewrites its event's row: leave room for that on the page.
        {"postgresql_with": {"fillfactor": "50"}},
    )


class EventAuditRow(Base):
    """The counters with which an event passed its last audit."""

    __tablename__ = "event_audits"

    school_id: Mapped[UUID] = mapped_column(primary_key=True)
    event_id: Mapped[UUID] = mapped_column(primary_key=True)
    version: Mapped[int] = mapped_column(BigInteger)
    capacity: Mapped[int]
    confirmed: Mapped[int]
    held: Mapped[int]
    waitlisted: Mapped[int]
    waitlist_length: Mapped[int]
    audited_at: Mapped[datetime]

    __table_args__ = (
        ForeignKeyConstraint(["school_id", "event_id"], ["events.school_id", "events.id"], ondelete="CASCADE"),
    )


class RegistrationRow(Base):
    """One person's spots in one event."""

    __tablename__ = "registrations"

    id: Mapped[UUID] = mapped_column()
    event_id: Mapped[UUID]
    school_id: Mapped[UUID]
    status: Mapped[str]
    name: Mapped[str]
    phone: Mapped[str]
    email: Mapped[str | None]
    spots: Mapped[int]
    confirmation_code: Mapped[str]
    created_at: Mapped[datetime]
    waitlist_seq: Mapped[int | None] = mapped_column(BigInteger)
    hold_expires_at: Mapped[datetime | None]
    cancelled_at: Mapped[datetime | None]
    cancel_reason: Mapped[str | None]
    checked_in_at: Mapped[datetime | None]
    price_agorot: Mapped[int | None] = mapped_column(BigInteger)
    currency: Mapped[str | None]
    cancellation_deadline_hours: Mapped[int | None]

    __table_args__ = (
        PrimaryKeyConstraint("school_id", "id"),
        UniqueConstraint("school_id", "confirmation_code"),
        # A registration's school is always its event's.
        ForeignKeyConstraint(["school_id", "event_id"], ["events.school_id", "events.id"]),
        CheckConstraint("spots >= 1", name="spots_positive"),
        CheckConstraint(f"status IN ({one_of(RegistrationStatus)})", name="status_known"),
        CheckConstraint("status <> 'WAITLISTED' OR waitlist_seq IS NOT NULL", name="waitlisted_has_position"),
        CheckConstraint("status <> 'PENDING_PAYMENT' OR hold_expires_at IS NOT NULL", name="hold_has_end"),
        CheckConstraint("checked_in_at IS NULL OR status = 'CONFIRMED'", name="checked_in_is_confirmed"),
        # NULL passes: an older release beside this one writes no terms.
        CheckConstraint("status <> 'PENDING_PAYMENT' OR price_agorot > 0", name="hold_costs"),
        Index(
            "registrations_one_live_per_phone",
            "school_id",
            "event_id",
            "phone",
            unique=True,
            postgresql_where=text(f"status IN ({LIVE_STATUSES})"),
        ),
        Index(
            "registrations_waitlist",
            "school_id",
            "event_id",
            "waitlist_seq",
            postgresql_where=text("status = 'WAITLISTED'"),
        ),
        Index(
            "registrations_waitlist_by_size",
            "school_id",
            "event_id",
            "spots",
            "waitlist_seq",
            postgresql_where=text("status = 'WAITLISTED'"),
        ),
        Index(
            "registrations_holds",
            "school_id",
            "event_id",
            "hold_expires_at",
            postgresql_where=text("status = 'PENDING_PAYMENT'"),
        ),
        Index("registrations_pages", "school_id", "event_id", "created_at", "id"),
    )


class IdempotencyKeyRow(Base):
    """The first answer to a request with a key. Holds no personal data."""

    __tablename__ = "idempotency_keys"

    scope: Mapped[str]
    key: Mapped[str]
    school_id: Mapped[UUID]
    fingerprint: Mapped[str]
    answer: Mapped[dict[str, Any]]
    created_at: Mapped[datetime]

    __table_args__ = (
        PrimaryKeyConstraint("school_id", "scope", "key"),
        Index("idempotency_keys_age", "school_id", "created_at", postgresql_where=text(ANY_TIME)),
    )


class RegistrationChangeRow(Base):
    """A registration's change of status, written in the transaction that made it: a row of the change log.

    An event's ``version`` grows with each transaction on its seats, and ``id`` numbers the changes of one version.
    """

    __tablename__ = "registration_changes"

    id: Mapped[int] = mapped_column(BigInteger)
    school_id: Mapped[UUID]
    event_id: Mapped[UUID]
    version: Mapped[int] = mapped_column(BigInteger)
    registration_id: Mapped[UUID]
    topic: Mapped[str]
    traceparent: Mapped[str | None]
    created_at: Mapped[datetime]
    refund_agorot: Mapped[int | None] = mapped_column(BigInteger)

    __table_args__ = (
        PrimaryKeyConstraint("school_id", "event_id", "version", "id"),
        Index("registration_changes_age", "school_id", "created_at", postgresql_where=text(ANY_TIME)),
    )


class UnreadChangeRow(Base):
    """A change that a consumer of the change feed has not acknowledged."""

    __tablename__ = "unread_changes"

    school_id: Mapped[UUID]
    consumer: Mapped[str]
    event_id: Mapped[UUID]
    version: Mapped[int] = mapped_column(BigInteger)
    id: Mapped[int] = mapped_column(BigInteger)

    # The order in which a consumer reads.
    __table_args__ = (PrimaryKeyConstraint("school_id", "consumer", "event_id", "version", "id"),)


class JobLeaseRow(Base):
    """The replica that runs a job; another one takes the job when the lease expires."""

    __tablename__ = "job_leases"

    job: Mapped[str] = mapped_column(primary_key=True)
    holder: Mapped[UUID]
    expires_at: Mapped[datetime]
