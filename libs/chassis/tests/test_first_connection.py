"""Check that poolers and absent servers stop a service in one line."""

import os
import subprocess
import sys
from collections.abc import Iterator

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from ticketcap_chassis.database.engine import create_engine
from ticketcap_chassis.database.first_connection import require_sessions
from ticketcap_chassis.database.limits import PoolLimits
from ticketcap_local.postgres import EmbeddedPostgres
from ticketcap_observability import Telemetry
from ticketcap_registration.store.migrate import migrate
from ticketcap_testing.stack import free_port, postgres_server

from tests.deploy.pgbouncer import pgbouncer


@pytest.fixture(scope="module")
def postgres() -> Iterator[EmbeddedPostgres]:
    with postgres_server() as server:
        server.create_database("registration")
        yield server


async def connect(database_url: str) -> None:
    """Do what a service does first."""
    engine = create_engine(
        database_url, role="pg_monitor", pool_name="t", limits=PoolLimits(size=1), telemetry=Telemetry.in_memory()
    )
    try:
        await require_sessions(engine, variable="DATABASE_URL")
    finally:
        await engine.dispose()


@pytest.mark.parametrize("ignored", ["", ", options"])
@pytest.mark.parametrize("mode", ["session", "transaction"])
async def test_pgbouncer_is_refused_with_what_to_do(postgres: EmbeddedPostgres, mode: str, ignored: str) -> None:
    """By services and by migrations, which leave nothing behind: no table, no lock."""
    with pgbouncer(postgres, mode, ignored=ignored) as port:
        address = make_conninfo(postgres.url("registration"), port=port)
        with pytest.raises(SystemExit) as served:
            await connect(address)
        with pytest.raises(SystemExit) as migrated:
            migrate(address)
    assert "DATABASE_JOBS_URL and DATABASE_DIRECT_URL" in str(served.value.code)
    for refused in (served, migrated):
        message = str(refused.value.code)
        assert message.startswith("DATABASE_URL: ")
        assert "connection pooler" in message
        assert "name PostgreSQL itself" in message
        assert "\n" not in message
    with psycopg.connect(postgres.url("registration")) as direct:
        assert direct.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'").fetchone() == (0,)
        assert direct.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone() == (0,)


async def test_postgresql_itself_is_not_refused(postgres: EmbeddedPostgres) -> None:
    """Whichever of several hosts it is, and whichever spelling."""
    url = postgres.url("registration")
    await connect(url)
    await connect(url.replace("@127.0.0.1", f"@127.0.0.1:{free_port()},127.0.0.1"))
    await connect(url.replace("postgresql://", "postgresql+psycopg://"))


async def test_the_options_of_the_string_stand_beside_the_services_own(postgres: EmbeddedPostgres) -> None:
    """And never instead of them: the role stays."""
    url = postgres.url("registration") + "?options=-c%20work_mem%3D5MB%20-c%20role%3Dpg_read_all_data"
    engine = create_engine(
        url, role="pg_monitor", pool_name="t", limits=PoolLimits(size=1), telemetry=Telemetry.in_memory()
    )
    async with engine.connect() as connection:
        found = await connection.exec_driver_sql("SELECT current_user, current_setting('work_mem')")
        assert tuple(found.one()) == ("pg_monitor", "5MB")
    await engine.dispose()


def test_a_server_that_is_not_there_is_one_line(postgres: EmbeddedPostgres) -> None:
    """Of a service and of a migration, without a value of the string."""
    gone = make_conninfo(postgres.url("registration"), port=free_port())
    environment = {**os.environ, "DATABASE_URL": gone, "JWT_SECRET": "j" * 32, "MANAGE_TOKEN_SECRET": "m" * 32}
    done = subprocess.run(
        [sys.executable, "-m", "ticketcap_registration"],
        env={**environment, "METRICS_ADDRESS": "", "LISTEN_ADDRESS": "127.0.0.1:0"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    with pytest.raises(SystemExit) as migrated:
        migrate(gone)
    for message in (done.stderr, str(migrated.value.code)):
        assert message.startswith("DATABASE_URL: the database can't be reached")
        assert len(message.splitlines()) == 1, message
        assert "127.0.0.1" not in message
    assert done.returncode == 1
