"""Share few places among many keys, so that no key takes all of them."""

import asyncio
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager
from dataclasses import dataclass


@dataclass(slots=True, eq=False)
class _Share:
    """One key's places, and how many users have or want one."""

    places: asyncio.Semaphore
    users: int = 0


class Shares:
    """At most ``places`` users at the same time, of which at most ``of_one`` of one key (an event's id).

    A key whose users hang occupies its share and nothing more; its further users wait in a queue of their own.
    """

    def __init__(self, places: int, *, of_one: int) -> None:
        self._places = asyncio.Semaphore(places)
        self._of_one = of_one
        self._shares: dict[Hashable, _Share] = {}

    @asynccontextmanager
    async def place(self, key: Hashable) -> AsyncIterator[None]:
        """Hold a place of ``key`` while the code inside runs; waits, in the order of arrival, until one is free."""
        share = self._shares.setdefault(key, _Share(asyncio.Semaphore(self._of_one)))
        share.users += 1
        try:
            # The key's own place first: who waits for it must not sit on a place that others can use.
            async with share.places, self._places:
                yield
        finally:
            share.users -= 1
            if not share.users:
                del self._shares[key]
