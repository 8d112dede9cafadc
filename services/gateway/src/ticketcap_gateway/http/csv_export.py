"""An event's registrations as CSV that opens right in Excel, Hebrew included."""

import csv
import io
import re
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import AsyncExitStack, aclosing
from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp
from starlette.requests import Request
from starlette.responses import Response
from ticketcap.registration.v1 import registration_pb2 as pb
from ticketcap_chassis.identity import VIEWERS

from ticketcap_gateway.http import translate
from ticketcap_gateway.http.access import Access, event_of
from ticketcap_gateway.http.operation import Answer, Caller, Operation
from ticketcap_gateway.http.responses import StreamedResponse
from ticketcap_gateway.registration_client import RegistrationClient

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
# Excel takes UTF-8 for what it is only after this mark.
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
# What a spreadsheet runs as a formula, in half and full width, also behind blanks.
_FORMULA: Final = re.compile(r"\s*[=+\-@\uff1d\uff0b\uff0d\uff20]|[\t\r\n]")
_ISRAELI: Final = re.compile(r"\+972(\d{1,2})(\d{3})(\d{4})")
_UNSAFE_IN_NAME: Final = re.compile(r"[^A-Za-z0-9-]")


class CsvExport:
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
                caller=Caller.ORGANISER,
                seconds=self._seconds,
                answers=[
                    Answer(
                        status=200,
                        description="UTF-8 with byte order mark, CRLF, times in UTC, Israeli phones in local spelling.",
                        body=",".join(COLUMNS) + "\r\n",
                        media_type="text/csv",
                        headers={"Content-Disposition": "attachment, with a file name"},
                    )
                ],
            ),
        )

    async def export(self, request: Request) -> Response:
        """Stream the file. The first portion is fetched before the answer begins, so that an error has a status."""
        school, event = event_of(request)
        token = await self._access.organiser(request, VIEWERS, school)
        message = pb.ExportRegistrationsRequest(school=school, event=event)
        async with AsyncExitStack() as stack:
            portions = self._registration.export_registrations(message, token)
            await stack.enter_async_context(aclosing(portions))
            first = await anext(portions, pb.ExportRegistrationsResponse())
            headers = {
                "content-type": "text/csv; charset=utf-8",
                "content-disposition": f'attachment; filename="{_file_name(school, event)}"',
            }
            return StreamedResponse(_file(first, portions), resources=stack.pop_all(), headers=headers)


def _file_name(school: str, event: str) -> str:
    return _UNSAFE_IN_NAME.sub("_", f"{school}-{event}-registrations") + ".csv"


async def _file(
    first: pb.ExportRegistrationsResponse, others: AsyncGenerator[pb.ExportRegistrationsResponse, None]
) -> AsyncGenerator[bytes, None]:
    yield _BYTE_ORDER_MARK + lines([COLUMNS]) + _portion(first)
    async for portion in others:
        yield _portion(portion)


def _portion(message: pb.ExportRegistrationsResponse) -> bytes:
    return lines(_row(registration) for registration in message.items)


def lines(rows: Iterable[Sequence[str]]) -> bytes:
    """Return rows as CSV in UTF-8, with every cell made safe."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerows([safe(cell) for cell in row] for row in rows)
    return text.getvalue().encode()


def safe(cell: str) -> str:
    """Return ``cell`` so that no spreadsheet runs it as a formula."""
    return f"'{cell}" if _FORMULA.match(cell) else cell


def local_phone(e164: str) -> str:
    """Return an Israeli number as people write it, 050-123-4567: a spreadsheet leaves that as it is."""
    israeli = _ISRAELI.fullmatch(e164)
    return f"0{israeli[1]}-{israeli[2]}-{israeli[3]}" if israeli else e164


def _row(registration: pb.Registration) -> Sequence[str]:
    return (
        registration.confirmation_code,
        translate.registration_status_name(registration.status),
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
    """Return a time as spreadsheets read it, in UTC; "" when it is not set."""
    if not registration.HasField(name):
        return ""
    stamp: Timestamp = getattr(registration, name)
    return stamp.ToDatetime().strftime("%Y-%m-%d %H:%M:%S")
