"""Turn rows into objects of the domain."""

from collections.abc import Mapping
from typing import Any

from ticketcap_registration.domain.event import Event
from ticketcap_registration.domain.registration import Registration
from ticketcap_registration.domain.states import EventStatus, RegistrationStatus, WaitlistPolicy


def event_of(row: Mapping[Any, Any]) -> Event:
    """Return the event of a row of ``events``."""
    return Event(
        **{
            **row,
            "status": EventStatus(row["status"]),
            "waitlist_policy": WaitlistPolicy(row["waitlist_policy"]),
        }
    )


def registration_of(row: Mapping[Any, Any]) -> Registration:
    """Return the registration of a row of ``registrations``."""
    return Registration(**{**row, "status": RegistrationStatus(row["status"])})
