"""Test that a tenant's name travels as a quoted literal."""

from collections.abc import AsyncIterator

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine
from ticketcap_chassis.database.engine import create_engine
from ticketcap_chassis.database.limits import PoolLimits
from ticketcap_chassis.database.set_local import execute_set_local
from ticketcap_chassis.database.transactions import (
    open_connection,
    open_driver_connection,
    open_tenant_transaction,
)
from ticketcap_observability import InMemoryTelemetry, Telemetry

SETTING = "chassis.tenant"
SEEN = text(f"SELECT current_setting('{SETTING}', true)")
PREPARED = text("SELECT statement FROM pg_prepared_statements")
HOSTILE = ("herzl", "o'; DROP TABLE places; --", "\\", "\\'", '"', "%s", "%(tenant)s", "$1", ":tenant", "בית", "")


@pytest.fixture
def telemetry() -> InMemoryTelemetry:
    return Telemetry.in_memory()


@pytest.fixture
async def engine(database: str, telemetry: InMemoryTelemetry) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(
        database,
        role="chassis_app",
        pool_name="chassis",
        limits=PoolLimits(size=1),
        telemetry=telemetry,
    )
    yield engine
    await engine.dispose()


@pytest.mark.parametrize("tenant", HOSTILE)
async def test_any_text_is_a_tenant_until_the_transaction_ends(engine: AsyncEngine, tenant: str) -> None:
    """Through SQLAlchemy, and in a pipeline of the driver."""
    async with open_tenant_transaction(engine, SETTING, tenant) as connection:
        assert await connection.scalar(SEEN) == tenant
    async with open_driver_connection(engine) as driver:
        async with driver.pipeline():
            await execute_set_local(driver, SETTING, tenant)
            seen = await driver.execute(SEEN.text)
        assert await seen.fetchone() == (tenant,)
    async with open_connection(engine) as connection:
        assert not await connection.scalar(SEEN)


async def test_a_tenant_is_neither_prepared_nor_in_a_span(engine: AsyncEngine, telemetry: InMemoryTelemetry) -> None:
    """However often the same one enters; other statements are prepared as before."""
    with telemetry.tracer.start_as_current_span("request"):
        for _ in range(10):
            async with open_tenant_transaction(engine, SETTING, "herzl") as connection:
                await connection.execute(SEEN)
            async with open_driver_connection(engine) as driver, driver.pipeline():
                await execute_set_local(driver, SETTING, "herzl")
                await driver.commit()  # a rollback would forget what is prepared
    async with open_connection(engine) as connection:
        prepared = (await connection.execute(PREPARED)).scalars().all()
    assert SEEN.text in prepared
    assert not [statement for statement in prepared if "SET LOCAL" in statement]
    [entered] = {
        str(span.attributes["db.query.text"])
        for span in telemetry.spans
        if span.attributes and span.name == "tenant.enter"
    }
    assert entered.endswith("SET LOCAL chassis.tenant = %(tenant)s")
