"""Describe the seats of an event after a commit."""

from dataclasses import dataclass
from typing import Final
from uuid import UUID

from pydantic import TypeAdapter

from ticketcap_registration.domain.event import Event
from ticketcap_registration.domain.states import EventStatus

_LAST_VERSION: Final = 2**31 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class SeatAnnouncement:
    """The seats of an event at one version. All counts but ``promoted`` are in spots."""

    event_id: UUID
    version: int
    status: str
    capacity: int
    confirmed: int
    held: int
    waitlisted: int
    promoted: int = 0
    decided_at: float = 0.0
    """Seconds since the epoch when the seats were decided; 0 when the announcement does not say."""
    deleted: bool = False
    """The event no longer exists; the counts then mean nothing."""

    @classmethod
    def of(cls, event: Event, *, promoted: int = 0, decided_at: float = 0.0) -> "SeatAnnouncement":
        """Return the seats of ``event`` as they are now."""
        return cls(
            event_id=event.id,
            version=event.version,
            status=event.status,
            capacity=event.capacity,
            confirmed=event.confirmed,
            held=event.held,
            waitlisted=event.waitlisted,
            promoted=promoted,
            decided_at=decided_at,
        )

    @classmethod
    def of_deleted(cls, event_id: UUID) -> "SeatAnnouncement":
        """Return the last announcement of an event. Its version is the highest: no other one may replace it."""
        return cls(
            event_id=event_id,
            version=_LAST_VERSION,
            # A replica of a release without ``deleted`` shows the event as closed.
            status=EventStatus.CLOSED,
            capacity=0,
            confirmed=0,
            held=0,
            waitlisted=0,
            deleted=True,
        )

    @classmethod
    def from_json(cls, payload: str) -> "SeatAnnouncement":
        """Return the announcement that ``payload`` holds; raise ValueError when it holds none."""
        return _json.validate_json(payload)

    def to_json(self) -> str:
        """Return the payload that every replica reads."""
        return _json.dump_json(self).decode()


_json: Final = TypeAdapter(SeatAnnouncement)
