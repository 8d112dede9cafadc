"""Check the event's CSV in spreadsheets, and its errors."""

import csv
import io

import httpx
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st
from ticketcap.registration.v1 import registration_pb2 as pb
from ticketcap_chassis.errors import NotFound, Unavailable
from ticketcap_gateway.edge.csv_file import as_text, israel_time, lines
from ticketcap_gateway.registrations.csv_columns import COLUMNS, local_phone
from ticketcap_testing.service_fakes import REGISTRATION_ID, FakeRegistration, a_registration, bearer

PATH = "/api/v1/schools/herzl/events/football/registrations.csv"


async def test_the_file_opens_right_with_hebrew(client: httpx.AsyncClient, registration: FakeRegistration) -> None:
    """UTF-8 with its mark, CRLF, one header, every cell quoted, local phones, a safe file name."""
    first = a_registration(email="noa@example.org")
    second = a_registration(
        name='לוי, "דן"\r\nכהן',
        status=pb.REGISTRATION_STATUS_WAITLISTED,
        waitlist_position=4,
        cancel_reason='=HYPERLINK("http://example.org")',
    )
    registration.batches = [pb.ExportRegistrationsResponse(items=[item]) for item in (first, second)]
    response = await client.get(PATH, headers=bearer("VIEWER"))
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/csv; charset=utf-8"
    assert response.headers["content-disposition"] == 'attachment; filename="herzl-football-registrations.csv"'
    assert response.headers["cache-control"] == "no-store"
    assert response.content.startswith(b'\xef\xbb\xbf"confirmation_code","status",')
    rows = list(csv.DictReader(io.StringIO(response.content.decode("utf-8-sig"), newline="")))
    assert [row["name"] for row in rows] == ["נועה ג'ונס-לוי", 'לוי, "דן"\r\nכהן']
    assert (rows[0]["phone"], rows[0]["email"], rows[0]["waitlist_position"]) == ("050-123-4567", "noa@example.org", "")
    assert (rows[1]["status"], rows[1]["waitlist_position"]) == ("WAITLISTED", "'4")
    assert (rows[0]["spots"], rows[0]["id"]) == ("'2", REGISTRATION_ID)
    assert rows[1]["cancel_reason"].startswith("'=")
    assert rows[0]["created_at"] == "2026-09-21 17:13:20+03:00[Asia/Jerusalem]"


async def test_an_empty_event_has_a_header_line(client: httpx.AsyncClient) -> None:
    """A file of nothing still names its columns."""
    response = await client.get(PATH, headers=bearer())
    assert response.content == b"\xef\xbb\xbf" + ",".join(f'"{name}"' for name in COLUMNS).encode() + b"\r\n"


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
    registration.batches = [pb.ExportRegistrationsResponse(items=[a_registration()])]
    registration.failures["ExportEnd"] = Unavailable("gone")
    with pytest.raises(httpx.RemoteProtocolError):
        await client.get(PATH, headers=bearer())


INVISIBLE = "\u200b\u200e\u202e\u2066\u2060\ufeff\u00ad\u034f\u180e\ufe0f\u3164\u115f\u2800\U000e0001\x00\x07\x85"
FORMULAS = [
    *("=1+1", "+1", "-1", "@SUM(A1)", "\uff1d1+1", "\uff0b1", "\uff0d1", "\uff20x", "\ufe661", "\u22121", "|cmd", "%x"),
    *(f"{before}=1+1" for before in " \t\r\n\u00a0\u3000" + INVISIBLE),
    *(f"{before}=HYPERLINK(A1)" for before in ("\u200b\u200e", " \ufeff", "\u200f ")),
]
FIGURES = [
    *("1", "-0.05", "100.05", "1,000", "1e5", "234E5678", "(5)", "50%", "$5", "₪5", "٥", "\uff15", "TRUE", "false"),
    *(
        "2026-09-21 14:13:20",
        "2026-09-21",
        "1/2",
        "1.2.2026",
        "1:30",
        "5 pm",
        "March 5",
        "12MAR23",
        "4JUN2026",
        "5 במרץ",
    ),
    *("5 במרץ", "'1", "'", "\t1", " 1", "#N/A", "0501234567", "+15551234567", "05-06-2024"),
]


@pytest.mark.parametrize("cell", [*FORMULAS, *FIGURES], ids=ascii)
def test_what_a_spreadsheet_could_read_stands_behind_an_apostrophe(cell: str) -> None:
    """Formulas, also behind invisible characters, numbers, dates, times, booleans; one apostrophe more for one."""
    assert as_text(cell) == "'" + cell


PLAIN = ["", "נועה", "O'Brien", "a=b", "noa@example.org", "jan5@mar.il", "050-123-4567", "02-623-1234"]
PLAIN += [REGISTRATION_ID, "K7M3QX", "TCABCDEFGH23456789JK", "WAITLISTED", 'לוי, "דן"\r\nכהן', "Grade 4 b"]


@pytest.mark.parametrize("cell", PLAIN)
def test_plain_cells_stay_as_they_are(cell: str) -> None:
    """Names, addresses, ids and codes are not touched."""
    assert as_text(cell) == cell


def test_phones_are_written_as_people_write_them() -> None:
    """Mobile and landline; what is no Israeli number stays and is disarmed."""
    assert as_text(local_phone("+972501234567")) == "050-123-4567"
    assert as_text(local_phone("+97226231234")) == "02-623-1234"
    assert as_text(local_phone("+15551234567")) == "'+15551234567"


@pytest.mark.parametrize(
    ("utc", "israel"),
    [
        ("2026-09-21T14:13:20.987Z", "2026-09-21 17:13:20+03:00[Asia/Jerusalem]"),
        ("2026-12-31T22:30:00Z", "2027-01-01 00:30:00+02:00[Asia/Jerusalem]"),
        # The hour that comes twice when summer time ends.
        ("2026-10-24T22:30:00Z", "2026-10-25 01:30:00+03:00[Asia/Jerusalem]"),
        ("2026-10-24T23:30:00Z", "2026-10-25 01:30:00+02:00[Asia/Jerusalem]"),
    ],
)
def test_times_are_israels_with_their_zone(utc: str, israel: str) -> None:
    """Summer and winter, and each of two equal hours."""
    stamp = Timestamp()
    stamp.FromJsonString(utc)
    assert israel_time(stamp) == israel


ROWS = st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00")), min_size=2, max_size=4)


@given(ROWS)
def test_every_row_reads_back(row: list[str]) -> None:
    """A reader that removes one apostrophe gets every cell back; every cell is quoted."""
    line = lines([row]).decode()
    (read,) = csv.reader(io.StringIO(line, newline=""))
    assert [cell.removeprefix("'") for cell in read] == row
    assert line.startswith('"')
    assert line.count('"') == sum(2 + cell.count('"') * 2 for cell in read)
