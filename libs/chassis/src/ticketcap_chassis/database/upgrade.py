"""Upgrade a service's schema with Alembic, one process at a time."""

import sys
import time
from pathlib import Path
from typing import Final

from alembic import command, context
from alembic.config import Config
from sqlalchemy import URL, Connection, Engine, MetaData, NullPool, create_engine, text
from sqlalchemy.exc import DBAPIError
from ticketcap_observability import get_logger

from ticketcap_chassis.database.engine import driver_url
from ticketcap_chassis.database.first_connection import must_be_direct, why_not

_MAINTENANCE: Final = "postgres"
_LOCK_SECONDS: Final = 120
"""How long an upgrade waits for another process's locks before it fails."""
_LOOK_SECONDS: Final = 0.1
"""Pause between two looks at another process's lock."""

_log = get_logger(__name__)


def upgrade(database_url: str, migrations: Path, *, lock: int, variable: str) -> None:
    """Create the database if it is missing, and run the missing migrations; see ``migration.migrate``."""
    url = driver_url(database_url)
    _create_database(url)
    with _connected(create_engine(url, poolclass=NullPool), variable) as connection:
        # The lock below belongs to a session: a pooler would leave it behind in a session of another client.
        must_be_direct(connection, variable)
        # For the lock below and for each table's: a migration that waits for a table delays every later statement.
        connection.execute(text(f"SET lock_timeout = '{_LOCK_SECONDS}s'"))
        connection.commit()
        _take_lock(connection, lock)
        command.upgrade(configuration(connection, migrations), "head")
        connection.commit()


def _take_lock(connection: Connection, lock: int) -> None:
    """Wait for another process's upgrade, each look in a transaction of its own; stop the process after a limit.

    A session that waits inside of pg_advisory_lock holds a snapshot. CREATE INDEX CONCURRENTLY in the other process's
    upgrade waits until older snapshots are gone: each of the two would wait for the other.
    """
    until = time.monotonic() + _LOCK_SECONDS
    while not connection.scalar(text("SELECT pg_try_advisory_lock(:lock)"), {"lock": lock}):
        connection.commit()
        if time.monotonic() > until:
            sys.exit(f"another process still upgrades this database after {_LOCK_SECONDS} s; end it and start again")
        time.sleep(_LOOK_SECONDS)
    connection.commit()


def _connected(engine: Engine, variable: str) -> Connection:
    try:
        return engine.connect()
    except DBAPIError as error:
        sys.exit(why_not(error, variable))


def _create_database(url: URL) -> None:
    if url.database is None:  # a service file, PGDATABASE or the login names it
        return
    engine = create_engine(url.set(database=_MAINTENANCE), poolclass=NullPool, isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            query = text("SELECT 1 FROM pg_database WHERE datname = :name")
            if not connection.scalar(query, {"name": url.database}):
                quoted = connection.dialect.identifier_preparer.quote(url.database)
                connection.execute(text(f"CREATE DATABASE {quoted}"))
    except DBAPIError as error:
        # The maintenance database is closed to the login, or it may create none, or another replica was first. The
        # connection that follows says whether the database exists.
        _log.info("database.not_made", database=url.database, reason=type(error.orig).__name__)


def configuration(connection: Connection, migrations: Path) -> Config:
    """Return Alembic's configuration for one connection."""
    config = Config()
    config.set_main_option("script_location", str(migrations))
    config.attributes["connection"] = connection
    return config


def run(metadata: MetaData) -> None:
    """Run the migrations over the connection of ``upgrade``; a migration folder's ``env.py`` calls it."""
    connection: Connection = context.config.attributes["connection"]
    context.configure(connection=connection, target_metadata=metadata, compare_type=True)
    with context.begin_transaction():
        context.run_migrations()
