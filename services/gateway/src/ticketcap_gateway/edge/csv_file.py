"""Write CSV whose every cell stays text in Excel and LibreOffice, Hebrew included.

Quotes alone do not keep a spreadsheet from reading a cell as a formula, a number or a date, so a cell that it could
read so begins with an apostrophe. To read a file with a program, remove one apostrophe from the start of a cell.
"""

import csv
import io
import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Sequence
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
_Portion = TypeVar("_Portion")


def csv_response(columns: Sequence[str], description: str) -> ResponseSpec:
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
    columns: Sequence[str],
    portions: AsyncGenerator[_Portion, None],
    rows_of: Callable[[_Portion], Iterable[Sequence[str]]],
) -> Response:
    """Return a download that is sent as ``portions`` come.

    The first is waited for before the answer begins, so that an error has a status. Raises what ``portions`` raise.
    """
    headers = {
        "content-type": "text/csv; charset=utf-8",
        "content-disposition": f'attachment; filename="{_UNSAFE_IN_NAME.sub("_", name)}.csv"',
    }
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(aclosing(portions))
        first = await anext(portions, None)
        file = _file(columns, first, portions, rows_of)
        return StreamedResponse(file, resources=stack.pop_all(), headers=headers)


async def _file(
    columns: Sequence[str],
    first: _Portion | None,
    others: AsyncIterator[_Portion],
    rows_of: Callable[[_Portion], Iterable[Sequence[str]]],
) -> AsyncGenerator[bytes, None]:
    yield _BYTE_ORDER_MARK + lines([columns]) + (b"" if first is None else lines(rows_of(first)))
    async for portion in others:
        yield lines(rows_of(portion))


def lines(rows: Iterable[Sequence[str]]) -> bytes:
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
