"""Check in LibreOffice that every cell of both CSVs is text."""

import csv
import io
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from xml.etree import ElementTree as ET

import httpx
import pytest
from ticketcap.payment.v1 import payment_pb2
from ticketcap.registration.v1 import registration_pb2 as pb
from ticketcap_gateway.payments import csv_columns as payments_csv
from ticketcap_gateway.registrations import csv_columns as registrations_csv
from ticketcap_testing.service_fakes import PAYMENT_ID, FakePayment, FakeRegistration, a_registration, bearer

from tests.deploy.debian import check

HERZL = "/api/v1/schools/herzl"
OFFICE = "{urn:oasis:names:tc:opendocument:xmlns:office:1.0}"
TABLE = "{urn:oasis:names:tc:opendocument:xmlns:table:1.0}"
# LibreOffice's locales: English of the USA, Hebrew of Israel.
LANGUAGES = (1033, 1037)
# Texts that a person may write into a name or a reason, or that an id may be by chance.
WRITTEN = [
    *("=1+1", "+1", "-1", "@SUM(1;1)", "\u200b=1+1", "\u200e=1+1", "\ufeff=1+1", " =1+1", '=HYPERLINK("x";"y")'),
    *("12", "100.05", "1,000", "1e5", "(5)", "50%", "$5", "TRUE", "#N/A", "\uff15", "٥"),
    *("2026-09-21 14:13:20", "2026-09-21", "1/2", "1:30", "5 pm", "March 5", "4JUN26", "5 במרץ", "05-06-2024"),
    *("נועה ג'ונס-לוי", 'לוי, "דן"', "O'Brien", "'1", "a;b", "a\tb", "=1+1\n=1+1"),
]
CODES = ["K7M3QX45", "234E5678", "2E345678", "22MAR222", "23456789"]


@pytest.mark.timeout(180)
async def test_spreadsheets_read_every_cell_as_text(
    client: httpx.AsyncClient, registration: FakeRegistration, payment: FakePayment, tmp_path: Path
) -> None:
    """In two languages, with every kind of cell detected; unprotected, the same cells are formulas, numbers, dates."""
    registration.batches = [pb.ExportRegistrationsResponse(items=_registrations())]
    payment.batches = [payment_pb2.ExportPaymentsResponse(entries=_entries())]
    files = {
        "registrations": (await client.get(f"{HERZL}/events/football/registrations.csv", headers=bearer())).content,
        "payments": (await client.get(f"{HERZL}/payments.csv", headers=bearer())).content,
        "bare": "\n".join(f'"{cell}"' for cell in WRITTEN if '"' not in cell).encode(),
    }
    for name, content in files.items():
        (tmp_path / f"{name}.csv").write_bytes(content)
    for language in LANGUAGES:
        cells = _opened(tmp_path, list(files), language)
        for name, columns in (("registrations", registrations_csv.COLUMNS), ("payments", payments_csv.COLUMNS)):
            written = list(csv.reader(io.StringIO(files[name].decode("utf-8-sig"), newline="")))
            assert len(written) > 1
            assert all(len(row) == len(columns) for row in written)
            assert [_plain(row) for row in written] == [[text for _, text in row] for row in cells[name]]
            assert {kind for row in cells[name] for kind, _ in row} == {"string", ""}
        kinds = {kind for row in cells["bare"] for kind, _ in row}
        assert {"formula", "float", "date", "time", "percentage", "boolean", "string"} <= kinds


def _registrations() -> list[pb.Registration]:
    items = [a_registration(name=cell, cancel_reason=cell, email="1e5@example.org") for cell in WRITTEN]
    items += [a_registration(confirmation_code=code, phone="+97226231234") for code in CODES]
    items += [a_registration(status=pb.REGISTRATION_STATUS_WAITLISTED, waitlist_position=4, phone="+15551234567")]
    for item in items:
        for stamp in (item.hold_expires_at, item.cancelled_at, item.checked_in_at):
            stamp.FromSeconds(1_790_000_000)
    return items


def _entries() -> list[payment_pb2.BookEntry]:
    entries = [
        payment_pb2.BookEntry(kind="payment", id=PAYMENT_ID, order=cell, yaadpay_id=yaadpay_id, amount_agorot=amount)
        for cell in WRITTEN
        for yaadpay_id, amount in (("12788261", 10_005), ("", -5))
    ]
    for entry in entries:
        entry.at.FromSeconds(1_790_000_000)
    return entries


def _opened(folder: Path, names: Sequence[str], language: int) -> dict[str, list[list[tuple[str, str]]]]:
    """Return of each file the rows, as LibreOffice reads them: the kind and the text of every cell."""
    # Comma, quote, UTF-8, first line; quoted cells not as text, special numbers detected, formulas evaluated.
    options = f"CSV:44,34,76,1,,{language},false,true,false,false,false,-1,true"
    files = [folder / f"{name}.csv" for name in names]
    opened = folder / str(language)
    how = [f"-env:UserInstallation=file://{folder}/profile", "--headless", "--convert-to", "fods"]
    check("soffice", *how, f"--infilter={options}", "--outdir", opened, *files)
    return {name: [list(_cells(row)) for row in _rows(opened / f"{name}.fods")] for name in names}


def _rows(document: Path) -> Iterator[ET.Element]:
    # Repeated rows and columns are the empty rest of the sheet.
    for row in ET.parse(document).getroot().iter(f"{TABLE}table-row"):
        if any(cell.get(f"{OFFICE}value-type") for cell in row):
            yield from [row] * int(row.get(f"{TABLE}number-rows-repeated", "1"))


def _cells(row: ET.Element) -> Iterator[tuple[str, str]]:
    for cell in row.iter(f"{TABLE}table-cell"):
        kind = "formula" if cell.get(f"{TABLE}formula") else cell.get(f"{OFFICE}value-type", "")
        text = "".join("".join(paragraph.itertext()) for paragraph in cell)
        yield from [(kind, _squeezed(text))] * int(cell.get(f"{TABLE}number-columns-repeated", "1"))


def _plain(row: Sequence[str]) -> list[str]:
    return [_squeezed(cell) for cell in row]


def _squeezed(text: str) -> str:
    """Leave out what the file format writes as elements: blanks, tabs, line ends."""
    return re.sub(r"\s", "", text)
