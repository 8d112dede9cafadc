"""Decide whether a registration can be checked in, or its check-in undone."""

from datetime import datetime

from ticketcap_registration.domain.errors import AlreadyCheckedIn, NotCheckedIn, NotConfirmed
from ticketcap_registration.domain.registration import Registration
from ticketcap_registration.domain.states import RegistrationStatus


def check_in(registration: Registration, now: datetime) -> None:
    """Check the registration in; raise NotConfirmed or AlreadyCheckedIn."""
    if registration.status is not RegistrationStatus.CONFIRMED:
        raise NotConfirmed(registration.id, registration.status)
    if registration.checked_in_at is not None:
        raise AlreadyCheckedIn(registration.id, registration.checked_in_at)
    registration.checked_in_at = now


def undo_check_in(registration: Registration) -> None:
    """Undo the registration's check-in; raise NotCheckedIn when it has none."""
    if registration.checked_in_at is None:
        raise NotCheckedIn(registration.id)
    registration.checked_in_at = None
