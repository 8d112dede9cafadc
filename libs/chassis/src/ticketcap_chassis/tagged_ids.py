"""Make ids that carry their school's tag, and read it.

An id ends with the last four hex digits of its school's id, so a look-up by a bare id asks the schools with that tag,
usually one, instead of all. The tag is no secret and proves nothing: row-level security decides who sees the row.
"""

from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from uuid_utils.compat import uuid7

_TAG_BITS: Final = 16
_TAG_MASK: Final = (1 << _TAG_BITS) - 1
_TIME_SHIFT: Final = 80
_VERSION: Final = 7


def tagged_uuid7(school_id: UUID) -> UUID:
    """Return a new UUIDv7 with the tag of a school.

    ``uuid7`` fills an id with 48 bits of time (ms), 42 of a counter and 32 random bits. The tag takes the last 16 of
    them. The counter starts each millisecond at 41 random bits and grows with each id, so ids of one process stay
    unique and sorted; 57 random bits keep those of several processes apart.
    """
    return UUID(int=(uuid7().int & ~_TAG_MASK) | (school_id.int & _TAG_MASK))


def tag_of(school_or_tagged_id: UUID) -> str:
    """Return the tag in a school's id, or in an id that was made for the school: four hex digits."""
    return f"{school_or_tagged_id.int & _TAG_MASK:04x}"


def time_of(uuid: UUID) -> datetime | None:
    """Return when a UUIDv7 was made, or None for another version."""
    if uuid.version != _VERSION:
        return None
    return datetime.fromtimestamp((uuid.int >> _TIME_SHIFT) / 1000, UTC)
