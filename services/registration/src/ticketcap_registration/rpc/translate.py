"""Translate between objects of the domain and messages."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from google.protobuf.timestamp_pb2 import Timestamp
from ticketcap.registration.v1 import registration_pb2 as pb
from ticketcap_chassis.errors import InvalidInput
from ticketcap_chassis.rpc.timestamps import timestamp
from ticketcap_chassis.text import normalize

from ticketcap_registration.domain.event import Event, EventFields
from ticketcap_registration.domain.keys import SchoolKey
from ticketcap_registration.domain.ledger import ClaimAnswer
from ticketcap_registration.domain.seat_announcement import SeatAnnouncement
from ticketcap_registration.domain.states import EventStatus, RegistrationStatus, WaitlistPolicy
from ticketcap_registration.store.changes import RegistrationChange
from ticketcap_registration.store.registrations import RegistrationView
from ticketcap_registration.store.schools import School

_REGISTRATION: Final = "REGISTRATION_STATUS_"
_EVENT: Final = "EVENT_STATUS_"
_POLICY: Final = "WAITLIST_POLICY_"
# Fields of the same name and type in ``Event``, ``EventFields`` and their messages.
_PLAIN_FIELDS: Final = frozenset(
    {
        "title",
        "description",
        "location",
        "capacity",
        "max_spots_per_registration",
        "price_agorot",
        "currency",
        "waitlist_enabled",
        "hold_seconds",
        "cancellation_deadline_hours",
    }
)


def _datetime(message: Timestamp, field: str) -> datetime:
    try:
        return message.ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError):  # nanoseconds out of range
        raise InvalidInput.of(field, "must be a valid time") from None


def slug(pasted: str, field: str) -> str:
    """Return the stored form of a slug; raise InvalidInput when ``pasted`` is none."""
    spelled = normalize.slug(pasted)
    if spelled is None:
        raise InvalidInput.of(
            field, "must be 1 to 63 lower-case letters, digits and single hyphens, and begin with a letter"
        )
    return spelled


def reason(pasted: str, field: str) -> str:
    """Return the stored form of a cancellation's reason; raise InvalidInput when it is too long."""
    text = normalize.reason(pasted)
    if text is None:
        raise InvalidInput.of(field, "must be at most 500 characters without control characters")
    return text


def school(of: School) -> pb.School:
    """Return the message of a school."""
    return pb.School(
        id=str(of.id), slug=of.slug, name=of.name, created_at=timestamp(of.created_at), synthetic=of.synthetic
    )


def event(of: Event, school_slug: str) -> pb.Event:
    """Return the message of an event."""
    return pb.Event(
        id=str(of.id),
        school=school_slug,
        school_id=str(of.school_id),
        slug=of.slug,
        **{name: getattr(of, name) for name in _PLAIN_FIELDS},
        starts_at=timestamp(of.starts_at),
        ends_at=timestamp(of.ends_at),
        status=_EVENT + of.status,
        confirmed=of.confirmed,
        held=of.held,
        waitlisted=of.waitlisted,
        available=of.available,
        waitlist_policy=_POLICY + of.waitlist_policy,
        version=of.version,
        created_at=timestamp(of.created_at),
        updated_at=timestamp(of.updated_at),
    )


def event_fields(message: pb.EventFields) -> EventFields:
    """Return the fields that are present in ``message``."""
    fields = EventFields()
    for descriptor, value in message.ListFields():
        if descriptor.name in _PLAIN_FIELDS:
            fields[descriptor.name] = value  # type: ignore[literal-required]  # the same names, checked by a test
    if message.HasField("slug"):
        fields["slug"] = slug(message.slug, "slug")
    if message.HasField("starts_at"):
        fields["starts_at"] = _datetime(message.starts_at, "starts_at")
    if message.HasField("ends_at"):
        fields["ends_at"] = _datetime(message.ends_at, "ends_at")
    if message.HasField("waitlist_policy"):
        fields["waitlist_policy"] = WaitlistPolicy(pb.WaitlistPolicy.Name(message.waitlist_policy)[len(_POLICY) :])
    if message.HasField("status"):
        fields["status"] = EventStatus(pb.EventStatus.Name(message.status)[len(_EVENT) :])
    return fields


def seats(of: SeatAnnouncement) -> pb.Seats:
    """Return the message of an event's seats."""
    return pb.Seats(
        event_id=str(of.event_id),
        status=_EVENT + of.status,
        capacity=of.capacity,
        confirmed=of.confirmed,
        held=of.held,
        waitlisted=of.waitlisted,
        available=of.capacity - of.confirmed - of.held,
        version=of.version,
    )


def status_filter(of: pb.RegistrationStatus) -> RegistrationStatus | None:
    """Return the only status to return, None for every status."""
    if of == pb.REGISTRATION_STATUS_UNSPECIFIED:
        return None
    return RegistrationStatus(pb.RegistrationStatus.Name(of)[len(_REGISTRATION) :])


def claim_answer(of: ClaimAnswer, *, manage_token: str, pay_token: str | None, replayed: bool) -> pb.RegisterResponse:
    """Return the response to a claim."""
    return pb.RegisterResponse(
        id=str(of.id),
        status=_REGISTRATION + of.status,
        confirmation_code=of.confirmation_code,
        spots=of.spots,
        waitlist_position=of.waitlist_position,
        hold_expires_at=timestamp(of.hold_expires_at),
        manage_token=manage_token,
        pay_token=pay_token,
        replayed=replayed,
    )


def registration(of: RegistrationView, school: SchoolKey, pay_token: str | None = None) -> pb.Registration:
    """Return the message of a registration; only a hold has a ``pay_token``."""
    row = of.registration
    is_hold = row.status is RegistrationStatus.PENDING_PAYMENT
    return pb.Registration(
        id=str(row.id),
        event_id=str(row.event_id),
        school=school.slug,
        school_id=str(row.school_id),
        school_synthetic=school.synthetic,
        event=of.event_slug,
        status=_REGISTRATION + row.status,
        name=row.name,
        phone=row.phone,
        email=row.email,
        spots=row.spots,
        confirmation_code=row.confirmation_code,
        waitlist_position=of.waitlist_position,
        hold_expires_at=timestamp(row.hold_expires_at) if is_hold else None,
        created_at=timestamp(row.created_at),
        cancelled_at=timestamp(row.cancelled_at),
        cancel_reason=row.cancel_reason,
        checked_in_at=timestamp(row.checked_in_at),
        pay_token=pay_token if is_hold else None,
        price_agorot=row.price_agorot,
        currency=row.currency,
    )


def stats(sums: Mapping[str, Any]) -> pb.GetSchoolStatsResponse:
    """Return the message of a school's sums; its fields have the same names."""
    return pb.GetSchoolStatsResponse(**sums)


def change(of: RegistrationChange) -> pb.RegistrationChange:
    """Return the message of a change."""
    return pb.RegistrationChange(
        id=str(of.id),
        registration_id=str(of.registration_id),
        event_id=str(of.id.event_id),
        school_id=str(of.id.school_id),
        school=of.school,
        status=_REGISTRATION + of.status,
        changed_at=timestamp(of.changed_at),
        traceparent=of.traceparent,
        price_agorot=of.price_agorot,
        starts_at=timestamp(of.starts_at),
        cancellation_deadline_hours=of.cancellation_deadline_hours,
        refund_agorot=of.refund_agorot,
        school_synthetic=of.school_synthetic,
    )
