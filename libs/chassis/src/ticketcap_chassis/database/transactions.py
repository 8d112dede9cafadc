"""Open transactions for one tenant and translate the database's failures.

Every context manager here raises the errors of ``database.errors`` in place of the driver's.
"""

import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import psycopg
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
from ticketcap_chassis.database.set_local import enter_tenant


@asynccontextmanager
async def open_connection(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """Lend a connection; uncommitted changes of the code inside are rolled back."""
    with translate_errors(engine):
        async with engine.connect() as connection:
            yield connection


@asynccontextmanager
async def open_transaction(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """Lend a connection and commit when the code inside ends; raise OutcomeUnknown when the commit gets lost."""
    async with open_connection(engine) as connection:
        yield connection
        with unknown_when_lost():
            await connection.commit()


@asynccontextmanager
async def open_tenant_transaction(engine: AsyncEngine, variable: str, tenant: str) -> AsyncIterator[AsyncConnection]:
    """Open a transaction in which ``variable``, which row-level security reads, is ``tenant``; commit as above."""
    async with open_transaction(engine) as connection:
        await enter_tenant(connection, variable, tenant)
        yield connection


@asynccontextmanager
async def open_driver_connection(engine: AsyncEngine) -> AsyncIterator[LimitedConnection]:
    """Lend the driver's own connection, whose statements can travel together in a pipeline.

    Uncommitted changes are rolled back. All statements together have the time of one answer.
    """
    async with open_connection(engine) as connection:
        driver: Any = (await connection.get_raw_connection()).driver_connection
        assert isinstance(driver, LimitedConnection)  # noqa: S101 - what ``create_engine`` makes
        driver.until = time.monotonic() + connector_of(engine).limits.answer_timeout
        try:
            yield driver
        finally:
            driver.until = None
            # ``wait`` closed it: the database was silent, or the caller was cancelled during a statement. Without
            # invalidate() the pool would send a rollback over it. After a cancellation this finally runs in the
            # cancelled task; invalidate() of a closed connection does not wait, so it completes.
            if driver.closed:
                await connection.invalidate()


@contextmanager
def translate_errors(engine: AsyncEngine | None = None) -> Iterator[None]:
    """Raise the ServiceError that a driver's error means (``database.errors``); other errors pass unchanged.

    With the ``engine`` that the code inside uses, a full pool over a silent database is StoreUnavailable, not
    NoFreeConnection.
    """
    try:
        yield
    except PoolTimeout as error:
        if engine is not None and connector_of(engine).is_silent:
            raise StoreUnavailable from error
        raise NoFreeConnection from error
    except DBAPIError as error:
        meaning = meaning_of(error.orig) or (StoreUnavailable() if error.connection_invalidated else None)
        if meaning is None:
            # Never ``raise error from error``: code that follows such an error's causes would never end.
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
        # Subclasses are the server's own refusals: nothing was committed.
        if type(error) is not StoreUnavailable:
            raise
        raise OutcomeUnknown from error
