"""Brings the schema to the newest version. Safe to run from several replicas at once."""

from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, NullPool, create_engine, text
from ticketcap_chassis.database import driver_url

# Any number that nothing else in this database locks.
_LOCK: Final = 5_027_144_001


def migrate(database_url: str) -> None:
    """Run the missing migrations as the login of ``database_url``, one process at a time."""
    engine = create_engine(driver_url(database_url), poolclass=NullPool)
    with engine.connect() as connection:
        connection.execute(text("SELECT pg_advisory_lock(:lock)"), {"lock": _LOCK})
        connection.commit()
        command.upgrade(configuration(connection), "head")
        connection.commit()


def configuration(connection: Connection) -> Config:
    """Return Alembic's configuration for one connection."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    return config
