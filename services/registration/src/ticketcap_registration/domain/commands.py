"""Describe the commands on an event's seats."""

from dataclasses import dataclass
from typing import ClassVar
from uuid import UUID

from ticketcap_registration.domain.errors import RefundByHolder
from ticketcap_registration.domain.event import EventFields
from ticketcap_registration.domain.person import Person


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """Reserve spots, or join the waitlist.

    ``id`` and ``confirmation_code`` are those of the new registration. ``fingerprint`` is the digest of the
    request's body: the same key with another body is refused.
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
    """Cancel a registration. The cancellation deadline binds it when ``by_holder``.

    ``refund_agorot`` is the part of its payment that an organiser refunds; None means everything.
    """

    repeatable: ClassVar[bool] = False
    registration_id: UUID
    by_holder: bool
    reason: str | None = None
    refund_agorot: int | None = None
    traceparent: str = ""

    def __post_init__(self) -> None:
        """Raise RefundByHolder for a holder that sets its own refund."""
        if self.by_holder and self.refund_agorot is not None:
            raise RefundByHolder(self.registration_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfirmHold:
    """Confirm a hold whose payment is captured."""

    repeatable: ClassVar[bool] = True
    registration_id: UUID
    traceparent: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseHold:
    """Cancel a hold whose payment will not come."""

    repeatable: ClassVar[bool] = True
    registration_id: UUID
    reason: str | None = None
    traceparent: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtendHold:
    """Extend a live hold to at least ``seconds`` from now."""

    repeatable: ClassVar[bool] = True
    registration_id: UUID
    seconds: int
    traceparent: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReclaimHold:
    """Hold the spots of an expired hold again for ``seconds``: its payment arrived late."""

    repeatable: ClassVar[bool] = True
    registration_id: UUID
    seconds: int
    traceparent: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpireHolds:
    """Expire the holds whose time is over. Every batch does so first."""

    repeatable: ClassVar[bool] = True
    traceparent: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeEvent:
    """Change the organiser's fields. More capacity promotes from the waitlist; price 0 confirms every hold."""

    repeatable: ClassVar[bool] = True
    fields: EventFields
    traceparent: str = ""

    @property
    def frees(self) -> bool:
        """Whether it makes the event free: then every hold must be loaded."""
        return self.fields.get("price_agorot") == 0


Command = Claim | Cancel | ConfirmHold | ReleaseHold | ExtendHold | ReclaimHold | ExpireHolds | ChangeEvent
"""``repeatable`` says whether a second run after an unknown outcome gives the outcome of the first."""

HoldCommand = ConfirmHold | ReleaseHold | ExtendHold | ReclaimHold
