"""One transaction for one tenant, and what the database's failures mean for a caller.

ServiceError
├─ StoreUnavailable     the connection was lost before the commit: nothing was done
├─ OutcomeUnknown       the connection was lost during the commit
├─ Contended            a lock or a statement took too long: nothing was done
├─ NoFreeConnection     every connection of the pool is busy
└─ ConstraintViolated   the database refused a row; ``constraint`` names the rule
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final

import psycopg
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from ticketcap_chassis.errors import Aborted, Busy, InternalError, Unavailable

_ENTER: Final = text("""-- tenant.enter
SELECT set_config(:variable, :tenant, true)""")

# https://www.postgresql.org/docs/current/errcodes-appendix.html: serialization failure, deadlock,
# lock not available, statement cancelled by its timeout.
_CONTENTION: Final = frozenset({"40001", "40P01", "55P03", "57014"})


class StoreUnavailable(Unavailable):
    """The database did not answer; nothing was done."""

    reason = "STORE_UNAVAILABLE"

    def __init__(self) -> None:
        super().__init__("the database does not answer; nothing was done, try again")


class OutcomeUnknown(Unavailable):
    """The database went away while it committed."""

    reason = "OUTCOME_UNKNOWN"

    def __init__(self) -> None:
        super().__init__("the database went away during the commit; ask again to learn the outcome")


class Contended(Aborted):
    """A lock or a statement took too long; nothing was done."""

    reason = "CONTENDED"

    def __init__(self) -> None:
        super().__init__("the rows are busy; nothing was done, try again")


class NoFreeConnection(Busy):
    """Every connection of the pool is busy."""

    reason = "NO_FREE_CONNECTION"

    def __init__(self) -> None:
        super().__init__("every database connection is busy; nothing was done, try again")


class ConstraintViolated(InternalError):
    """The database refused a row that the rules let through; ``constraint`` is its name."""

    reason = "CONSTRAINT_VIOLATED"

    def __init__(self, constraint: str) -> None:
        super().__init__(f"the database refused a row: {constraint}", metadata={"constraint": constraint})
        self.constraint = constraint


@asynccontextmanager
async def tenant_transaction(engine: AsyncEngine, variable: str, tenant: str) -> AsyncIterator[AsyncConnection]:
    """Open a transaction in which ``variable``, which row-level security reads, names ``tenant``.

    Commits when the code inside ends.
    """
    with translated_errors():
        async with engine.connect() as connection:
            await connection.execute(_ENTER, {"variable": variable, "tenant": tenant})
            yield connection
            with unknown_when_lost():
                await connection.commit()


@asynccontextmanager
async def driver_connection(engine: AsyncEngine) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
    """Lend the driver's own connection, whose statements can travel together in a pipeline.

    What the code inside does not commit is undone.
    """
    with translated_errors():
        async with engine.connect() as connection:
            driver: Any = (await connection.get_raw_connection()).driver_connection
            try:
                yield driver
            finally:
                if driver.closed:
                    await connection.invalidate()


@contextmanager
def translated_errors() -> Iterator[None]:
    """Raise what a driver's error means instead of the error."""
    try:
        yield
    except PoolTimeout as error:
        raise NoFreeConnection from error
    except DBAPIError as error:
        raise _meaning(error, error.orig, lost=error.connection_invalidated) from error
    except psycopg.Error as error:
        raise _meaning(error, error) from error


@contextmanager
def unknown_when_lost() -> Iterator[None]:
    """Raise OutcomeUnknown when the connection is lost in the code inside, which commits."""
    try:
        with translated_errors():
            yield
    except StoreUnavailable as error:
        raise OutcomeUnknown from error


def _meaning(error: Exception, cause: BaseException | None, *, lost: bool = False) -> Exception:
    if lost or _is_lost(cause):
        return StoreUnavailable()
    if isinstance(cause, psycopg.Error):
        if cause.sqlstate in _CONTENTION:
            return Contended()
        if isinstance(cause, psycopg.errors.IntegrityError) and cause.diag.constraint_name:
            return ConstraintViolated(cause.diag.constraint_name)
    return error


def _is_lost(cause: BaseException | None) -> bool:
    """Say whether the server is gone: no SQLSTATE at all, a connection exception (08) or a shutdown (57P)."""
    if not isinstance(cause, psycopg.OperationalError):
        return False
    return cause.sqlstate is None or cause.sqlstate.startswith(("08", "57P", "53300"))
