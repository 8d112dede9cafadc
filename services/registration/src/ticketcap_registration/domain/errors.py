"""Name each refusal of the rules."""

from datetime import datetime
from uuid import UUID

from ticketcap_chassis.errors import (
    Aborted,
    AlreadyExists,
    Busy,
    DeadlineExceeded,
    FailedPrecondition,
    InvalidInput,
    NotFound,
    PermissionDenied,
)

from ticketcap_registration.domain.states import EventStatus, RegistrationStatus


class SchoolNotFound(NotFound):
    """No school has this slug."""

    reason = "SCHOOL_NOT_FOUND"

    def __init__(self, school: str) -> None:
        super().__init__(f"no school {school!r}", metadata={"school": school})


class EventNotFound(NotFound):
    """The school has no event with this id or slug."""

    reason = "EVENT_NOT_FOUND"

    def __init__(self, school: str, event: str) -> None:
        super().__init__(f"school {school!r} has no event {event!r}", metadata={"school": school, "event": event})


class RegistrationNotFound(NotFound):
    """Not found, or not visible to this caller: unknown, of another school, or with another token."""

    reason = "REGISTRATION_NOT_FOUND"

    def __init__(self, registration: str) -> None:
        super().__init__(
            f"no registration {registration!r} for this caller; check its id and manage token",
            metadata={"registration_id": registration},
        )


class SlugTaken(AlreadyExists):
    """Another school, or another event of the school, has this slug."""

    reason = "SLUG_TAKEN"

    def __init__(self, kind: str, slug: str) -> None:
        super().__init__(f"the {kind} slug {slug!r} is taken; choose another", metadata={"slug": slug})


class AlreadyRegistered(AlreadyExists):
    """The phone has a live registration for this event."""

    reason = "ALREADY_REGISTERED"

    def __init__(self, event_id: UUID) -> None:
        super().__init__(
            "this phone already has a registration for this event; cancel that one first",
            metadata={"event_id": str(event_id)},
        )


class EventNotOpen(FailedPrecondition):
    """The event takes no registrations now."""

    def __init__(self, event_id: UUID, status: EventStatus) -> None:
        super().__init__(
            f"event {event_id} is {status.lower()} and takes no registrations",
            reason=f"EVENT_{status}",
            metadata={"event_id": str(event_id)},
        )


class EventStarted(FailedPrecondition):
    """The event has begun."""

    reason = "EVENT_STARTED"

    def __init__(self, event_id: UUID) -> None:
        super().__init__(f"event {event_id} has started", metadata={"event_id": str(event_id)})


class EventFull(FailedPrecondition):
    """No spots are left, and the event has no waitlist or a full one."""

    reason = "EVENT_FULL"

    def __init__(self, event_id: UUID, why: str) -> None:
        super().__init__(f"event {event_id} is full and {why}", metadata={"event_id": str(event_id)})


class CapacityBelowReserved(FailedPrecondition):
    """The new capacity is below the reserved spots."""

    reason = "CAPACITY_BELOW_RESERVED"

    def __init__(self, event_id: UUID, capacity: int, reserved: int) -> None:
        super().__init__(
            f"event {event_id} has {reserved} reserved spots; its capacity can't become {capacity}",
            metadata={"event_id": str(event_id), "reserved": str(reserved)},
        )


class EventHasRegistrations(FailedPrecondition):
    """The event had registrations, so it can't be deleted."""

    reason = "EVENT_HAS_REGISTRATIONS"

    def __init__(self, event_id: UUID) -> None:
        super().__init__(
            f"event {event_id} has registrations; close it instead of deleting it",
            metadata={"event_id": str(event_id)},
        )


class AlreadyOver(FailedPrecondition):
    """The registration is CANCELLED or EXPIRED; both are final."""

    def __init__(self, registration_id: UUID, status: RegistrationStatus) -> None:
        super().__init__(
            f"registration {registration_id} is already {status.lower()}",
            reason=f"ALREADY_{status}",
            metadata={"registration_id": str(registration_id)},
        )


class CancellationDeadlinePassed(FailedPrecondition):
    """The holder's time to cancel is over; an organiser still can."""

    reason = "CANCELLATION_DEADLINE_PASSED"

    def __init__(self, registration_id: UUID, deadline: datetime) -> None:
        super().__init__(
            f"registration {registration_id} could be cancelled until {deadline:%Y-%m-%dT%H:%M:%SZ}; ask the organiser",
            metadata={"registration_id": str(registration_id)},
        )


