"""Describe one person's registration for an event."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from ticketcap_registration.domain.states import RegistrationStatus


@dataclass(slots=True, kw_only=True)
class Registration:
    """One row. ``phone`` is E.164; ``waitlist_seq`` orders the waitlist and is set once, on joining it.

    The last three fields are its terms. They are copied from the event when the registration gets its seat or its
    offer, so a later change of the event does not touch them. They are None before that, and in rows of an old release.
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
        """The price of all its spots in agorot; 0 when it is free or has no terms yet."""
        return (self.price_agorot or 0) * self.spots
