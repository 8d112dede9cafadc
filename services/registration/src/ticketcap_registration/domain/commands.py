"""Describe the commands on an event's seats."""

from dataclasses import dataclass
from typing import ClassVar
from uuid import UUID

from ticketcap_registration.domain.errors import RefundByHolder
from ticketcap_registration.domain.event import EventFields
from ticketcap_registration.domain.person import Person


@dataclass(frozen=True, slots=True, kw_only=True)
class _Caused:
    """A command, and the traceparent of the request that caused it."""

    repeatable: ClassVar[bool] = True
    """Whether a second run after an unknown outcome gives the outcome of the first."""
    traceparent: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _OnRegistration(_Caused):
    """A command on one registration."""

    registration_id: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim(_Caused):
    """Reserve spots, or join the waitlist.

    ``id`` and ``confirmation_code`` are those of the new registration. ``fingerprint`` is the digest of the
    request's body: the same key with another body is refused.
    """

    id: UUID
    confirmation_code: str
    person: Person
    spots: int
    idempotency_key: str
    fingerprint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancel(_OnRegistration):
    """Cancel a registration. The cancellation deadline binds it when ``by_holder``.

    ``refund_agorot`` is the part of its payment that an organiser refunds; None means everything.
    """

    repeatable: ClassVar[bool] = False
    by_holder: bool
    reason: str | None = None
    refund_agorot: int | None = None

    def __post_init__(self) -> None:
        """Raise RefundByHolder for a holder that sets its own refund."""
        if self.by_holder and self.refund_agorot is not None:
            raise RefundByHolder(self.registration_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfirmHold(_OnRegistration):
    """Confirm a hold whose payment is captured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseHold(_OnRegistration):
    """Cancel a hold whose payment will not come."""

    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtendHold(_OnRegistration):
    """Extend a live hold to at least ``seconds`` from now."""

    seconds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReclaimHold(_OnRegistration):
    """Hold the spots of an expired hold again for ``seconds``: its payment arrived late."""

    seconds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpireHolds(_Caused):
    """Expire the holds whose time is over. Every batch does so first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeEvent(_Caused):
    """Change the organiser's fields. More capacity promotes from the waitlist; price 0 confirms every hold."""

    fields: EventFields

    @property
    def frees(self) -> bool:
        """Whether it makes the event free: then every hold must be loaded."""
        return self.fields.get("price_agorot") == 0


Command = Claim | Cancel | ConfirmHold | ReleaseHold | ExtendHold | ReclaimHold | ExpireHolds | ChangeEvent

HoldCommand = ConfirmHold | ReleaseHold | ExtendHold | ReclaimHold
