"""Check logins per role through a PgBouncer in transaction mode."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine
from ticketcap_chassis.database.connection_string import connection_parameters
from ticketcap_chassis.database.connector import Connector
from ticketcap_chassis.database.engine import connector_of, create_engine
from ticketcap_chassis.database.first_connection import require_direct, require_sessions
from ticketcap_chassis.database.limits import PoolLimits
from ticketcap_chassis.database.logins import create_logins
from ticketcap_chassis.database.settings import MigrateSettings
from ticketcap_chassis.database.transactions import open_tenant_transaction, open_transaction
from ticketcap_local.postgres import EmbeddedPostgres
from ticketcap_observability import Telemetry

from tests.deploy.pgbouncer import pgbouncer

APP, JOBS = "pooled_app", "pooled_jobs"
PASSWORDS = {APP: "app's own: $1", JOBS: 'jobs\' "own" \\'}
SESSION = {"jit": "off"}
LIMITS = PoolLimits(size=2)
SETTING = "pooled.school_id"
SCHOOL = text(f"SELECT current_setting('{SETTING}', true)")
ROWS = text("SELECT school_id FROM seats ORDER BY school_id")


@dataclass(frozen=True)
class Pooled:
    """A database whose roles have logins, and PgBouncer in front of it with one session for each login."""

    owner: str
    port: int

    def url(self, role: str, *, direct: bool = False) -> str:
        changes: dict[str, Any] = {"user": role, "password": PASSWORDS[role]}
        return make_conninfo(self.owner, **changes, **({} if direct else {"port": self.port}))


def settings_of(owner: str, app: str, jobs: str, **changes: Any) -> MigrateSettings:
    return MigrateSettings(database_owner_url=owner, database_url=app, database_jobs_url=jobs, **changes)


def log_in(owner: str) -> None:
    """Give both roles their logins."""
    app, jobs = (make_conninfo(owner, user=role, password=PASSWORDS[role]) for role in (APP, JOBS))
    create_logins(settings_of(owner, app, jobs), app=APP, jobs=JOBS, session=SESSION, lock=1)


@pytest.fixture
def pooled(postgres: EmbeddedPostgres, database: str) -> Iterator[Pooled]:
    with psycopg.connect(database, autocommit=True) as owner:
        for role in (APP, JOBS):
            if not owner.execute("SELECT FROM pg_roles WHERE rolname = %s", [role]).fetchall():
                owner.execute(f"CREATE ROLE {role} NOLOGIN")
        owner.execute("CREATE TABLE seats (school_id text)")
        owner.execute("INSERT INTO seats VALUES ('herzl'), ('rabin')")
        owner.execute("ALTER TABLE seats ENABLE ROW LEVEL SECURITY")
        owner.execute(f"CREATE POLICY one ON seats TO {APP} USING (school_id = current_setting('{SETTING}', true))")
        owner.execute(f"GRANT SELECT ON seats TO {APP}")
    log_in(database)
    with pgbouncer(postgres, "transaction", passwords=PASSWORDS, size=1) as port:
        yield Pooled(database, port)


@asynccontextmanager
async def engine_at(url: str, role: str = APP, connector: Connector | None = None) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(
        url,
        role=role,
        pool_name="t",
        limits=LIMITS,
        telemetry=Telemetry.in_memory(),
        session=SESSION,
        connector=connector,
        own_login=True,
    )
    try:
        yield engine
    finally:
        await engine.dispose()


async def test_a_login_has_its_role_and_limits_with_and_without_pooler(pooled: Pooled) -> None:
    """No option travels at the start of a session."""
    for role, direct in ((APP, False), (JOBS, False), (APP, True)):
        async with engine_at(pooled.url(role, direct=direct), role) as engine:
            await require_sessions(engine, variable="DATABASE_URL")
            assert connector_of(engine).prepares is direct
            async with engine.connect() as connection:
                names = "current_user, session_user, current_setting('statement_timeout'), current_setting('jit')"
                plans = "current_setting('timezone'), current_setting('plan_cache_mode')"
                found = await connection.execute(text(f"SELECT {names}, {plans}"))
                assert tuple(found.one()) == (role, role, "2s", "off", "UTC", "force_generic_plan")


async def test_the_server_gets_verifiers_and_no_password(pooled: Pooled) -> None:
    """A second run replaces the settings of the first one, and leaves an operator's own."""
    with psycopg.connect(pooled.owner, autocommit=True) as owner:
        stored = owner.execute("SELECT rolpassword FROM pg_authid WHERE rolname = %s", [APP]).fetchone()
        assert stored is not None
        assert stored[0].startswith("SCRAM-SHA-256$")
        owner.execute(f"ALTER ROLE {APP} SET work_mem = '5MB'")
        owner.execute(f"ALTER ROLE {APP} IN DATABASE {owner.info.dbname} SET enable_sort = 'off'")
    log_in(pooled.owner)
    with psycopg.connect(pooled.url(APP, direct=True)) as app:
        found = app.execute("SELECT current_setting('work_mem'), current_setting('enable_sort')").fetchone()
        assert found == ("5MB", "on")


