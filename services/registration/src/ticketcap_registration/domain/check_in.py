"""Who can be checked in, and when a check-in can be taken back."""

from datetime import datetime

from ticketcap_registration.domain.errors import AlreadyCheckedIn, NotCheckedIn, NotConfirmed
from ticketcap_registration.domain.registration import Registration
from ticketcap_registration.domain.states import RegistrationStatus


def check_in(registration: Registration, now: datetime) -> datetime:
    """Return when the registration is checked in; raise NotConfirmed or AlreadyCheckedIn."""
    if registration.status is not RegistrationStatus.CONFIRMED:
        raise NotConfirmed(registration.id, registration.status)
    if registration.checked_in_at is not None:
        raise AlreadyCheckedIn(registration.id, registration.checked_in_at)
    return now


def can_undo_check_in(registration: Registration) -> None:
    """Raise NotCheckedIn unless there is a check-in to take back."""
    if registration.checked_in_at is None:
        raise NotCheckedIn(registration.id)
