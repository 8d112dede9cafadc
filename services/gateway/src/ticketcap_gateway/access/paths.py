"""Read the objects that a request's path names."""

import re
from collections.abc import Mapping
from typing import Any, Final, Literal

from starlette.requests import Request
from ticketcap_chassis.errors import NotFound
from ticketcap_chassis.text import normalize

from ticketcap_gateway import telemetry
from ticketcap_gateway.edge.fields import SLUG_PATTERN

_UUID_PATTERN: Final = "[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
_UUID: Final = re.compile(_UUID_PATTERN)
_MAX_SHOWN: Final = 100
_ID: Final = {"type": "string", "format": "uuid", "pattern": f"^{_UUID_PATTERN}$"}

PATH_PARAMETERS: Final[Mapping[str, dict[str, Any]]] = {
    "school": {
        "description": "The school's slug.",
        "schema": {"type": "string", "maxLength": 63, "pattern": SLUG_PATTERN},
    },
    "event": {
        "description": "The event's id or slug.",
        "schema": {"type": "string", "maxLength": 63, "pattern": f"{SLUG_PATTERN}|^{_UUID_PATTERN}$"},
    },
    "id": {"description": "The id of the registration, the payment or the escalation's object.", "schema": _ID},
    "registration": {"description": "The registration's id.", "schema": _ID},
}


def school_of(request: Request) -> str:
    """Return the slug of the school that the path names; NotFound when no school can have that name."""
    name = request.path_params["school"]
    school = normalize.slug(name)
    if school is None:
        raise NotFound(f"no school {name[:_MAX_SHOWN]!r}", reason="SCHOOL_NOT_FOUND")
    telemetry.record_school(school)
    return school


def event_of(request: Request) -> tuple[str, str]:
    """Return the school and the event (its id or slug) that the path names; NotFound when they can't exist."""
    school, name = school_of(request), request.path_params["event"]
    event = name if is_uuid(name) else normalize.slug(name)
    if event is None:
        raise NotFound(f"school {school!r} has no event {name[:_MAX_SHOWN]!r}", reason="EVENT_NOT_FOUND")
    return school, str(event)


def is_uuid(text: str) -> bool:
    """Say whether ``text`` can be an id."""
    return _UUID.fullmatch(text) is not None


def id_of(request: Request, noun: Literal["registration", "payment", "escalation"]) -> str:
    """Return the id that the path names; NotFound of ``noun`` when it is no id."""
    name = request.path_params["id"]
    if not is_uuid(name):
        raise NotFound(f"no {noun} {name[:_MAX_SHOWN]!r}", reason=f"{noun.upper()}_NOT_FOUND")
    return str(name)
