"""Check that every wait for the database ends within its limit."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine
from ticketcap_chassis.database.engine import connector_of, create_engine
from ticketcap_chassis.database.errors import NoFreeConnection, OutcomeUnknown, StoreUnavailable
from ticketcap_chassis.database.limits import PoolLimits
from ticketcap_chassis.database.transactions import (
    open_connection,
    open_driver_connection,
    open_tenant_transaction,
    open_transaction,
    translate_errors,
)
from ticketcap_observability import Telemetry
from ticketcap_testing.silent_proxy import SilentProxy

LIMITS = PoolLimits(size=3, checkout_timeout=1.5, connect_timeout=1.0, answer_timeout=1.0)
ONE = text("SELECT 1")
PLACE = text("INSERT INTO places VALUES (1)")


def engine_at(database: str, port: int | None = None, limits: PoolLimits = LIMITS) -> AsyncEngine:
    url = make_url(database).set(port=port) if port else make_url(database)
    return create_engine(
        url.render_as_string(hide_password=False),
        role="chassis_app",
        pool_name="chassis",
        limits=limits,
        telemetry=Telemetry.in_memory(),
    )


@pytest.fixture
async def engine(database: str, proxy: SilentProxy) -> AsyncIterator[AsyncEngine]:
    """A pool over the proxy, all of its connections made."""
    engine = engine_at(database, proxy.port)
    async with AsyncExitStack() as stack:
        for _ in range(LIMITS.size):
            await (await stack.enter_async_context(open_connection(engine))).execute(ONE)
    yield engine
    await engine.dispose()


async def seconds_until(error: type[Exception], engine: AsyncEngine) -> float:
    """Ask the database until it refuses with ``error``; return how long that took."""
    began = time.monotonic()
    with pytest.raises(error):
        async with open_connection(engine) as connection:
            await connection.execute(ONE)
    return time.monotonic() - began


async def answered(engine: AsyncEngine) -> None:
    async with open_connection(engine) as connection:
        assert await connection.scalar(ONE) == 1


async def test_a_silent_connection_is_closed_and_its_whole_pool_replaced(
    engine: AsyncEngine, proxy: SilentProxy
) -> None:
    """One caller finds out; the next ones have new connections at once."""
    assert proxy.silence() == LIMITS.size
    async with asyncio.timeout(20):
        assert await seconds_until(StoreUnavailable, engine) >= 0.9 * LIMITS.answer_timeout
        began = time.monotonic()
        for _ in range(2 * LIMITS.size):
            await answered(engine)
        assert time.monotonic() - began < LIMITS.answer_timeout, "another silent connection was lent"


async def test_a_commit_over_a_silent_connection_has_an_unknown_outcome(
    engine: AsyncEngine, proxy: SilentProxy, database: str
) -> None:
    """The commit may have happened: the answer says that the outcome is unknown."""

    async def place() -> None:
        async with open_transaction(engine) as connection:
            await connection.execute(PLACE)
            proxy.silence()

    with pytest.raises(OutcomeUnknown):
        await asyncio.wait_for(place(), 20)
    with psycopg.connect(database) as owner:
        assert owner.execute("SELECT count(*) FROM places").fetchone() == (0,)


async def test_a_tenants_transaction_and_a_drivers_connection_are_cut_too(
    engine: AsyncEngine, proxy: SilentProxy
) -> None:
    """Statements that travel in a pipeline share one limit; no rollback waits after it."""

    async def by_the_driver() -> None:
        async with open_driver_connection(engine) as driver:
            await driver.execute("SELECT 1")
            proxy.silence()
            async with driver.pipeline():
                await driver.execute("SELECT 1")
                await driver.execute("SELECT 2")

    async def for_a_tenant() -> None:
        async with open_tenant_transaction(engine, "chassis.tenant", "herzl") as connection:
            proxy.silence()
            await connection.execute(ONE)

    for work in (by_the_driver, for_a_tenant):
        began = time.monotonic()
        with pytest.raises(StoreUnavailable):
            await asyncio.wait_for(work(), 20)
        assert time.monotonic() - began < 2 * LIMITS.answer_timeout
    await answered(engine)


async def test_a_caller_that_leaves_is_let_go_at_once(engine: AsyncEngine, proxy: SilentProxy) -> None:
    """Cancelling does not wait for the silent server to agree."""
    proxy.silence()
    asking = asyncio.create_task(seconds_until(StoreUnavailable, engine))
    await asyncio.sleep(0.2)
    began = time.monotonic()
    asking.cancel()
    await asyncio.wait([asking], timeout=20)
    assert asking.cancelled()
    assert time.monotonic() - began < 0.5 * LIMITS.answer_timeout


async def test_a_server_that_accepts_and_says_nothing_is_unavailable_to_all_at_once(database: str) -> None:
    """The first attempts end at their limit; while one tries again, the others fail without waiting."""
    with socket.create_server(("127.0.0.1", 0)) as mute:
        engine = engine_at(database, mute.getsockname()[1])
        async with asyncio.timeout(20):
            assert await seconds_until(StoreUnavailable, engine) >= 0.9 * LIMITS.connect_timeout
            assert await seconds_until(StoreUnavailable, engine) < 0.5 * LIMITS.connect_timeout
        await engine.dispose()


async def test_no_free_connection_means_busy_or_silent(database: str) -> None:
    """All connections are taken: 429 where the database answers, 503 where it has not for longer than it may work."""
    engine = engine_at(database, limits=PoolLimits(size=2, checkout_timeout=0.3, answer_timeout=2.5))
    async with open_connection(engine) as connection, open_connection(engine):
        await connection.execute(ONE)
        await connection.rollback()
        await seconds_until(NoFreeConnection, engine)
        await asyncio.sleep(connector_of(engine).limits.server_timeout)
        await seconds_until(StoreUnavailable, engine)
    await engine.dispose()


async def test_an_error_never_is_its_own_cause(engine: AsyncEngine) -> None:
    """Code that follows the causes of an untranslated error reaches their end."""
    with pytest.raises(DBAPIError) as caught, translate_errors():
        await division_by_zero(engine)
    seen: list[BaseException] = []
    error: BaseException | None = caught.value
    while error is not None:
        assert error not in seen, "the causes go round in a circle"
        seen.append(error)
        error = error.__cause__


async def division_by_zero(engine: AsyncEngine) -> None:
    async with open_connection(engine) as connection:
        await connection.execute(text("SELECT 1 / 0"))
