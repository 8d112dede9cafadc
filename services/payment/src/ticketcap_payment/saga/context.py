"""Hold the parts that every step of the saga uses."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from ticketcap_payment.registration_client import RegistrationClient
from ticketcap_payment.settings import Settings
from ticketcap_payment.steps import NoSteps, Steps
from ticketcap_payment.store.schools import Schools
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
    schools: Schools
    yaadpay: YaadPayClient
    registration: RegistrationClient
    telemetry: PaymentTelemetry
    settings: Settings
    steps: Steps = field(default_factory=NoSteps)
    now: Callable[[], datetime] = utc_now

    @property
    def postpone(self) -> bool:
        """Two phases: YaadPay stores the card first, and charges it once the seat is secured."""
        return self.settings.payment_mode == "two_phase"

    def transaction(self, school_id: UUID) -> AbstractAsyncContextManager[AsyncConnection]:
        """Open a transaction for one school; commit when the block ends."""
        return school_transaction(self.engine, school_id)
