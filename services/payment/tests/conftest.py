"""Provide PostgreSQL, the simulator and a database for each test."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from payment_under_test import Ground, World, simulator_process, world
from ticketcap_local.postgres import EmbeddedPostgres
from ticketcap_observability import configure_logging
from ticketcap_payment.store.migrate import migrate as migrate_money
from ticketcap_registration.store.migrate import migrate as migrate_seats
from ticketcap_testing.stack import migrated_template, postgres_server


@pytest.fixture(autouse=True)
def logging() -> None:
    """Set logging for each test: tests of other packages in the same process change it."""
    configure_logging("payment-tests", "0", "ERROR")


@pytest.fixture(scope="session")
def postgres() -> Iterator[EmbeddedPostgres]:
    with postgres_server() as server:
        yield server


@pytest.fixture(scope="session")
def seats_template(postgres: EmbeddedPostgres) -> str:
    return migrated_template(postgres, migrate_seats)


@pytest.fixture(scope="session")
def money_template(postgres: EmbeddedPostgres) -> str:
    return migrated_template(postgres, migrate_money)


@pytest.fixture(scope="session")
def yaadpay_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder: Path = tmp_path_factory.mktemp("simulator")
    with simulator_process(folder) as url:
        yield url


@pytest.fixture
def ground(
    postgres: EmbeddedPostgres,
    seats_template: str,
    money_template: str,
    yaadpay_url: str,
    request: pytest.FixtureRequest,
) -> Ground:
    """Mark a test ``ground(payment={…}, registration={…})`` to change settings."""
    ground = Ground(postgres, seats_template, money_template, yaadpay_url)
    marker = request.node.get_closest_marker("ground")
    changes: dict[str, dict[str, Any]] = dict(marker.kwargs) if marker else {}
    ground.payment.update(changes.get("payment", {}))
    ground.registration.update(changes.get("registration", {}))
    return ground


@pytest.fixture
async def here(ground: Ground) -> AsyncIterator[World]:
    async with world(ground) as running:
        yield running
