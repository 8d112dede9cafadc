"""Format the table of ``ticketcap status``."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import typer

from ticketcap_local.paths import short_path
from ticketcap_local.state import PartStatus

_HEAD: Final = ("part", "state", "process", "address", "log")
_COLOURS: Final = {"running": typer.colors.GREEN, "starting": typer.colors.YELLOW, "down": typer.colors.RED}


def lines_of(parts: Sequence[PartStatus]) -> list[str]:
    """Return a head and one line per part, in columns of full width."""
    rows = [
        (part.name, part.state, str(part.pid or "-"), part.address, short_path(Path(part.log_file))) for part in parts
    ]
    widths = [max(map(len, column)) for column in zip(_HEAD, *rows, strict=True)]
    head = "  ".join(cell.ljust(width) for cell, width in zip(_HEAD, widths, strict=True))
    return [typer.style(head.rstrip(), dim=True), *(_line(row, widths) for row in rows)]


def _line(row: tuple[str, ...], widths: list[int]) -> str:
    name, state, *rest = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
    return "  ".join([name, typer.style(state, fg=_COLOURS[row[1]]), *rest]).rstrip()
