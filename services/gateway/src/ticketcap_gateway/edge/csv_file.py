"""Write CSV whose cells stay text in Excel and LibreOffice.

Quotes alone do not stop a spreadsheet from reading a cell as a formula, a number or a date, so an apostrophe precedes
each cell that it could read so. To read a file with a program, remove one apostrophe from the start of a cell.
"""

import csv
import io
import re
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, aclosing
from datetime import UTC
from typing import Final, TypeVar
from zoneinfo import ZoneInfo

from google.protobuf.timestamp_pb2 import Timestamp
from starlette.responses import Response

from ticketcap_gateway.edge.operation import ResponseSpec
from ticketcap_gateway.edge.responses import StreamedResponse

# For the document.
_HEADERS: Final = {"Content-Disposition": "attachment, with a file name"}
_FORMAT: Final = (
    "UTF-8 with byte order mark, CRLF, every cell quoted. A cell that a spreadsheet could read as a formula, a number "
    "or a date begins with an apostrophe. Times are Israel's, with offset and zone."
)
# Excel recognises UTF-8 only by this mark.
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
# Letters by Unicode's rules without a visible shape: a spreadsheet may read the text behind them.
_INVISIBLE: Final = "\u115f\u1160\u3164\uffa0"
_LETTERS_FIRST: Final = re.compile(rf"(?![{_INVISIBLE}])[^\W\d_]\D*")
_LETTER_OR_DIGIT_FIRST: Final = re.compile(rf"(?![{_INVISIBLE}])[^\W_]")
_BOOLEANS: Final = frozenset({"TRUE", "FALSE"})
_WORD: Final = re.compile(r"[A-Za-z]+")
# Words that numbers, dates and times hold. Other alphabets have months as well, so only Latin words prove a text.
_WORD_OF_FIGURES: Final = re.compile(
    "[adehmpstz]|[ap]m|gmt|utc|bc|true|false|"
    "(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec|sun|mon|tue|wed|thu|fri|sat)[a-z]*",
    re.IGNORECASE,
)
# An id; an Israeli number as people write it, whose parts are no day, month and year.
_SAFE_SHAPE: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|0[2-9]\d?-\d{3}-\d{4}", re.ASCII)
_ISRAEL: Final = ZoneInfo("Asia/Jerusalem")
_UNSAFE_IN_NAME: Final = re.compile(r"[^A-Za-z0-9-]")
_Row = TypeVar("_Row")
_Batch = TypeVar("_Batch")


def csv_response(columns: Iterable[str], description: str) -> ResponseSpec:
    """Return the document's entry of a download."""
    return ResponseSpec(
        status=200,
        description=f"{_FORMAT} {description}",
        body=lines([columns]).decode(),
        media_type="text/csv",
        headers=_HEADERS,
    )


async def csv_download(
    name: str,
    columns: Mapping[str, Callable[[_Row], str]],
    batches: AsyncGenerator[_Batch, None],
    rows_of: Callable[[_Batch], Iterable[_Row]],
) -> Response:
    """Return a download that is sent batch by batch; ``columns`` turn a row into its cells, by their titles.

    Raises an error of ``batches`` before the first batch: only then can it have a status.
    """

    async def content() -> AsyncGenerator[bytes, None]:
        yield _BYTE_ORDER_MARK + lines([columns]) + table(first)
        async for batch in batches:
            yield table(batch)

    def table(batch: _Batch | None) -> bytes:
        rows = () if batch is None else rows_of(batch)
        return lines([cell(row) for cell in columns.values()] for row in rows)

    headers = {
        "content-type": "text/csv; charset=utf-8",
        "content-disposition": f'attachment; filename="{_UNSAFE_IN_NAME.sub("_", name)}.csv"',
    }
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(aclosing(batches))
        first = await anext(batches, None)
        # From here on the response closes the call; until here an error or a cancellation does.
        return StreamedResponse(content(), resources=stack.pop_all(), headers=headers)


def lines(rows: Iterable[Iterable[str]]) -> bytes:
    """Return rows as CSV in UTF-8, with every cell made text and quoted."""
    text = io.StringIO()
    writer = csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\r\n")
    writer.writerows([as_text(cell) for cell in row] for row in rows)
    return text.getvalue().encode()


def as_text(cell: str) -> str:
    """Return ``cell`` so that a spreadsheet reads it as text: itself, or behind an apostrophe."""
    return cell if not cell or _is_text(cell) else f"'{cell}"


def _is_text(cell: str) -> bool:
    if _LETTERS_FIRST.fullmatch(cell):
        return cell.strip().upper() not in _BOOLEANS
    if _SAFE_SHAPE.fullmatch(cell):
        return True
    words = _WORD.findall(cell) if _LETTER_OR_DIGIT_FIRST.match(cell) else ()
    return any(not _WORD_OF_FIGURES.fullmatch(word) for word in words)


def israel_time(stamp: Timestamp) -> str:
    """Return a moment in Israel's time, with its zone as RFC 9557 writes it; no spreadsheet reads that as a date."""
    moment = stamp.ToDatetime(UTC).astimezone(_ISRAEL)
    return f"{moment.isoformat(sep=' ', timespec='seconds')}[{_ISRAEL.key}]"
