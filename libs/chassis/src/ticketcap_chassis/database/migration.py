"""Brings a service's schema to its newest version. Safe to run from several replicas at once.

Alembic is large: only migrations import this.
"""

import sys
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
"""How long a migration waits for another process's locks before it fails."""

_log = get_logger(__name__)


def migrate(database_url: str, migrations: Path, *, lock: int) -> None:
    """Run what is missing of the folder ``migrations`` as the login of ``database_url``.

    ``lock`` is any number that nothing else in this database locks: one process migrates at a time. A database that
    is not there is made, where the login may do that.
    """
    url = driver_url(database_url)
    _make_database(url)
    with _connected(create_engine(url, poolclass=NullPool)) as connection:
        # The lock below belongs to a session: through a pooler it would be left behind in one that is not ours.
        must_be_direct(connection)
        # For the lock below, and for each table's: a migration that waits for a table holds all others' statements up.
        connection.execute(text(f"SET lock_timeout = '{_LOCK_SECONDS}s'"))
        connection.execute(text("SELECT pg_advisory_lock(:lock)"), {"lock": lock})
        connection.commit()
        command.upgrade(configuration(connection, migrations), "head")
        connection.commit()


def _connected(engine: Engine) -> Connection:
    try:
        return engine.connect()
    except DBAPIError as error:
        sys.exit(why_not(error))


def _make_database(url: URL) -> None:
    if url.database is None:  # a service file or PGDATABASE names it, or it is the login's own
        return
    engine = create_engine(url.set(database=_MAINTENANCE), poolclass=NullPool, isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            there = connection.scalar(text("SELECT 1 FROM pg_database WHERE datname = :name"), {"name": url.database})
            if not there:
                quoted = connection.dialect.identifier_preparer.quote(url.database)
                connection.execute(text(f"CREATE DATABASE {quoted}"))
    except DBAPIError as error:
        # No way into the maintenance database, no right to make one, or another replica was first: connecting tells.
        _log.info("database.not_made", database=url.database, reason=type(error.orig).__name__)


def configuration(connection: Connection, migrations: Path) -> Config:
    """Return Alembic's configuration for one connection."""
    config = Config()
    config.set_main_option("script_location", str(migrations))
    config.attributes["connection"] = connection
    return config


def run(metadata: MetaData) -> None:
    """Run the migrations over the connection that ``migrate`` handed on; for a migration folder's ``env.py``."""
    connection: Connection = context.config.attributes["connection"]
    context.configure(connection=connection, target_metadata=metadata, compare_type=True)
    with context.begin_transaction():
        context.run_migrations()
