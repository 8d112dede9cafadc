"""Work through many items in short slices of the event loop."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Final, TypeVar

SLICE: Final = 8
"""Items between two yields to the event loop: about a millisecond of work on registrations."""

_Item = TypeVar("_Item")


async def in_slices(items: Sequence[_Item]) -> AsyncIterator[_Item]:
    """Yield each of ``items``; let the event loop run other tasks after every few of them.

    One event's whole batch without a pause would delay the work of every other event by its length.
    """
    for number, item in enumerate(items, start=1):
        yield item
        if number % SLICE == 0 and number < len(items):
            await asyncio.sleep(0)
