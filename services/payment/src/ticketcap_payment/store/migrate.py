"""Bring the schema to the newest version."""

from pathlib import Path
from typing import Final

from ticketcap_chassis.database import logins, migration
from ticketcap_chassis.database.settings import MigrateSettings

from ticketcap_payment.store import roles

_LOCK: Final = 5_027_144_002


def migrate(database_url: str, *, variable: str = "DATABASE_URL") -> None:
    """Run the missing migrations as the login of ``database_url``, which comes from ``variable``."""
    migration.migrate(database_url, Path(__file__).parent / "migrations", lock=_LOCK, variable=variable)


def create_logins(settings: MigrateSettings) -> None:
    """Give the service's roles their logins."""
    logins.create_logins(settings, app=roles.APP, jobs=roles.JOBS, session=roles.SESSION, lock=_LOCK)
