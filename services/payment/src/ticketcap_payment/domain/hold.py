"""Decide how much a registration's hold costs."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from ticketcap_payment.domain.errors import FreeEvent, HoldExpired, NotAHold

_ENDED = frozenset({"EXPIRED", "CANCELLED"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """A registration as the registration service reports it, with its own price of one spot in minor units."""

    registration_id: UUID
    event_id: UUID
    school_slug: str
    school_id: UUID
    school_synthetic: bool = False
    status: str
    spots: int
    price_agorot: int
    currency: str
    hold_expires_at: datetime | None
    name: str
    title: str

    def amount_to_pay(self, now: datetime) -> int:
        """Return the minor units to pay. Raises FreeEvent, HoldExpired, NotAHold."""
        if self.price_agorot == 0:
            raise FreeEvent(self.registration_id)
        if self.status in _ENDED:
            raise HoldExpired(self.registration_id, self.status)
        if self.status != "PENDING_PAYMENT":
            raise NotAHold(self.registration_id, self.status)
        if self.hold_expires_at is not None and self.hold_expires_at <= now:
            raise HoldExpired(self.registration_id, "EXPIRED")
        return self.price_agorot * self.spots
