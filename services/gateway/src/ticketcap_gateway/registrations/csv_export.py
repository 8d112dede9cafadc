"""Export an event's registrations for spreadsheets."""

import re
from collections.abc import Iterable, Sequence
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from ticketcap.registration.v1 import registration_pb2 as pb
from ticketcap_chassis.identity.roles import VIEWERS

from ticketcap_gateway.access.callers import ORGANISER, Access
from ticketcap_gateway.access.paths import event_of
from ticketcap_gateway.edge.csv_file import csv_download, csv_response, israel_time
from ticketcap_gateway.edge.messages import enum_name
from ticketcap_gateway.edge.operation import Operation
from ticketcap_gateway.services.registration import RegistrationClient

COLUMNS: Final = (
    "confirmation_code",
    "status",
    "name",
    "phone",
    "email",
    "spots",
    "waitlist_position",
    "hold_expires_at",
    "created_at",
    "cancelled_at",
    "cancel_reason",
    "checked_in_at",
    "id",
)
_ISRAELI: Final = re.compile(r"\+972(\d{1,2})(\d{3})(\d{4})")


class RegistrationsCsv:
    """Serves an event's registrations as a file. ``seconds`` bounds the whole download."""

    def __init__(self, registration: RegistrationClient, access: Access, *, seconds: float) -> None:
        self._registration = registration
        self._access = access
        self._seconds = seconds

    def operations(self) -> Sequence[Operation]:
        """Return the call."""
        return (
            Operation(
                method="GET",
                path="/api/v1/schools/{school}/events/{event}/registrations.csv",
                name="exportRegistrations",
                summary="Every registration of an event, oldest first, for a spreadsheet. VIEWER and up.",
                topic="Registrations",
                handler=self.export,
                caller=ORGANISER,
                seconds=self._seconds,
                responses=[csv_response(COLUMNS, "Israeli phones are in local spelling.")],
            ),
        )

    async def export(self, request: Request) -> Response:
        """Stream the file."""
        school, event = event_of(request)
        token = await self._access.organiser(request, VIEWERS, school)
        message = pb.ExportRegistrationsRequest(school=school, event=event)
        portions = self._registration.stream(self._registration.rpc.ExportRegistrations, message, token)
        return await csv_download(f"{school}-{event}-registrations", COLUMNS, portions, _rows)


def _rows(message: pb.ExportRegistrationsResponse) -> Iterable[Sequence[str]]:
    return (_row(registration) for registration in message.items)


def local_phone(e164: str) -> str:
    """Return an Israeli number as people write it, 050-123-4567: a spreadsheet leaves it as it is."""
    israeli = _ISRAELI.fullmatch(e164)
    return f"0{israeli[1]}-{israeli[2]}-{israeli[3]}" if israeli else e164


def _row(registration: pb.Registration) -> Sequence[str]:
    return (
        registration.confirmation_code,
        enum_name(pb.RegistrationStatus.DESCRIPTOR, registration.status),
        registration.name,
        local_phone(registration.phone),
        registration.email,
        str(registration.spots),
        str(registration.waitlist_position) if registration.HasField("waitlist_position") else "",
        _when(registration, "hold_expires_at"),
        _when(registration, "created_at"),
        _when(registration, "cancelled_at"),
        registration.cancel_reason,
        _when(registration, "checked_in_at"),
        registration.id,
    )


def _when(registration: pb.Registration, name: str) -> str:
    """Return a time of a registration in Israel; "" when it is not set."""
    return israel_time(getattr(registration, name)) if registration.HasField(name) else ""
