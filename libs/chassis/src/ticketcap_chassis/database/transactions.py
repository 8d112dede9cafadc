"""Run one transaction for one tenant; raise what the database's failures mean."""

import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final

import psycopg
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from ticketcap_chassis.database.connector import LimitedConnection
from ticketcap_chassis.database.engine import connector_of
from ticketcap_chassis.database.errors import (
    NoFreeConnection,
    OutcomeUnknown,
    StoreUnavailable,
    meaning_of,
)

_ENTER: Final = text("""-- tenant.enter
SELECT set_config(:variable, :tenant, true)""")


@asynccontextmanager
async def open_connection(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """Lend a connection; what the code inside does not commit is undone."""
    with translate_errors(engine):
        async with engine.connect() as connection:
            yield connection


@asynccontextmanager
async def open_transaction(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """Lend a connection and commit when the code inside ends."""
    async with open_connection(engine) as connection:
        yield connection
        with unknown_when_lost():
            await connection.commit()


@asynccontextmanager
async def open_tenant_transaction(engine: AsyncEngine, variable: str, tenant: str) -> AsyncIterator[AsyncConnection]:
    """Open a transaction in which ``variable``, which row-level security reads, names ``tenant``.

    Commits when the code inside ends.
    """
    async with open_transaction(engine) as connection:
        await connection.execute(_ENTER, {"variable": variable, "tenant": tenant})
        yield connection


@asynccontextmanager
async def open_driver_connection(engine: AsyncEngine) -> AsyncIterator[LimitedConnection]:
    """Lend the driver's own connection, whose statements can travel together in a pipeline.

    What the code inside does not commit is undone. All of its statements together have the time of one.
    """
    async with open_connection(engine) as connection:
        driver: Any = (await connection.get_raw_connection()).driver_connection
        assert isinstance(driver, LimitedConnection)  # noqa: S101 - what ``create_engine`` makes
        driver.until = time.monotonic() + connector_of(engine).limits.answer_timeout
        try:
            yield driver
        finally:
            driver.until = None
            # Closed when it was silent for too long, or its caller left: the pool makes another, and no rollback waits.
            if driver.closed:
                await connection.invalidate()


@contextmanager
def translate_errors(engine: AsyncEngine | None = None) -> Iterator[None]:
    """Raise what a driver's error means instead of the error; ``engine`` is the one that the code inside uses."""
    try:
        yield
    except PoolTimeout as error:
        if engine is not None and connector_of(engine).is_silent:
            raise StoreUnavailable from error
        raise NoFreeConnection from error
    except DBAPIError as error:
        meaning = meaning_of(error.orig) or (StoreUnavailable() if error.connection_invalidated else None)
        if meaning is None:
            # Itself, never ``from`` itself: whatever walks the causes of such an error would never end.
            raise
        raise meaning from error
    except psycopg.Error as error:
        meaning = meaning_of(error)
        if meaning is None:
            raise
        raise meaning from error


@contextmanager
def unknown_when_lost() -> Iterator[None]:
    """Raise OutcomeUnknown when the connection is lost in the code inside, which commits."""
    try:
        with translate_errors():
            yield
    except StoreUnavailable as error:
        # Its kinds are the server's own refusals: nothing was committed.
        if type(error) is not StoreUnavailable:
            raise
        raise OutcomeUnknown from error
