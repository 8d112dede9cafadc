"""A registration: one person's spots in one event."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from ticketcap_registration.domain.states import RegistrationStatus


@dataclass(slots=True, kw_only=True)
class Registration:
    """One row. ``phone`` is E.164; ``waitlist_seq`` orders the waitlist and is set once, on joining it."""

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
