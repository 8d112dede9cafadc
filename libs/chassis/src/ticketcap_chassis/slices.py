"""Work through many things in short slices of the event loop."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Final, TypeVar

SLICE: Final = 8
"""Things done in one go: about a millisecond of work on what belongs to one registration."""

_Thing = TypeVar("_Thing")


async def in_slices(things: Sequence[_Thing]) -> AsyncIterator[_Thing]:
    """Yield each of ``things``; let everything else that is ready run after every few of them.

    A batch of one event done in one go would hold up every other event's work by its length.
    """
    for number, thing in enumerate(things, start=1):
        yield thing
        if number % SLICE == 0 and number < len(things):
            await asyncio.sleep(0)
