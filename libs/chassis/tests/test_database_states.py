"""Check each state of the database: error, health and connections."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any, cast

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine
from ticketcap_chassis.database.engine import create_engine
from ticketcap_chassis.database.errors import (
    STATES,
    Contended,
    StoreChanged,
    StoreExhausted,
    StoreReadOnly,
    StoreUnavailable,
    StoreUnfit,
)
from ticketcap_chassis.database.limits import PoolLimits
from ticketcap_chassis.database.transactions import open_connection, open_driver_connection, unknown_when_lost
from ticketcap_chassis.errors import Unavailable
from ticketcap_chassis.health import DatabaseHealth
from ticketcap_chassis.rpc.server import GrpcServer
from ticketcap_local.postgres import EmbeddedPostgres
from ticketcap_observability import Telemetry
from ticketcap_testing.stack import fresh_database

NEEDS = {"SELECT": ["places"], "INSERT": ["places"]}
PID = "SELECT pg_backend_pid()"

MEANINGS = {
    "25006": StoreReadOnly,
    "25P03": StoreUnavailable,
    "26000": StoreChanged,
    "40001": Contended,
    "42501": StoreUnfit,
    "42P01": StoreUnfit,
    "53100": StoreExhausted,
    "53200": StoreExhausted,
    "55P03": Contended,
    "57014": Contended,
    "57P01": StoreUnavailable,
    "58030": StoreExhausted,
}


@pytest.fixture
async def engine(database: str) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(
        database,
        role="chassis_app",
        pool_name="chassis",
        limits=PoolLimits(size=1),
        telemetry=Telemetry.in_memory(),
    )
    yield engine
    await engine.dispose()


async def pid_of(engine: AsyncEngine) -> int:
    async with open_connection(engine) as connection:
        return int(await connection.scalar(text(PID)) or 0)


def raised(sqlstate: str) -> str:
    return f"DO $$ BEGIN RAISE EXCEPTION 'as a test wants' USING ERRCODE = '{sqlstate}'; END $$"


@pytest.mark.parametrize(("sqlstate", "meaning"), MEANINGS.items())
async def test_each_state_has_one_meaning_on_both_ways(
    engine: AsyncEngine, sqlstate: str, meaning: type[Exception]
) -> None:
    """Through SQLAlchemy and past it: the same error, and the connection stays or goes as the table says."""
    state = next(state for prefix, state in STATES.items() if sqlstate.startswith(prefix))
    before = await pid_of(engine)
    with pytest.raises(meaning) as caught:
        async with open_connection(engine) as connection:
            await connection.execute(text(raised(sqlstate)))
    assert type(caught.value) is meaning
    assert (await pid_of(engine) != before) == state.drop
    before = await pid_of(engine)
    with pytest.raises(meaning):
        async with open_driver_connection(engine) as driver, driver.pipeline():
            await driver.execute(raised(sqlstate))
    assert (await pid_of(engine) != before) == state.drop


def test_the_table_holds_together() -> None:
    """A failing state is answered 503; a retried state is an error that lanes retry."""
    for prefix, state in STATES.items():
        assert state.failing == (issubclass(state.error, Unavailable) and state.error is not StoreChanged), prefix
        assert state.retry == issubclass(state.error, StoreUnavailable | Contended), prefix


async def test_a_refusal_in_a_commit_is_no_unknown_outcome(engine: AsyncEngine) -> None:
    """The server has said no: nothing was committed, and the caller may know that."""

    async def refused() -> None:
        async with open_connection(engine) as connection:
            with unknown_when_lost():
                await connection.execute(text(raised("25006")))

    with pytest.raises(StoreReadOnly):
        await refused()


async def test_a_fault_of_a_statement_stays_what_it_is(engine: AsyncEngine) -> None:
    """The driver's own error, so that it is logged and isolated; the connection stays open."""
    before = await pid_of(engine)
    with pytest.raises(DBAPIError, match="division"):
        async with open_connection(engine) as connection:
            await connection.execute(text("SELECT 1 / 0"))
    assert await pid_of(engine) == before


async def test_a_statement_that_another_hand_cancels_is_tried_again(engine: AsyncEngine, database: str) -> None:
    """pg_cancel_backend: nothing was done, and the connection is as good as before."""
    before = await pid_of(engine)

    async def asleep() -> None:
        async with open_connection(engine) as connection:
            await connection.execute(text("SELECT pg_sleep(1.5)"))

    asking = asyncio.create_task(asleep())
    with psycopg.connect(database, autocommit=True) as owner:
        while not owner.execute(
            "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE pid = %s AND wait_event = 'PgSleep'", (before,)
        ).fetchall():
            await asyncio.sleep(0.02)
    with pytest.raises(Contended):
        await asking
    assert await pid_of(engine) == before


