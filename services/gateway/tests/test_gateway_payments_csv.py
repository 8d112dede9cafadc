"""Check the day's CSV: exact amounts, safe cells, visible errors."""

import csv
import io
from datetime import datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ticketcap.payment.v1 import payment_pb2 as pb
from ticketcap_chassis.errors import NotFound, Unavailable
from ticketcap_gateway.edge.csv_file import as_text
from ticketcap_gateway.payments import amounts
from ticketcap_gateway.payments.csv_columns import COLUMNS
from ticketcap_testing.service_fakes import EVENT_ID, PAYMENT_ID, REFUND_ID, REGISTRATION_ID, FakePayment, bearer

PATH = "/api/v1/schools/herzl/payments.csv"
INT64 = st.integers(min_value=-(2**63), max_value=2**63 - 1)


def _entry(kind: str, amount_agorot: int, at: str, *, order: str = "TCABCDEFGH23456789JK") -> pb.BookEntry:
    entry = pb.BookEntry(
        kind=kind,
        id=PAYMENT_ID if kind == "payment" else REFUND_ID,
        payment_id=PAYMENT_ID,
        registration_id=REGISTRATION_ID,
        event_id=EVENT_ID,
        order=order,
        yaadpay_id="12788261",
        state="CAPTURED" if kind == "payment" else "DONE",
        amount_agorot=amount_agorot,
        currency="ILS",
    )
    entry.at.FromJsonString(at)
    return entry


async def test_the_file_holds_the_day(client: httpx.AsyncClient, payment: FakePayment) -> None:
    """BOM, CRLF, a name with school and day; refunds are negative; times are Israel's; every figure is a text."""
    entries = [
        _entry("payment", 10_005, "2026-11-30T22:10:00Z"),
        _entry("refund", -5, "2026-12-01T10:00:00Z", order='=HYPERLINK("x")'),
    ]
    payment.batches = [pb.ExportPaymentsResponse(entries=[entry]) for entry in entries]
    response = await client.get(PATH, params={"day": "2026-12-01"}, headers=bearer("ADMIN"))
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/csv; charset=utf-8"
    assert response.headers["content-disposition"] == 'attachment; filename="herzl-payments-2026-12-01.csv"'
    assert response.content.startswith(b'\xef\xbb\xbf"kind","id","payment_id",')
    rows = list(csv.DictReader(io.StringIO(response.content.decode("utf-8-sig"), newline="")))
    assert rows[0] == {
        "kind": "payment",
        "id": PAYMENT_ID,
        "payment_id": PAYMENT_ID,
        "registration_id": REGISTRATION_ID,
        "event_id": EVENT_ID,
        "order": "TCABCDEFGH23456789JK",
        "yaadpay_id": "'12788261",
        "state": "CAPTURED",
        "amount_agorot": "'10005",
        "amount": "'100.05",
        "currency": "ILS",
        "at": "2026-12-01 00:10:00+02:00[Asia/Jerusalem]",
    }
    assert (rows[1]["amount_agorot"], rows[1]["amount"]) == ("'-5", "'-0.05")
    assert rows[1]["order"].startswith("'=")
    assert payment.requests["ExportPayments"] == [pb.ExportPaymentsRequest(school="herzl", day="2026-12-01")]


async def test_the_day_is_today_in_israel(client: httpx.AsyncClient, payment: FakePayment) -> None:
    """Without one; and an empty day still has its header line."""
    before = datetime.now(ZoneInfo("Asia/Jerusalem")).date()
    response = await client.get(PATH, headers=bearer())
    after = datetime.now(ZoneInfo("Asia/Jerusalem")).date()
    assert response.content == b"\xef\xbb\xbf" + ",".join(f'"{name}"' for name in COLUMNS).encode() + b"\r\n"
    assert payment.requests["ExportPayments"][0].day in {before.isoformat(), after.isoformat()}


@pytest.mark.parametrize(
    "day", ["2026-02-30", "2026-2-3", "20261201", "2026-W49-2", "today", "", "1999-12-31", "9999-12-31"]
)
async def test_a_day_that_is_none_is_named(client: httpx.AsyncClient, payment: FakePayment, day: str) -> None:
    """422 with the parameter's name."""
    response = await client.get(PATH, params={"day": day}, headers=bearer())
    assert (response.status_code, [error["field"] for error in response.json()["errors"]]) == (422, ["day"])
    assert not payment.requests


async def test_only_admins_see_the_books(client: httpx.AsyncClient, payment: FakePayment) -> None:
    """No token 401, a role too low 403, another school's 404; an error before the first line has a status."""
    assert (await client.get(PATH)).status_code == 401
    assert (await client.get(PATH, headers=bearer("MANAGER"))).status_code == 403
    assert (await client.get(PATH, headers=bearer("OWNER", "balfour"))).status_code == 404
    assert not payment.requests
    payment.failures["ExportPayments"] = NotFound("no school")
    assert (await client.get(PATH, headers=bearer())).status_code == 404


async def test_a_file_that_breaks_off_is_no_whole_file(client: httpx.AsyncClient, payment: FakePayment) -> None:
    """When the service fails midway the download fails too."""
    payment.batches = [pb.ExportPaymentsResponse(entries=[_entry("payment", 1, "2026-12-01T10:00:00Z")])]
    payment.failures["ExportEnd"] = Unavailable("gone")
    with pytest.raises(httpx.RemoteProtocolError):
        await client.get(PATH, headers=bearer())


@given(INT64)
def test_amounts_are_exact(agorot: int) -> None:
    """Two decimals, the exact amount, for any size and sign; a spreadsheet gets a text."""
    text = amounts.decimal(agorot)
    assert Decimal(text) * 100 == agorot
    assert len(text.rpartition(".")[2]) == 2
    assert as_text(text) == f"'{text}"


@given(INT64, st.sampled_from(["ILS", "USD", "EUR", "GBP", "XYZ"]))
def test_readable_amounts_are_the_same(minor: int, currency: str) -> None:
    """The page shows what the books hold."""
    text = amounts.readable(minor, currency)
    sign = "-" if text.startswith("-") else ""
    assert sign + "".join(character for character in text if character in "0123456789.") == amounts.decimal(minor)
