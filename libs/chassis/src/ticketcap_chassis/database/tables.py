"""How every service spells its tables: the names of constraints, and the types that Python's stand for."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import DateTime, Integer, MetaData, Text, Uuid
from sqlalchemy.dialects.postgresql import JSONB

TYPES: Final[dict[Any, Any]] = {
    datetime: DateTime(timezone=True),
    UUID: Uuid(),
    str: Text(),
    int: Integer(),
    dict[str, Any]: JSONB(),
}
"""Times carry their zone."""


def metadata() -> MetaData:
    """Return the metadata of one service's tables; their constraints are named alike everywhere."""
    return MetaData(
        naming_convention={
            "pk": "%(table_name)s_pkey",
            "uq": "%(table_name)s_%(column_0_N_name)s_key",
            "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
            "ck": "%(table_name)s_%(constraint_name)s",
        }
    )


def one_of(values: Iterable[str]) -> str:
    """Return ``values`` as an SQL list, always in the same order."""
    return ", ".join(f"'{value}'" for value in sorted(values))
