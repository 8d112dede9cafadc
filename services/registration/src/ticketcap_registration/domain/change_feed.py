"""Name the consumers of the change feed, and its changes."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from ticketcap_chassis.errors import InvalidInput

from ticketcap_registration.domain.states import RegistrationStatus

CONSUMERS: Final[Mapping[str, frozenset[RegistrationStatus]]] = {
    "payment": frozenset({RegistrationStatus.CANCELLED, RegistrationStatus.CONFIRMED}),
}
"""The readers of the change feed, each with the statuses whose changes it reads."""

_UUID: Final = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_ID: Final = re.compile(rf"({_UUID})\.({_UUID})\.([0-9]{{1,18}})\.([0-9]{{1,18}})")


@dataclass(frozen=True, slots=True, order=True)
class ChangeId:
    """The key of a change. Those of one event grow with its commits."""

    school_id: UUID
    event_id: UUID
    version: int
    number: int
    """Counts the changes of one version from 1."""

    def __str__(self) -> str:
        return f"{self.school_id}.{self.event_id}.{self.version}.{self.number}"


BEFORE_ALL: Final = ChangeId(UUID(int=0), UUID(int=0), 0, 0)
"""Smaller than the id of any change."""


def must_be_consumer(name: str) -> None:
    """Raise InvalidInput for a name that no consumer has."""
    if name not in CONSUMERS:
        raise InvalidInput.of("consumer", f"is unknown; send one of {', '.join(sorted(CONSUMERS))}")


def read_change_id(text: str, *, field: str) -> ChangeId:
    """Return the id that ``text`` spells; raise InvalidInput, which names ``field``, for any other text."""
    match = _ID.fullmatch(text)
    if match is None:
        raise InvalidInput.of(field, "is invalid; send the id of a change")
    return ChangeId(UUID(match[1]), UUID(match[2]), int(match[3]), int(match[4]))


def read_cursor(text: str) -> ChangeId:
    """Return the id after which a page begins; an empty cursor is before all. Raises InvalidInput."""
    return read_change_id(text, field="cursor") if text else BEFORE_ALL
