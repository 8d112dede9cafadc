"""CSV that opens right in Excel, Hebrew included, and that no spreadsheet runs."""

import csv
import io
import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, aclosing
from typing import Final, TypeVar

from starlette.responses import Response

from ticketcap_gateway.http.operation import Answer
from ticketcap_gateway.http.responses import StreamedResponse

_HEADERS: Final = {"Content-Disposition": "attachment, with a file name"}
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


def csv_answer(columns: Sequence[str], description: str) -> Answer:
    """Return what the document says of a download."""
    return Answer(
        status=200,
        description=f"UTF-8 with byte order mark, CRLF; {description}",
        body=",".join(columns) + "\r\n",
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
    """Return rows as CSV in UTF-8, with every cell made safe."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerows([_cell(cell) for cell in row] for row in rows)
    return text.getvalue().encode()


def _cell(cell: str) -> str:
    return cell if isinstance(cell, Figure) else safe(cell)


def safe(cell: str) -> str:
    """Return ``cell`` so that no spreadsheet runs it as a formula."""
    return f"'{cell}" if _FORMULA.match(cell) else cell
