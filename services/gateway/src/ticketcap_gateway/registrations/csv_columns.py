"""State the columns of an event's CSV."""

import re
from collections.abc import Callable, Mapping
from typing import Final

from ticketcap.registration.v1 import registration_pb2 as pb

from ticketcap_gateway.edge.csv_file import israel_time
from ticketcap_gateway.edge.messages import enum_name

_ISRAELI: Final = re.compile(r"\+972(\d{1,2})(\d{3})(\d{4})")


def local_phone(e164: str) -> str:
    """Return an Israeli number as people write it, 050-123-4567: a spreadsheet leaves it as it is."""
    israeli = _ISRAELI.fullmatch(e164)
    return f"0{israeli[1]}-{israeli[2]}-{israeli[3]}" if israeli else e164


def _time(name: str) -> Callable[[pb.Registration], str]:
    """Return the cell of a time in Israel; "" when it is not set."""
    return lambda row: israel_time(getattr(row, name)) if row.HasField(name) else ""


COLUMNS: Final[Mapping[str, Callable[[pb.Registration], str]]] = {
    "confirmation_code": lambda row: row.confirmation_code,
    "status": lambda row: enum_name(pb.RegistrationStatus.DESCRIPTOR, row.status),
    "name": lambda row: row.name,
    "phone": lambda row: local_phone(row.phone),
    "email": lambda row: row.email,
    "spots": lambda row: str(row.spots),
    "waitlist_position": lambda row: str(row.waitlist_position) if row.HasField("waitlist_position") else "",
    "hold_expires_at": _time("hold_expires_at"),
    "created_at": _time("created_at"),
    "cancelled_at": _time("cancelled_at"),
    "cancel_reason": lambda row: row.cancel_reason,
    "checked_in_at": _time("checked_in_at"),
    "id": lambda row: row.id,
}
