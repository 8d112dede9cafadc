"""Turns messages of the services into the shapes of JSON, and input into messages."""

import hashlib
from typing import Any, Final, cast

from google.protobuf.message import Message
from ticketcap.payment.v1 import payment_pb2
from ticketcap.registration.v1 import registration_pb2 as pb
from ticketcap_chassis.rpc.timestamps import moment, timestamp

from ticketcap_gateway import schemas
from ticketcap_gateway.registrations.links import Links

_EVENT_STATUS: Final = "EVENT_STATUS_"
_WAITLIST_POLICY: Final = "WAITLIST_POLICY_"
_REGISTRATION_STATUS: Final = "REGISTRATION_STATUS_"
_PAYMENT_STATE: Final = "PAYMENT_STATE_"
_SEAT_STATE: Final = "SEAT_STATE_"
_REFUND_STATE: Final = "REFUND_STATE_"
_REFUND_REASON: Final = "REFUND_REASON_"
_LANGUAGES: Final[dict[schemas.Language, payment_pb2.Language]] = {
    "he": payment_pb2.LANGUAGE_HEBREW,
    "en": payment_pb2.LANGUAGE_ENGLISH,
}


def school(message: pb.School) -> schemas.School:
    """Return a tenant as JSON shows it."""
    return schemas.School(id=message.id, slug=message.slug, name=message.name, created_at=moment(message.created_at))


def event(message: pb.Event) -> schemas.Event:
    """Return an event as JSON shows it."""
    return schemas.Event(
        id=message.id,
        school=message.school,
        slug=message.slug,
        title=message.title,
        description=message.description,
        location=message.location,
        starts_at=moment(message.starts_at),
        ends_at=moment(message.ends_at) if message.HasField("ends_at") else None,
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
        created_at=moment(message.created_at),
        updated_at=moment(message.updated_at),
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
            fields[name] = timestamp(fields[name])
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


def digest(request: Message) -> bytes:
    """Return 32 bytes that are equal for equal messages of one kind; nothing of the message can be read from them."""
    return hashlib.sha256(request.SerializeToString(deterministic=True)).digest()


def registration_created(message: pb.RegisterResponse, links: Links) -> schemas.RegistrationCreated:
    """Return the answer to a claim as JSON shows it."""
    return schemas.RegistrationCreated(
        id=message.id,
        status=registration_status_name(message.status),
        confirmation_code=message.confirmation_code,
        spots=message.spots,
        manage_token=message.manage_token,
        **_pay_url(message, links),
        **_present(message, "waitlist_position"),
        **_present_times(message, "hold_expires_at"),
    )


def registration(message: pb.Registration, links: Links) -> schemas.Registration:
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
        created_at=moment(message.created_at),
        **_pay_url(message, links),
        **_present(message, "email", "waitlist_position", "cancel_reason", "price_agorot", "currency"),
        **_present_times(message, "hold_expires_at", "cancelled_at", "checked_in_at"),
    )


def _pay_url(message: pb.Registration | pb.RegisterResponse, links: Links) -> dict[str, Any]:
    to_pay = message.status == pb.REGISTRATION_STATUS_PENDING_PAYMENT and message.pay_token
    return {"pay_url": links.pay(message.id, message.pay_token)} if to_pay else {}


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


def language(name: schemas.Language) -> payment_pb2.Language:
    """Return what the proto calls a language."""
    return _LANGUAGES[name]


def language_name(value: payment_pb2.Language) -> schemas.Language:
    """Return a language's name; Hebrew where none is said."""
    return "en" if value == payment_pb2.LANGUAGE_ENGLISH else "he"


def payment_created(message: payment_pb2.CreatePaymentResponse) -> schemas.PaymentCreated:
    """Return where a customer goes as JSON shows it."""
    return schemas.PaymentCreated(
        payment_id=message.payment_id,
        redirect_url=message.redirect_url,
        amount_agorot=message.amount_agorot,
        currency=message.currency,
    )


def payment(message: payment_pb2.Payment) -> schemas.Payment:
    """Return a payment with its refunds as JSON shows it."""
    return schemas.Payment(
        id=message.id,
        registration_id=message.registration_id,
        event_id=message.event_id,
        school=message.school,
        state=payment_state(message.state),
        seat=seat_state(message.seat),
        amount_agorot=message.amount_agorot,
        currency=message.currency,
        refunded_agorot=message.refunded_agorot,
        refund_pending_agorot=message.refund_pending_agorot,
        order=message.order,
        created_at=moment(message.created_at),
        refunds=[refund(one) for one in message.refunds],
        **_filled(message, "yaadpay_id", "failure", "escalation"),
        **_present(message, "ccode"),
        **_present_times(message, "captured_at"),
    )


def refund(message: payment_pb2.Refund) -> schemas.Refund:
    """Return a refund as JSON shows it."""
    return schemas.Refund(
        id=message.id,
        payment_id=message.payment_id,
        state=_refund_state(message.state),
        reason=_refund_reason(message.reason),
        amount_agorot=message.amount_agorot,
        currency=message.currency,
        created_at=moment(message.created_at),
        **_filled(message, "yaadpay_id", "escalation"),
        **_present_times(message, "done_at"),
    )


def payment_result(message: payment_pb2.GetPaymentResultResponse) -> schemas.PaymentResult:
    """Return how a payment stands as JSON shows it."""
    return schemas.PaymentResult(
        id=message.id,
        state=payment_state(message.state),
        seat=seat_state(message.seat),
        amount_agorot=message.amount_agorot,
        currency=message.currency,
        refunded_agorot=message.refunded_agorot,
        language=language_name(message.language),
        **_filled(message, "failure"),
    )


def escalation(message: payment_pb2.Escalation) -> schemas.Escalation:
    """Return what waits for a person as JSON shows it."""
    return schemas.Escalation(
        kind=cast("schemas.EscalationKind", message.kind),
        id=message.id,
        school=message.school,
        why=message.why,
        since=moment(message.since),
        # Where there is no payment there is no amount.
        **_filled(message, "payment_id", "order", "yaadpay_id", "amount_agorot", "currency"),
    )


def payment_state(value: payment_pb2.PaymentState) -> schemas.PaymentState:
    """Return the name of a payment's state."""
    return cast("schemas.PaymentState", payment_pb2.PaymentState.Name(value).removeprefix(_PAYMENT_STATE))


def seat_state(value: payment_pb2.SeatState) -> schemas.SeatState:
    """Return the name of a seat's state."""
    return cast("schemas.SeatState", payment_pb2.SeatState.Name(value).removeprefix(_SEAT_STATE))


def _refund_state(value: payment_pb2.RefundState) -> schemas.RefundState:
    return cast("schemas.RefundState", payment_pb2.RefundState.Name(value).removeprefix(_REFUND_STATE))


def _refund_reason(value: payment_pb2.RefundReason) -> schemas.RefundReason:
    return cast("schemas.RefundReason", payment_pb2.RefundReason.Name(value).removeprefix(_REFUND_REASON))


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


def _filled(message: Message, *names: str) -> dict[str, Any]:
    """Return the fields that say something: not empty, not 0."""
    return {name: value for name in names if (value := getattr(message, name))}


def _present_times(message: Message, *names: str) -> dict[str, Any]:
    return {name: moment(getattr(message, name)) for name in names if message.HasField(name)}