async def test_two_schools_interleave_over_one_session(pooled: Pooled) -> None:
    """Each transaction sees its own school; between transactions the session has none."""
    async with engine_at(pooled.url(APP)) as herzl, engine_at(pooled.url(APP)) as rabin:
        for engine in (herzl, rabin):
            await require_sessions(engine, variable="DATABASE_URL")

        async def look(engine: AsyncEngine, school: str) -> None:
            async with open_tenant_transaction(engine, SETTING, school) as connection:
                await asyncio.sleep(0)
                assert (await connection.execute(ROWS)).scalars().all() == [school]
            async with open_transaction(engine) as connection:
                assert not await connection.scalar(SCHOOL)
                assert (await connection.execute(ROWS)).scalars().all() == []

        for _ in range(20):
            await asyncio.gather(look(herzl, "herzl"), look(rabin, "rabin"))


async def test_a_plain_set_would_show_one_schools_rows_to_another_client(pooled: Pooled) -> None:
    """The negative control: the session is shared, and only SET LOCAL ends with its transaction."""
    async with engine_at(pooled.url(APP)) as careless, engine_at(pooled.url(APP)) as other:
        async with open_transaction(careless) as connection:
            await connection.execute(text(f"SET {SETTING} = 'herzl'"))
        async with open_transaction(other) as connection:
            assert await connection.scalar(SCHOOL) == "herzl"
            assert (await connection.execute(ROWS)).scalars().all() == ["herzl"]


async def repeat(engine: AsyncEngine) -> None:
    """Run one statement more often than it takes to prepare it."""
    for _ in range(8):
        async with open_transaction(engine) as connection:
            await connection.execute(ROWS)


async def test_nothing_is_prepared_behind_a_pooler_that_does_not_track_it(pooled: Pooled) -> None:
    """The negative control claims that it does: two clients then prepare under the same name in one session."""
    for tracks in (False, True):
        connectors = [Connector(LIMITS, pooler_prepares=tracks) for _ in range(2)]
        async with (
            engine_at(pooled.url(APP), connector=connectors[0]) as first,
            engine_at(pooled.url(APP), connector=connectors[1]) as second,
        ):
            for engine in (first, second):
                await require_sessions(engine, variable="DATABASE_URL")
            await repeat(first)
            if tracks:
                with pytest.raises(DBAPIError, match="already exists"):
                    await repeat(second)
            else:
                await repeat(second)


async def test_a_wrong_login_stops_the_process(pooled: Pooled, postgres: EmbeddedPostgres) -> None:
    """Another role's login, one that the pooler replaces by the owner's, and one without limits."""

    async def refused(url: str, role: str = APP) -> str:
        async with engine_at(url, role) as engine:
            with pytest.raises(SystemExit) as stopped:
                await require_sessions(engine, variable="DATABASE_JOBS_URL")
        return str(stopped.value.code)

    assert "the login must be pooled_jobs" in await refused(pooled.url(APP), JOBS)
    with pgbouncer(postgres, "transaction") as port:
        assert "act as ticketcap" in await refused(make_conninfo(pooled.owner, user=APP, password="x", port=port))
    with psycopg.connect(pooled.owner, autocommit=True) as owner:
        owner.execute(f"ALTER ROLE {APP} IN DATABASE {owner.info.dbname} RESET lock_timeout")
    message = await refused(pooled.url(APP, direct=True))
    assert message.startswith("DATABASE_JOBS_URL: the login pooled_app lacks the settings lock_timeout; run ")


async def test_listen_needs_a_direct_connection(pooled: Pooled) -> None:
    """Through the pooler it would deliver nothing."""
    connector = Connector(replace(LIMITS, connect_timeout=20))
    direct, behind = (connection_parameters(pooled.url(APP, direct=direct)) for direct in (True, False))
    await require_direct(connector, direct, variable="DATABASE_DIRECT_URL")
    with pytest.raises(SystemExit, match="DATABASE_DIRECT_URL: must lead past the connection pooler"):
        await require_direct(connector, behind, variable="DATABASE_DIRECT_URL")


@pytest.mark.parametrize(
    ("owner", "app", "jobs", "message"),
    [
        ("", "user=pooled_app", "user=pooled_jobs", "migrate --logins: set DATABASE_OWNER_URL"),
        ("user=owner", "user=pooled_app", "", "migrate --logins: set DATABASE_OWNER_URL"),
        ("user=owner", "user=owner password=hunter2", "user=pooled_jobs", "DATABASE_URL: its login must be pooled_app"),
        ("user=owner", "user=pooled_app", "dbname=d", "DATABASE_JOBS_URL: its login must be pooled_jobs"),
        ("host=/nowhere user=hunter2", "user=pooled_app", "user=pooled_jobs", "DATABASE_OWNER_URL: its login can't"),
    ],
)
def test_what_logins_need_is_named(owner: str, app: str, jobs: str, message: str) -> None:
    """In one line, without a value."""
    with pytest.raises(SystemExit) as stopped:
        create_logins(settings_of(owner, app, jobs), app=APP, jobs=JOBS, session=SESSION, lock=1)
    assert str(stopped.value.code).startswith(message)
    assert "hunter2" not in str(stopped.value.code)
