"""Turns messages of the registration service into the shapes of JSON, and input into messages."""

from datetime import UTC, datetime
from typing import Any, Final, cast

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from ticketcap.registration.v1 import registration_pb2 as pb

from ticketcap_gateway.http import schemas

_EVENT_STATUS: Final = "EVENT_STATUS_"
_WAITLIST_POLICY: Final = "WAITLIST_POLICY_"
_REGISTRATION_STATUS: Final = "REGISTRATION_STATUS_"


def school(message: pb.School) -> schemas.School:
    """Return a tenant as JSON shows it."""
    return schemas.School(id=message.id, slug=message.slug, name=message.name, created_at=_time(message.created_at))


def event(message: pb.Event) -> schemas.Event:
    """Return an event as JSON shows it."""
    return schemas.Event(
        id=message.id,
        school=message.school,
        slug=message.slug,
        title=message.title,
        description=message.description,
        location=message.location,
        starts_at=_time(message.starts_at),
        ends_at=_time(message.ends_at) if message.HasField("ends_at") else None,
        status=event_status(message.status),
        capacity=message.capacity,
        confirmed=message.confirmed,
        held=message.held,
        waitlisted=message.waitlisted,
        available=message.available,
        max_spots_per_registration=message.max_spots_per_registration,
        price=schemas.Price(agorot=message.price_agorot, currency=message.currency),
        price_agorot=message.price_agorot,
        currency=message.currency,
        waitlist_enabled=message.waitlist_enabled,
        waitlist_policy=_waitlist_policy(message.waitlist_policy),
        hold_seconds=message.hold_seconds,
        cancellation_deadline_hours=message.cancellation_deadline_hours,
        created_at=_time(message.created_at),
        updated_at=_time(message.updated_at),
    )


def event_fields(change: schemas.EventPatch) -> pb.EventFields:
    """Return the fields that ``change`` names, and only those."""
    fields = change.model_dump()
    if "status" in fields:
        fields["status"] = _EVENT_STATUS + fields["status"]
    if "waitlist_policy" in fields:
        fields["waitlist_policy"] = _WAITLIST_POLICY + fields["waitlist_policy"]
    for name in ("starts_at", "ends_at"):
        if name in fields:
            fields[name] = _timestamp(fields[name])
    return pb.EventFields(**fields)


def claim(body: schemas.RegistrationCreate, *, school: str, event: str, idempotency_key: str) -> pb.RegisterRequest:
    """Return a claim as the service takes it."""
    return pb.RegisterRequest(
        school=school,
        event=event,
        name=body.name,
        phone=body.phone,
        email=body.email,
        spots=body.spots,
        idempotency_key=idempotency_key,
    )


def registration_created(message: pb.RegisterResponse) -> schemas.RegistrationCreated:
    """Return the answer to a claim as JSON shows it."""
    return schemas.RegistrationCreated(
        id=message.id,
        status=registration_status_name(message.status),
        confirmation_code=message.confirmation_code,
        spots=message.spots,
        manage_token=message.manage_token,
        **_present(message, "waitlist_position"),
        **_present_times(message, "hold_expires_at"),
    )


def registration(message: pb.Registration) -> schemas.Registration:
    """Return a registration as JSON shows it."""
    return schemas.Registration(
        id=message.id,
        school=message.school,
        event=message.event,
        event_id=message.event_id,
        status=registration_status_name(message.status),
        name=message.name,
        phone=message.phone,
        spots=message.spots,
        confirmation_code=message.confirmation_code,
        created_at=_time(message.created_at),
        **_present(message, "email", "waitlist_position", "cancel_reason"),
        **_present_times(message, "hold_expires_at", "cancelled_at", "checked_in_at"),
    )


def registration_status(name: schemas.RegistrationStatus) -> str:
    """Return what the proto calls the status that a caller named."""
    return _REGISTRATION_STATUS + name


def stats(message: pb.GetSchoolStatsResponse) -> schemas.SchoolStats:
    """Return a school's figures as JSON shows them."""
    return schemas.SchoolStats.model_validate(message, from_attributes=True)


def seats(message: pb.Seats, promoted: int) -> schemas.Seats:
    """Return seats as the event stream shows them."""
    return schemas.Seats(
        event_id=message.event_id,
        status=event_status(message.status),
        capacity=message.capacity,
        confirmed=message.confirmed,
        held=message.held,
        waitlisted=message.waitlisted,
        available=message.available,
        promoted=promoted,
        version=message.version,
    )


def event_status(value: pb.EventStatus) -> schemas.EventStatus:
    """Return the name of an event's status."""
    return cast("schemas.EventStatus", pb.EventStatus.Name(value).removeprefix(_EVENT_STATUS))


def _waitlist_policy(value: pb.WaitlistPolicy) -> schemas.WaitlistPolicy:
    return cast("schemas.WaitlistPolicy", pb.WaitlistPolicy.Name(value).removeprefix(_WAITLIST_POLICY))


def registration_status_name(value: pb.RegistrationStatus) -> schemas.RegistrationStatus:
    """Return the name of a registration's status."""
    return cast("schemas.RegistrationStatus", pb.RegistrationStatus.Name(value).removeprefix(_REGISTRATION_STATUS))


def _present(message: Message, *names: str) -> dict[str, Any]:
    """Return the optional fields that are set."""
    return {name: getattr(message, name) for name in names if message.HasField(name)}


def _present_times(message: Message, *names: str) -> dict[str, Any]:
    return {name: _time(getattr(message, name)) for name in names if message.HasField(name)}


def _time(value: Timestamp) -> datetime:
    return value.ToDatetime(UTC)


def _timestamp(value: datetime) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(value)
    return stamp
