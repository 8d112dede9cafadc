"""Run a gateway on a real socket, with both services in memory."""

from collections.abc import AsyncIterator

import httpx
import pytest
from ticketcap_observability import configure_logging
from ticketcap_observability.telemetry import InMemoryTelemetry, Telemetry
from ticketcap_testing.gateway import RunningGateway, running_gateway
from ticketcap_testing.service_fakes import FakePayment, FakeRegistration, running_payment, running_registration


@pytest.fixture(autouse=True)
def logging() -> None:
    """Configure logging for each test: tests of other packages in the same process change it."""
    configure_logging("gateway-tests", "0", "ERROR")


@pytest.fixture
def telemetry() -> InMemoryTelemetry:
    """The gateway's telemetry."""
    return Telemetry.in_memory()


@pytest.fixture
async def registration() -> AsyncIterator[FakeRegistration]:
    """The registration service behind the gateway."""
    async with running_registration() as fake:
        yield fake


@pytest.fixture
async def payment() -> AsyncIterator[FakePayment]:
    """The payment service behind the gateway."""
    async with running_payment() as fake:
        yield fake


@pytest.fixture
async def gateway(
    registration: FakeRegistration, payment: FakePayment, telemetry: InMemoryTelemetry
) -> AsyncIterator[RunningGateway]:
    """A gateway with its default limits."""
    async with running_gateway(registration.target, payment_target=payment.target, telemetry=telemetry) as running:
        yield running


@pytest.fixture
async def client(gateway: RunningGateway) -> AsyncIterator[httpx.AsyncClient]:
    """A client of that gateway."""
    async with httpx.AsyncClient(base_url=gateway.url) as client:
        yield client
