"""The CSV export: right in Excel, safe in any spreadsheet, whole or visibly cut off."""

import csv
import io

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ticketcap.registration.v1 import registration_pb2 as pb
from ticketcap_chassis.errors import NotFound, Unavailable
from ticketcap_gateway.http.csv_export import COLUMNS, local_phone
from ticketcap_gateway.http.csv_file import lines, safe
from ticketcap_gateway.testing import FakeRegistration, a_registration, bearer

PATH = "/api/v1/schools/herzl/events/football/registrations.csv"


async def test_the_file_opens_right_with_hebrew(client: httpx.AsyncClient, registration: FakeRegistration) -> None:
    """UTF-8 with its mark, CRLF, one header, quoted where needed, local phones, a safe file name."""
    first = a_registration(email="noa@example.org")
    second = a_registration(
        name='לוי, "דן"\r\nכהן',
        status=pb.REGISTRATION_STATUS_WAITLISTED,
        waitlist_position=4,
        cancel_reason='=HYPERLINK("http://example.org")',
    )
    registration.portions = [pb.ExportRegistrationsResponse(items=[item]) for item in (first, second)]
    response = await client.get(PATH, headers=bearer("VIEWER"))
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/csv; charset=utf-8"
    assert response.headers["content-disposition"] == 'attachment; filename="herzl-football-registrations.csv"'
    assert response.headers["cache-control"] == "no-store"
    assert response.content.startswith(b"\xef\xbb\xbfconfirmation_code,status,")
    rows = list(csv.DictReader(io.StringIO(response.content.decode("utf-8-sig"), newline="")))
    assert [row["name"] for row in rows] == ["נועה ג'ונס-לוי", 'לוי, "דן"\r\nכהן']
    assert (rows[0]["phone"], rows[0]["email"], rows[0]["waitlist_position"]) == ("050-123-4567", "noa@example.org", "")
    assert (rows[1]["status"], rows[1]["waitlist_position"]) == ("WAITLISTED", "4")
    assert rows[1]["cancel_reason"].startswith("'=")
    assert rows[0]["created_at"] == "2026-09-21 14:13:20"


async def test_an_empty_event_has_a_header_line(client: httpx.AsyncClient) -> None:
    """A file of nothing still names its columns."""
    response = await client.get(PATH, headers=bearer())
    assert response.content == b"\xef\xbb\xbf" + ",".join(COLUMNS).encode() + b"\r\n"


async def test_an_error_before_the_first_line_has_a_status(
    client: httpx.AsyncClient, registration: FakeRegistration
) -> None:
    """An unknown event is a 404, not an empty file; a role too low is a 403; no token is a 401."""
    registration.failures["ExportRegistrations"] = NotFound("no such event")
    assert (await client.get(PATH, headers=bearer())).status_code == 404
    assert (await client.get(PATH)).status_code == 401


async def test_a_file_that_breaks_off_is_no_whole_file(
    client: httpx.AsyncClient, registration: FakeRegistration
) -> None:
    """When the service fails midway the download fails too."""
    registration.portions = [pb.ExportRegistrationsResponse(items=[a_registration()])]
    registration.failures["ExportEnd"] = Unavailable("gone")
    with pytest.raises(httpx.RemoteProtocolError):
        await client.get(PATH, headers=bearer())


@pytest.mark.parametrize(
    "cell", ["=1+1", "+1", "-1", "@SUM(A1)", " =1", "\t=1", "\r=1", "\n=1", "\u00a0=1", "\uff1d1", "\uff20x", "\tx"]
)
def test_formulas_are_disarmed(cell: str) -> None:
    """Whatever a spreadsheet would run gets an apostrophe in front."""
    assert safe(cell) == "'" + cell


def test_plain_cells_stay_as_they_are() -> None:
    """Names and addresses are not touched."""
    for cell in ("", "נועה", "O'Brien", "a=b", "noa@example.org", "050-123-4567", "2026-09-21 14:13:20"):
        assert safe(cell) == cell


def test_phones_are_written_as_people_write_them() -> None:
    """Mobile and landline; what is no Israeli number stays and is disarmed."""
    assert local_phone("+972501234567") == "050-123-4567"
    assert local_phone("+97226231234") == "02-623-1234"
    assert safe(local_phone("+15551234567")) == "'+15551234567"


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00")), min_size=2, max_size=4))
def test_every_row_reads_back(row: list[str]) -> None:
    """Whatever a cell holds, a reader gets it back, disarmed."""
    (read,) = csv.reader(io.StringIO(lines([row]).decode(), newline=""))
    assert read == [safe(cell) for cell in row]
