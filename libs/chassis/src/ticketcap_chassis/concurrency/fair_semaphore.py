"""Share few slots fairly among many keys, with waiting."""

import asyncio
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager
from dataclasses import dataclass


@dataclass(slots=True, eq=False)
class _Share:
    """One key's slots, and the number of users that have or want one."""

    slots: asyncio.Semaphore
    users: int = 0


class FairSemaphore:
    """Admit at most ``slots`` users at once, and at most ``per_key`` of one key (an event's id).

    A key whose users hang occupies its share and no more; its further users wait in a queue of their own.
    """

    def __init__(self, slots: int, *, per_key: int) -> None:
        self._slots = asyncio.Semaphore(slots)
        self._per_key = per_key
        self._shares: dict[Hashable, _Share] = {}

    @asynccontextmanager
    async def slot(self, key: Hashable) -> AsyncIterator[None]:
        """Hold a slot of ``key`` while the code inside runs; wait for one in the order of arrival."""
        share = self._shares.setdefault(key, _Share(asyncio.Semaphore(self._per_key)))
        share.users += 1
        try:
            # The key's own slot first: a user that waits for it must not occupy a slot that other keys can use.
            async with share.slots, self._slots:
                yield
        finally:
            # Also after a cancelled wait. The last user deletes the share: a key that returns starts with a new one.
            share.users -= 1
            if not share.users:
                del self._shares[key]
