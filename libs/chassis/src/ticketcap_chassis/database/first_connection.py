"""Prove at start that connection strings lead to fitting sessions.

A pooler such as PgBouncer lends one session of PostgreSQL to many clients. It refuses or drops the options with which
a session begins, delivers no LISTEN, and leaves a migration's lock behind for another client. So pools may lead through
one when each role has a login of its own (``logins``); LISTEN and migrations need PostgreSQL itself.
"""

import sys
from collections.abc import Mapping
from typing import Any, Final

import psycopg
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from ticketcap_chassis.database.connector import Connector
from ticketcap_chassis.database.engine import Sessions, connector_of, sessions_of

_NO_LOGINS: Final = (
    "leads to a connection pooler (PgBouncer or the like), which keeps no session's role and limits; "
    "name PostgreSQL itself, or give each role a login of its own: set DATABASE_JOBS_URL and DATABASE_DIRECT_URL, "
    "and DATABASE_OWNER_URL for 'migrate --logins'"
)
_NOT_DIRECT: Final = (
    "must lead past the connection pooler (PgBouncer or the like), which keeps no LISTEN and no lock of a session; "
    "name PostgreSQL itself"
)
_REFUSED: Final = (
    "the database can't be reached, or refuses the login or the name of the database; "
    "check host, port, login and name, the server's log says more"
)
_BACKEND: Final = "-- connection.backend: Name the backend that answers.\nSELECT pg_backend_pid()"
# A setting's value is not compared: another release, or another DATABASE_ANSWER_SECONDS, may have written the login.
_SESSION: Final = text("""-- connection.session: Read a session's role, and the settings that nothing set for it.
SELECT current_user AS role,
       ARRAY(SELECT name FROM unnest(CAST(:names AS text[])) AS needed (name)
             WHERE NOT EXISTS (SELECT FROM pg_settings WHERE lower(pg_settings.name) = lower(needed.name)
               AND source IN ('database', 'user', 'database user', 'client', 'session'))) AS missing""")


async def require_sessions(engine: AsyncEngine, *, variable: str) -> None:
    """Stop the process, naming ``variable``, unless ``engine`` gets the sessions that it was made for.

    Behind a pooler its connections prepare no statements, unless the pooler tracks them.
    """
    sessions = sessions_of(engine)
    connector = connector_of(engine)
    try:
        async with engine.connect() as connection:
            pooled = await connection.run_sync(_is_pooled)
            if pooled and not sessions.own_login:
                sys.exit(f"{variable}: {_NO_LOGINS}")
            if sessions.own_login:
                names = {"names": list(sessions.settings)}
                _must_fit((await connection.execute(_SESSION, names)).one(), sessions, variable)
            if pooled and not connector.pooler_prepares:
                connector.prepares = False
                await connection.invalidate()  # the next one prepares nothing
    except DBAPIError as error:
        sys.exit(why_not(error, variable))


async def require_direct(connector: Connector, parameters: Mapping[str, str], *, variable: str) -> None:
    """Stop the process, naming ``variable``, unless ``parameters`` lead to PostgreSQL itself."""
    try:
        connection = await connector.connect(**parameters)
    except psycopg.OperationalError as error:
        sys.exit(f"{variable}: {_REFUSED} ({type(error).__name__})")
    try:
        row = await (await connection.execute(_BACKEND)).fetchone()
        if row != (connection.info.backend_pid,):
            sys.exit(f"{variable}: {_NOT_DIRECT}")
    finally:
        await connection.close()


def must_be_direct(connection: Connection, variable: str) -> None:
    """Stop the process, naming ``variable``, when a pooler is between it and PostgreSQL."""
    if _is_pooled(connection):
        sys.exit(f"{variable}: {_NOT_DIRECT}")


def why_not(error: DBAPIError, variable: str) -> str:
    """Return why the first connection failed, in one line without a value of the connection string."""
    # PgBouncer rejects the options with which a session begins. A refused connection has no SQLSTATE, only a text that
    # quotes the login and the host.
    pooled = "unsupported startup parameter" in str(error.orig)
    return f"{variable}: {_NO_LOGINS if pooled else _REFUSED} ({type(error.orig).__name__})"


def _is_pooled(connection: Connection) -> bool:
    """Return whether another backend answers than the one that the login named: a pooler invents its process id."""
    driver: Any = connection.connection.driver_connection
    return bool(connection.exec_driver_sql(_BACKEND).scalar() != driver.info.backend_pid)


def _must_fit(found: Any, sessions: Sessions, variable: str) -> None:
    """Stop the process when a login leads to another role, or to sessions without limits."""
    if found.role != sessions.role:
        sys.exit(f"{variable}: its sessions act as {found.role}; the login must be {sessions.role}")
    if found.missing:
        sys.exit(
            f"{variable}: the login {found.role} lacks the settings {', '.join(found.missing)}; "
            "run the service's 'migrate --logins', and let the pooler connect again (RECONNECT)"
        )
