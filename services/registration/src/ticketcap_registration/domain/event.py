"""Create and change events within an organiser's limits."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, TypedDict
from uuid import UUID

from ticketcap_chassis.errors import FieldViolation, InvalidInput

from ticketcap_registration.domain.errors import CapacityBelowReserved, EventHasRegistrations
from ticketcap_registration.domain.states import EventStatus, WaitlistPolicy

_REQUIRED: Final = ("title", "starts_at", "capacity")


class EventFields(TypedDict, total=False):
    """The fields that an organiser sets; a change holds only those that it changes."""

    slug: str
    title: str
    description: str
    location: str
    starts_at: datetime
    ends_at: datetime | None
    capacity: int
    max_spots_per_registration: int
    price_agorot: int
    currency: str
    waitlist_enabled: bool
    waitlist_policy: WaitlistPolicy
    hold_seconds: int
    cancellation_deadline_hours: int
    status: EventStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """An event with its seats at one version. Capacity, confirmed, held and waitlisted are in spots.

    ``waitlist_length`` counts registrations. ``waitlist_sequence`` is the ``waitlist_seq``
    of the registration that joined last.
    """

    id: UUID
    school_id: UUID
    slug: str
    title: str
    starts_at: datetime
    capacity: int
    created_at: datetime
    updated_at: datetime
    description: str = ""
    location: str = ""
    ends_at: datetime | None = None
    max_spots_per_registration: int = 10
    price_agorot: int = 0
    currency: str = "ILS"
    waitlist_enabled: bool = True
    waitlist_policy: WaitlistPolicy = WaitlistPolicy.FIRST_FIT
    hold_seconds: int = 900
    cancellation_deadline_hours: int = 0
    status: EventStatus = EventStatus.OPEN
    confirmed: int = 0
    held: int = 0
    waitlisted: int = 0
    waitlist_length: int = 0
    waitlist_sequence: int = 0
    version: int = 1

    @property
    def reserved(self) -> int:
        """Confirmed and held spots together."""
        return self.confirmed + self.held

    @property
    def available(self) -> int:
        """Spots that are not reserved."""
        return self.capacity - self.reserved

    @classmethod
    def create(cls, *, event_id: UUID, school_id: UUID, spare_slug: str, now: datetime, fields: EventFields) -> "Event":
        """Return a new event, or raise InvalidInput that names every missing or wrong field.

        ``spare_slug`` is the slug when ``fields`` has none.
        """
        missing = [FieldViolation(name, "is required") for name in _REQUIRED if name not in fields]
        if missing:
            raise InvalidInput.of_fields(missing)
        event = cls(
            id=event_id,
            school_id=school_id,
            slug=spare_slug,
            title=fields["title"],
            starts_at=fields["starts_at"],
            capacity=fields["capacity"],
            created_at=now,
            updated_at=now,
        )
        return event.change(fields, now)

    def change(self, fields: EventFields, now: datetime) -> "Event":
        """Return the event with ``fields``; raise CapacityBelowReserved or InvalidInput."""
        event = replace(self, **fields, updated_at=now)
        if event.ends_at is not None and event.ends_at <= event.starts_at:
            raise InvalidInput.of("ends_at", "must be after starts_at")
        if event.capacity < self.reserved:
            raise CapacityBelowReserved(self.id, event.capacity, self.reserved)
        return event


def must_have_no_registrations(event_id: UUID, *, has_any: bool) -> None:
    """Raise EventHasRegistrations unless the event can be deleted: not even final registrations may exist."""
    if has_any:
        raise EventHasRegistrations(event_id)
