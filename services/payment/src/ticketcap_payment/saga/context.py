"""What every step of the saga works with."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from opentelemetry.trace import Tracer
from sqlalchemy.ext.asyncio import AsyncEngine

from ticketcap_payment.metrics import Metrics
from ticketcap_payment.registration_client import RegistrationClient
from ticketcap_payment.steps import NoSteps, Steps
from ticketcap_payment.yaadpay.client import YaadPayClient


def utc_now() -> datetime:
    """Return this moment."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Saga:
    """The parts. No step calls ``yaadpay`` or ``registration`` inside a transaction of ``engine``."""

    engine: AsyncEngine
    yaadpay: YaadPayClient
    registration: RegistrationClient
    metrics: Metrics
    tracer: Tracer
    steps: Steps = field(default_factory=NoSteps)
    now: Callable[[], datetime] = utc_now
    postpone: bool = True
    """Two phases: the card is stored first, and charged when the seat is sure."""
    verify_postponed: bool = True
    """Whether YaadPay can be asked about a postponed return; if not, its Sign alone vouches for it."""
    check_sign: bool = True
    """Whether Sign is checked here before YaadPay is asked."""
    committed_means_charged: bool = True
    """Whether "already committed" (250), after a charge that we sent, says that it was made."""
    secure_seconds: int = 900
    """How long a seat is made sure of around a capture."""
    give_up_seconds: float = 1800.0
    """How long something is tried before a person is asked."""
    money_tries: int = 8
    """How often a charge or an undoing whose outcome is not known is asked for, before a person is."""
