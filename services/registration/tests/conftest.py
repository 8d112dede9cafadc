"""Provide one PostgreSQL per session and a migrated database per test."""

from collections.abc import AsyncIterator, Iterator

import pytest
from service_under_test import Replica, migrated_database, replica
from ticketcap_local.postgres import EmbeddedPostgres
from ticketcap_observability import configure_logging
from ticketcap_testing.stack import postgres_server


@pytest.fixture(autouse=True)
def logging() -> None:
    """Configure again for each test: tests of other packages in the same process change it."""
    configure_logging("registration-tests", "0", "ERROR")


@pytest.fixture(scope="session")
def postgres() -> Iterator[EmbeddedPostgres]:
    with postgres_server() as server:
        yield server


@pytest.fixture
def database(postgres: EmbeddedPostgres) -> Iterator[str]:
    with migrated_database(postgres) as url:
        yield url


@pytest.fixture
async def service(database: str) -> AsyncIterator[Replica]:
    async with replica(database) as running:
        yield running
