"""Name constraints and map Python's types for every service's tables."""

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
"""SQL types by Python type; times carry their zone."""


def metadata() -> MetaData:
    """Return metadata for one service's tables, with one naming rule for constraints."""
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
