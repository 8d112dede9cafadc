"""Test that a violated constraint is known by its name."""

from collections.abc import AsyncIterator

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine
from ticketcap_chassis.database.engine import create_engine
from ticketcap_chassis.database.errors import ConstraintViolated
from ticketcap_chassis.database.limits import PoolLimits
from ticketcap_chassis.database.transactions import open_connection, open_driver_connection
from ticketcap_observability import Telemetry

# By SQLSTATE, as a coordinator passes them on from a shard: without the field of the constraint's name.
MESSAGES = {
    "schools_slug_key": ("23505", 'duplicate key value violates unique constraint "schools_slug_key_102008"'),
    "events_never_oversold": (
        "23514",
        'new row for relation "events_102040" violates check constraint "events_never_oversold_102040"',
    ),
    "registrations_event_fkey": (
        "23503",
        'delete on table "events_1" violates foreign key constraint "registrations_event_fkey_1020401" on table "x"',
    ),
    "places_2_key": ("23505", 'duplicate key value violates unique constraint "places_2_key"'),
}
PLACE = "INSERT INTO places VALUES (1), (1)"


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


def raised(sqlstate: str, message: str, constraint: str = "") -> str:
    named = f", CONSTRAINT = '{constraint}'" if constraint else ""
    return f"DO $$ BEGIN RAISE EXCEPTION '{message}' USING ERRCODE = '{sqlstate}'{named}; END $$"


async def violated(engine: AsyncEngine, statement: str) -> set[str]:
    """Return the names that both ways to the database tell."""
    with pytest.raises(ConstraintViolated) as by_sqlalchemy:
        async with open_connection(engine) as connection:
            await connection.execute(text(statement))
    with pytest.raises(ConstraintViolated) as by_the_driver:
        async with open_driver_connection(engine) as driver, driver.pipeline():
            await driver.execute(statement.encode())
    return {by_sqlalchemy.value.constraint, by_the_driver.value.constraint}


@pytest.mark.parametrize(("name", "error"), MESSAGES.items())
async def test_a_name_in_the_message_counts_without_its_shard(
    engine: AsyncEngine, name: str, error: tuple[str, str]
) -> None:
    """The form of a coordinator."""
    assert await violated(engine, raised(*error)) == {name}


async def test_a_name_in_its_own_field_counts_without_its_shard(engine: AsyncEngine) -> None:
    """The form of one server, and of a node that violates a constraint of its own shard."""
    assert await violated(engine, PLACE) == {"places_pkey"}
    assert await violated(engine, raised("23505", "x", "schools_slug_key_102008")) == {"schools_slug_key"}


async def test_a_violation_without_a_name_stays_the_drivers_error(engine: AsyncEngine) -> None:
    """A rule of a table, such as NOT NULL, has no name to map."""
    with pytest.raises(psycopg.errors.NotNullViolation):
        async with open_driver_connection(engine) as driver:
            await driver.execute("INSERT INTO places VALUES (NULL)")
    # Another class of errors may quote a constraint too.
    with pytest.raises(psycopg.errors.RaiseException):
        async with open_driver_connection(engine) as driver:
            await driver.execute(raised("P0001", 'constraint "places_pkey"').encode())
