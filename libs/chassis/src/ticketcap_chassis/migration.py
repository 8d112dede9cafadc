"""Brings a service's schema to its newest version. Safe to run from several replicas at once.

Alembic is large: only migrations import this.
"""

from pathlib import Path

from alembic import command, context
from alembic.config import Config
from sqlalchemy import Connection, MetaData, NullPool, create_engine, text

from ticketcap_chassis.database import driver_url


def migrate(database_url: str, migrations: Path, *, lock: int) -> None:
    """Run what is missing of the folder ``migrations`` as the login of ``database_url``.

    ``lock`` is any number that nothing else in this database locks: one process migrates at a time.
    """
    engine = create_engine(driver_url(database_url), poolclass=NullPool)
    with engine.connect() as connection:
        connection.execute(text("SELECT pg_advisory_lock(:lock)"), {"lock": lock})
        connection.commit()
        command.upgrade(configuration(connection, migrations), "head")
        connection.commit()


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
