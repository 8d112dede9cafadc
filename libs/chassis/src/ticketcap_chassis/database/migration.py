"""Bring a service's schema to its newest version.

Most starts find nothing to do, and Alembic is large: one query decides before it is imported.
"""

from pathlib import Path

import psycopg
from psycopg.conninfo import make_conninfo

from ticketcap_chassis.database.connection_string import connection_parameters


def migrate(database_url: str, migrations: Path, *, lock: int, variable: str = "DATABASE_URL") -> None:
    """Run the missing migrations of the folder ``migrations`` as the login of ``database_url``.

    Several replicas may run it at once. ``lock`` is a number that no other code in this database locks. A missing
    database is created where the login may do that. A failure to connect ends the process in one line that names
    ``variable``.
    """
    if not _is_newest(database_url, head(migrations)):
        from ticketcap_chassis.database.upgrade import upgrade

        upgrade(database_url, migrations, lock=lock, variable=variable)


def head(migrations: Path) -> str:
    """Return the newest revision of the folder: the prefix of its last file, such as 0003 of ``0003_terms.py``."""
    return max(path.name for path in (migrations / "versions").glob("[0-9]*.py")).partition("_")[0]


def _is_newest(database_url: str, revision: str) -> bool:
    try:
        with psycopg.connect(make_conninfo(**connection_parameters(database_url))) as connection:
            rows = connection.execute(
                "-- migration.revision: Read the schema's version.\nSELECT version_num FROM alembic_version"
            ).fetchall()
    except psycopg.Error:
        # No server, no database or no table yet: the upgrade finds out which and says so.
        return False
    return rows == [(revision,)]