class FakeHealthServer:
    """A server of which only the health answers are looked at."""

    def __init__(self) -> None:
        self.serving: dict[str, bool] = {}

    async def set_health(self, service: str, *, serving: bool) -> None:
        self.serving[service] = serving


@contextmanager
def owner_of(database: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(database, autocommit=True) as owner:
        yield owner


@pytest.mark.parametrize(
    ("break_it", "mend_it"),
    [
        pytest.param(
            "REVOKE INSERT ON places FROM chassis_app", "GRANT INSERT ON places TO chassis_app", id="a privilege"
        ),
        pytest.param("ALTER TABLE places RENAME TO gone", "ALTER TABLE gone RENAME TO places", id="a table"),
        pytest.param(
            "ALTER SYSTEM SET default_transaction_read_only = on",
            "ALTER SYSTEM RESET default_transaction_read_only",
            id="a writable primary",
        ),
        pytest.param(
            "ALTER ROLE chassis_app RENAME TO chassis_other",
            "ALTER ROLE chassis_other RENAME TO chassis_app",
            id="a role",
        ),
    ],
)
async def test_health_asks_for_what_the_service_needs(
    engine: AsyncEngine, database: str, break_it: str, mend_it: str
) -> None:
    """SELECT 1 would succeed in all of these; health says NOT_SERVING until it is mended."""
    server = FakeHealthServer()
    health = DatabaseHealth({engine: NEEDS}, cast("GrpcServer", server), [""])
    await health.check()
    assert server.serving == {"": True, "database": True}
    with owner_of(database) as owner:
        try:
            owner.execute(break_it)
            owner.execute("SELECT pg_reload_conf()")
            # A role is looked up when a connection is made.
            await engine.dispose()
            await becomes(health, server, serving=False)
        finally:
            owner.execute("SET default_transaction_read_only = off")
            owner.execute(mend_it)
            owner.execute("SELECT pg_reload_conf()")
        await becomes(health, server, serving=True)


async def becomes(health: DatabaseHealth, server: FakeHealthServer, *, serving: bool) -> None:
    async with asyncio.timeout(20):
        while server.serving != {"": serving, "database": serving}:
            await health.check()
            await asyncio.sleep(0.05)


async def test_health_says_that_a_resource_is_exhausted_while_it_is(engine: AsyncEngine) -> None:
    """The health check itself writes nothing: the answers to the service's own statements count."""
    server = FakeHealthServer()
    health = DatabaseHealth({engine: NEEDS}, cast("GrpcServer", server), [""])
    with pytest.raises(StoreExhausted):
        async with open_connection(engine) as connection:
            await connection.execute(text(raised("53100")))
    await health.check()
    assert server.serving == {"": False, "database": False}
    await becomes(health, server, serving=True)


async def test_a_locked_table_is_slow_and_not_away(engine: AsyncEngine, database: str) -> None:
    """Health reads catalogues: a session that locks a table does not change it."""
    server = FakeHealthServer()
    health = DatabaseHealth({engine: NEEDS}, cast("GrpcServer", server), [""])
    with owner_of(database) as owner, owner.transaction():
        owner.execute("LOCK TABLE places IN ACCESS EXCLUSIVE MODE")
        await health.check()
    assert server.serving == {"": True, "database": True}


async def test_a_connection_after_the_role_was_made_again_is_a_new_one(postgres: EmbeddedPostgres) -> None:
    """A dropped role leaves its sessions without one for ever: they are not kept."""
    with fresh_database(postgres) as database, owner_of(database) as owner:
        owner.execute("CREATE TABLE places (id int PRIMARY KEY)")
        engine = create_engine(
            database,
            role="chassis_passing",
            pool_name="chassis",
            limits=PoolLimits(size=1),
            telemetry=Telemetry.in_memory(),
        )
        for _ in range(2):
            owner.execute("CREATE ROLE chassis_passing NOLOGIN")
            owner.execute("GRANT SELECT ON places TO chassis_passing")
            async with asyncio.timeout(20):
                while not await counted(engine):
                    await asyncio.sleep(0.05)
            owner.execute("DROP OWNED BY chassis_passing")
            owner.execute("DROP ROLE chassis_passing")
            assert not await counted(engine)
        await engine.dispose()


async def counted(engine: AsyncEngine) -> bool:
    try:
        async with open_connection(engine) as connection:
            await connection.execute(text("SELECT count(*) FROM places"))
    except Unavailable:
        return False
    return True
