"""Where a page ended, as callers carry it: opaque, and checked when it comes back."""

import base64
import binascii
import re
from datetime import datetime
from typing import Final
from uuid import UUID

from ticketcap_chassis.errors import InvalidInput

from ticketcap_registration.store.changes import ChangePosition

Position = tuple[datetime, UUID]

_CHANGE: Final = re.compile(r"([0-9]{1,18})\.([0-9]{1,18})")


def write(position: Position) -> str:
    """Return a cursor that stands behind ``position``."""
    at, row_id = position
    return base64.urlsafe_b64encode(f"{at.isoformat()} {row_id}".encode()).decode()


def read(cursor: str) -> Position | None:
    """Return the position of a cursor, None for the empty one; raise InvalidInput for one that is not ours."""
    if not cursor:
        return None
    try:
        at, row_id = base64.urlsafe_b64decode(cursor.encode()).decode().split(" ")
        position = datetime.fromisoformat(at), UUID(row_id)
    except (ValueError, binascii.Error):
        raise InvalidInput.of("cursor", "is not one that a page ended with") from None
    if position[0].tzinfo is None:
        raise InvalidInput.of("cursor", "is not one that a page ended with")
    return position


def write_change(position: ChangePosition) -> str:
    """Return the cursor of a reader of changes."""
    return f"{position.transaction}.{position.id}"


def read_change(cursor: str) -> ChangePosition:
    """Return where a reader of changes stands; raise InvalidInput for a cursor that is not ours."""
    if not cursor:
        return ChangePosition()
    match = _CHANGE.fullmatch(cursor)
    if match is None:
        raise InvalidInput.of("cursor", "is not one that an answer held")
    return ChangePosition(int(match[1]), int(match[2]))
