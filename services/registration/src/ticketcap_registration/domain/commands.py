"""What can be asked of an event's seats. A lane applies commands one after another."""

from dataclasses import dataclass
from typing import ClassVar
from uuid import UUID

from ticketcap_registration.domain.event import EventFields
from ticketcap_registration.domain.person import Person


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """Take spots, or join the waitlist.

    ``id`` and ``confirmation_code`` are those of the registration to make.
    ``fingerprint`` tells a repeat of the same body from another body with the same key.
    """

    repeatable: ClassVar[bool] = True
    id: UUID
    confirmation_code: str
    person: Person
    spots: int
    idempotency_key: str
    fingerprint: str
    traceparent: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancel:
    """Give a registration's spots back; ``by_holder`` obeys the cancellation deadline.

    ``refund_agorot`` is what an organiser gives back of its payment; None: everything.
    """

    repeatable: ClassVar[bool] = False
    registration_id: UUID
    by_holder: bool
    reason: str | None = None
    refund_agorot: int | None = None
    traceparent: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfirmHold:
    """Its payment is captured: the hold becomes a confirmed registration."""

    repeatable: ClassVar[bool] = True
    registration_id: UUID
    traceparent: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseHold:
    """Its payment will not come: the hold's spots go back."""

    repeatable: ClassVar[bool] = True
    registration_id: UUID
    reason: str | None = None
    traceparent: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtendHold:
    """Keep a live hold for at least ``seconds`` from now."""

    repeatable: ClassVar[bool] = True
    registration_id: UUID
    seconds: int
    traceparent: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReclaimHold:
    """The payment of an expired hold has arrived: take its spots again for ``seconds``."""

    repeatable: ClassVar[bool] = True
    registration_id: UUID
    seconds: int
    traceparent: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpireHolds:
    """Give back the spots of holds whose time is over. Every other command does so too."""

    repeatable: ClassVar[bool] = True
    traceparent: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeEvent:
    """Change what the organiser set; more capacity promotes from the waitlist, price 0 confirms every hold."""

    repeatable: ClassVar[bool] = True
    fields: EventFields
    traceparent: str = ""

    @property
    def frees(self) -> bool:
        """Whether it makes the event free, so that every hold must be known."""
        return self.fields.get("price_agorot") == 0


Command = Claim | Cancel | ConfirmHold | ReleaseHold | ExtendHold | ReclaimHold | ExpireHolds | ChangeEvent
"""``repeatable`` says whether doing it again after an unknown outcome gives the first answer."""

HoldCommand = ConfirmHold | ReleaseHold | ExtendHold | ReclaimHold
