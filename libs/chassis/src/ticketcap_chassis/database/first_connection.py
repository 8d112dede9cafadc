"""Prove at start that DATABASE_URL leads straight to PostgreSQL.

A connection pooler such as PgBouncer lends one server connection to many clients. The settings of a session (role,
limits, LISTEN, a migration's lock) are then dropped, or left behind for another client: row-level security would guard
the wrong role, and seats would never be announced. Each service has a bounded pool of its own.
"""

import sys
from typing import Any, Final

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

_POOLER: Final = (
    "leads to a connection pooler (PgBouncer or the like), which does not keep a session's role, limits and LISTEN; "
    "name PostgreSQL itself: this process has a bounded pool of its own"
)
_REFUSED: Final = (
    "the database can't be reached, or refuses the login or the name of the database; "
    "check host, port, login and name, the server's log says more"
)


async def must_connect(engine: AsyncEngine) -> None:
    """Stop the process, naming DATABASE_URL, unless ``engine`` reaches PostgreSQL itself."""
    try:
        async with engine.connect() as connection:
            await connection.run_sync(must_be_direct)
    except DBAPIError as error:
        sys.exit(why_not(error))


def must_be_direct(connection: Connection) -> None:
    """Stop the process when a pooler is between it and PostgreSQL.

    A pooler invents the backend's process id that it sends at login, so it differs from the id of the backend that
    answers.
    """
    driver: Any = connection.connection.driver_connection
    answering = connection.exec_driver_sql(
        "-- connection.backend: Name the backend that answers.\nSELECT pg_backend_pid()"
    ).scalar()
    if answering != driver.info.backend_pid:
        sys.exit(f"DATABASE_URL: {_POOLER}")


def why_not(error: DBAPIError) -> str:
    """Return why the first connection failed, in one line without a value of the connection string."""
    # PgBouncer rejects the options with which every session begins. A refused connection has no SQLSTATE, only a text
    # that quotes the login and the host.
    pooled = "unsupported startup parameter" in str(error.orig)
    return f"DATABASE_URL: {_POOLER if pooled else _REFUSED} ({type(error.orig).__name__})"
