"""Provide one PostgreSQL, and a database and proxy for each test."""

from collections.abc import Iterator

import psycopg
import pytest
from ticketcap_local.postgres import EmbeddedPostgres
from ticketcap_observability import configure_logging
from ticketcap_testing.silent_proxy import SilentProxy
from ticketcap_testing.stack import fresh_database, postgres_server


@pytest.fixture(scope="session")
def postgres() -> Iterator[EmbeddedPostgres]:
    configure_logging("chassis-tests", "0", "CRITICAL")
    with postgres_server() as server:
        yield server


@pytest.fixture
def database(postgres: EmbeddedPostgres) -> Iterator[str]:
    """The address of a database with a table ``places`` that the role ``chassis_app`` reads and writes."""
    with fresh_database(postgres) as url:
        with psycopg.connect(url, autocommit=True) as owner:
            if not owner.execute("SELECT FROM pg_roles WHERE rolname = 'chassis_app'").fetchall():
                owner.execute("CREATE ROLE chassis_app NOLOGIN")
            owner.execute("CREATE TABLE places (id int PRIMARY KEY)")
            owner.execute("GRANT SELECT, INSERT ON places TO chassis_app")
        yield url


@pytest.fixture
def proxy(postgres: EmbeddedPostgres) -> Iterator[SilentProxy]:
    with SilentProxy(postgres.port) as running:
        yield running
