"""CSV that opens right in Excel, Hebrew included, and that no spreadsheet runs."""

import csv
import io
import re
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Sequence
from contextlib import AsyncExitStack
from typing import Final, TypeVar

from starlette.responses import Response

from ticketcap_gateway.http.responses import StreamedResponse

HEADERS: Final = {"Content-Disposition": "attachment, with a file name"}
"""For the document: what an answer's headers say."""
# Excel takes UTF-8 for what it is only after this mark.
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
# What a spreadsheet runs as a formula, in half and full width, also behind blanks.
_FORMULA: Final = re.compile(r"\s*[=+\-@\uff1d\uff0b\uff0d\uff20]|[\t\r\n]")
_UNSAFE_IN_NAME: Final = re.compile(r"[^A-Za-z0-9-]")
_Portion = TypeVar("_Portion")


class Figure(str):
    """A number that we wrote ourselves: a spreadsheet is to count with it, also where it is negative."""

    __slots__ = ()


def csv_response(
    name: str, columns: Sequence[str], rows: AsyncIterator[Iterable[Sequence[str]]], *, resources: AsyncExitStack
) -> Response:
    """Return a download that is sent as ``rows`` come; then ``resources`` are closed."""
    headers = {
        "content-type": "text/csv; charset=utf-8",
        "content-disposition": f'attachment; filename="{_UNSAFE_IN_NAME.sub("_", name)}.csv"',
    }
    return StreamedResponse(_file(columns, rows), resources=resources, headers=headers)


async def after(first: _Portion, others: AsyncIterator[_Portion]) -> AsyncGenerator[_Portion, None]:
    """Yield ``first``, which was waited for before the answer began, and then the others."""
    yield first
    async for other in others:
        yield other


async def _file(
    columns: Sequence[str], portions: AsyncIterator[Iterable[Sequence[str]]]
) -> AsyncGenerator[bytes, None]:
    head = _BYTE_ORDER_MARK + lines([columns])
    async for rows in portions:
        yield head + lines(rows)
        head = b""


def lines(rows: Iterable[Sequence[str]]) -> bytes:
    """Return rows as CSV in UTF-8, with every cell made safe."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerows([_cell(cell) for cell in row] for row in rows)
    return text.getvalue().encode()


def _cell(cell: str) -> str:
    return cell if isinstance(cell, Figure) else safe(cell)


def safe(cell: str) -> str:
    """Return ``cell`` so that no spreadsheet runs it as a formula."""
    return f"'{cell}" if _FORMULA.match(cell) else cell
