"""Identify schools, events and registrations."""

from dataclasses import dataclass
from uuid import UUID

from ticketcap_registration.domain.errors import RegistrationNotFound


@dataclass(frozen=True, slots=True)
class SchoolKey:
    """A school: its id, its slug, and whether it is synthetic: no families, but a demo, a drill or a probe."""

    id: UUID
    slug: str
    synthetic: bool = False


@dataclass(frozen=True, slots=True)
class EventKey:
    """An event of a school."""

    id: UUID
    school: SchoolKey


def parse_uuid(spelled: str) -> UUID | None:
    """Return the UUID that ``spelled`` is, or None when it is none."""
    try:
        return UUID(spelled)
    except ValueError:
        return None


def parse_registration_id(spelled: str) -> UUID:
    """Return a registration's id; raise RegistrationNotFound for a text that is no id."""
    registration_id = parse_uuid(spelled)
    if registration_id is None:
        raise RegistrationNotFound(spelled)
    return registration_id
