"""Hold the parts and the policy that every step of the saga uses."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from ticketcap_payment.registration_client import RegistrationClient
from ticketcap_payment.steps import NoSteps, Steps
from ticketcap_payment.store.transactions import school_transaction
from ticketcap_payment.telemetry import PaymentTelemetry
from ticketcap_payment.yaadpay.client import YaadPayClient


def utc_now() -> datetime:
    """Return the current time in UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Saga:
    """The parts of the saga. No step calls ``yaadpay`` or ``registration`` inside a transaction."""

    engine: AsyncEngine
    yaadpay: YaadPayClient
    registration: RegistrationClient
    telemetry: PaymentTelemetry
    steps: Steps = field(default_factory=NoSteps)
    now: Callable[[], datetime] = utc_now
    postpone: bool = True
    """Two phases: YaadPay stores the card first, and charges it once the seat is secured."""
    verify_postponed: bool = True
    """Whether VERIFY works for a postponed return; if not, its Sign alone proves it genuine."""
    check_sign: bool = True
    """Whether Sign is checked here before YaadPay is called."""
    committed_means_charged: bool = True
    """Whether "already committed" (250), after a charge that this service sent, means that it succeeded."""
    secure_seconds: int = 900
    """The length of the hold around a capture."""
    give_up_seconds: float = 1800.0
    """The time after which work that can't be done is escalated."""
    money_tries: int = 8
    """The number of charges, or cancellations of one, with an unknown outcome before an escalation."""

    def transaction(self, school_slug: str) -> AbstractAsyncContextManager[AsyncConnection]:
        """Open a transaction for one school; commit when the block ends."""
        return school_transaction(self.engine, school_slug)
