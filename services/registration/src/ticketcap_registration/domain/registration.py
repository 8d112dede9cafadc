"""A registration: one person's spots in one event."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from ticketcap_registration.domain.states import RegistrationStatus


@dataclass(slots=True, kw_only=True)
class Registration:
    """One row. ``phone`` is E.164; ``waitlist_seq`` orders the waitlist and is set once, on joining it.

    The three last are its terms: the event's, copied when the registration gets its place or its offer, so that a
    later change of the event does not touch them. None before, and where an older release wrote the row.
    """

    id: UUID
    event_id: UUID
    school_id: UUID
    status: RegistrationStatus
    name: str
    phone: str
    email: str | None
    spots: int
    confirmation_code: str
    created_at: datetime
    waitlist_seq: int | None = None
    hold_expires_at: datetime | None = None
    cancelled_at: datetime | None = None
    cancel_reason: str | None = None
    checked_in_at: datetime | None = None
    price_agorot: int | None = None
    currency: str | None = None
    cancellation_deadline_hours: int | None = None

    @property
    def cost_agorot(self) -> int:
        """What all of its spots cost together; 0 when it is free or has no terms yet."""
        return (self.price_agorot or 0) * self.spots
