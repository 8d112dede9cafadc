"""Bring the schema to the newest version."""

from pathlib import Path
from typing import Final

from ticketcap_chassis.database import migration

_LOCK: Final = 5_027_144_001


def migrate(database_url: str) -> None:
    """Run the missing migrations as the login of ``database_url``."""
    migration.migrate(database_url, Path(__file__).parent / "migrations", lock=_LOCK)
