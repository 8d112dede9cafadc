"""Change tables in migrations while services use them."""

import time
from typing import Final

from alembic import op
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

_TRIES: Final = 600
_LOCK_MILLISECONDS: Final = 100
"""Limit of the wait for the tables in one try. PostgreSQL detects deadlocks after a second: this wait causes none."""
_PAUSE_SECONDS: Final = 0.1


def build_index(name: str, place: str, *, unique: bool = False) -> None:
    """Build an index on ``place``, such as ``seats (row)``, without a lock; commit what the migration did before.

    A build that was interrupted leaves an invalid index, which the next attempt replaces.
    """
    with op.get_context().autocommit_block():
        op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
        op.execute(f"CREATE {'UNIQUE ' if unique else ''}INDEX CONCURRENTLY {name} ON {place}")


def lock_tables(*tables: str) -> None:
    """Lock tables until the migration's transaction ends; give up after two minutes.

    A service's transaction holds some of the tables and waits for others. So each try waits for a moment only, and then
    lets go of all of them: no statement of a service waits longer than that.
    """
    connection = op.get_bind()
    for attempt in range(1, _TRIES + 1):
        try:
            with connection.begin_nested():
                connection.execute(text(f"SET LOCAL lock_timeout = '{_LOCK_MILLISECONDS}ms'"))
                connection.execute(text(f"LOCK TABLE {', '.join(tables)} IN ACCESS EXCLUSIVE MODE"))
        except OperationalError:
            if attempt == _TRIES:
                raise
            time.sleep(_PAUSE_SECONDS)
        else:
            return
