"""Read and write the cursors that callers carry from page to page."""

import base64
import binascii
from datetime import datetime
from uuid import UUID

from ticketcap_chassis.errors import InvalidInput

PagePosition = tuple[datetime, UUID]
"""The time and the id of a page's last row; the next page begins after it."""


def write_page(position: PagePosition) -> str:
    """Return the opaque cursor of the page after ``position``."""
    at, row_id = position
    return base64.urlsafe_b64encode(f"{at.isoformat()} {row_id}".encode()).decode()


def read_page(cursor: str) -> PagePosition | None:
    """Return the position of a page's cursor, None for the empty one; raise InvalidInput for any other text."""
    if not cursor:
        return None
    try:
        at, row_id = base64.urlsafe_b64decode(cursor.encode()).decode().split(" ")
        position = datetime.fromisoformat(at), UUID(row_id)
    except (ValueError, binascii.Error):
        position = None
    if position is None or position[0].tzinfo is None:
        raise InvalidInput.of("cursor", "is invalid; send the next_cursor of a page, or none")
    return position