class RefundAboveCost(InvalidInput):
    """The refund is larger than the price of the registration."""

    reason = "REFUND_TOO_LARGE"

    def __init__(self, registration_id: UUID, cost_agorot: int) -> None:
        of = InvalidInput.of("refund_agorot", f"must be at most {cost_agorot}, the price of the registration")
        super().__init__(of.message, metadata={"registration_id": str(registration_id)}, fields=of.fields)


class RefundByHolder(PermissionDenied):
    """A holder sets a refund; only an organiser may."""

    reason = "REFUND_BY_HOLDER"

    def __init__(self, registration_id: UUID) -> None:
        super().__init__(
            f"only an organiser sets refund_agorot of registration {registration_id}; leave it out",
            metadata={"registration_id": str(registration_id)},
        )


class HoldExpired(FailedPrecondition):
    """The hold expired and its spots are free again."""

    reason = "HOLD_EXPIRED"

    def __init__(self, registration_id: UUID) -> None:
        super().__init__(
            f"the hold of registration {registration_id} has expired; register again",
            metadata={"registration_id": str(registration_id)},
        )


class NotAHold(FailedPrecondition):
    """The registration is not waiting for a payment."""

    reason = "NOT_A_HOLD"

    def __init__(self, registration_id: UUID, status: RegistrationStatus) -> None:
        super().__init__(
            f"registration {registration_id} is {status.lower()}, not a hold",
            metadata={"registration_id": str(registration_id)},
        )


class NotConfirmed(FailedPrecondition):
    """Only a confirmed registration can be checked in."""

    reason = "NOT_CONFIRMED"

    def __init__(self, registration_id: UUID, status: RegistrationStatus) -> None:
        super().__init__(
            f"registration {registration_id} is {status.lower()}; only a confirmed one can be checked in",
            metadata={"registration_id": str(registration_id)},
        )


class AlreadyCheckedIn(FailedPrecondition):
    """A registration is checked in once."""

    reason = "ALREADY_CHECKED_IN"

    def __init__(self, registration_id: UUID, at: datetime) -> None:
        super().__init__(
            f"registration {registration_id} was checked in at {at:%Y-%m-%dT%H:%M:%SZ}",
            metadata={"registration_id": str(registration_id)},
        )


class NotCheckedIn(FailedPrecondition):
    """The registration has no check-in to undo."""

    reason = "NOT_CHECKED_IN"

    def __init__(self, registration_id: UUID) -> None:
        super().__init__(
            f"registration {registration_id} is not checked in", metadata={"registration_id": str(registration_id)}
        )


class IdempotencyKeyReused(InvalidInput):
    """An earlier request had the same key and another body."""

    reason = "IDEMPOTENCY_KEY_REUSED"

    def __init__(self) -> None:
        super().__init__(
            "an earlier request had this idempotency key and another body; use a new key for a new request"
        )


class IdempotencyInFlight(Aborted):
    """The first request with this key has not been answered yet."""

    reason = "IDEMPOTENCY_IN_FLIGHT"

    def __init__(self) -> None:
        super().__init__("the first request with this idempotency key still runs; try again shortly")


class LaneFull(Busy):
    """The event's queue is at its limit."""

    reason = "LANE_FULL"

    def __init__(self, event_id: UUID, limit: int) -> None:
        super().__init__(
            f"{limit} requests wait for event {event_id} already; try again later", metadata={"event_id": str(event_id)}
        )


class WaitedTooLong(DeadlineExceeded):
    """The caller's deadline passed before its turn came; nothing was done."""

    reason = "WAITED_TOO_LONG"

    def __init__(self, event_id: UUID) -> None:
        super().__init__(
            f"the deadline passed before the turn of this request for event {event_id}; nothing was done",
            metadata={"event_id": str(event_id)},
        )


class CodeNotFound(NotFound):
    """The event has no registration with this confirmation code or id."""

    reason = "REGISTRATION_NOT_FOUND"

    def __init__(self, event_id: UUID) -> None:
        super().__init__(
            f"event {event_id} has no such registration; check the confirmation code",
            metadata={"event_id": str(event_id)},
        )
