"""What goes on beside a drill: something done again and again by several at a time, whatever it meets."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from ticketcap_local.drills.ground import Ground, Refused

_STOP_SECONDS: Final = 10.0
MET: Final = (OSError, EOFError, TimeoutError, Refused)
"""What callers of a broken stack meet."""

Work = Callable[[Ground], Awaitable[None]]


@dataclass
class Repeated:
    """``work`` done by ``callers`` at once, each ``pause`` seconds after the last time.

    They begin spread over ``spread`` seconds: as long as one turn takes, so that what they do does not come in waves.
    """

    work: Work
    callers: int = 1
    pause: float = 1.0
    spread: float = 1.0
    _tasks: "list[asyncio.Task[None]]" = field(default_factory=list, init=False, repr=False)

    async def begin(self, ground: Ground) -> None:
        """Start them."""
        self._tasks = [
            asyncio.create_task(self._go_on(ground, number * self.spread / self.callers))
            for number in range(self.callers)
        ]

    async def _go_on(self, ground: Ground, first_pause: float) -> None:
        await asyncio.sleep(first_pause)
        while True:
            try:
                await self.work(ground)
            except MET:
                # That is what the drill is for. A pause at least, so that a refusal at once is no busy loop.
                await asyncio.sleep(max(self.pause, 0.1))
            else:
                await asyncio.sleep(self.pause)

    async def end(self, _ground: Ground) -> None:
        """Stop them; raise what ended one of them unexpectedly."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        if not tasks:
            return
        done, _ = await asyncio.wait(tasks, timeout=_STOP_SECONDS)
        for task in done:
            if not task.cancelled() and (failure := task.exception()):
                raise failure


async def until(happened: Callable[[], Awaitable[bool]], what: str, seconds: float = 60.0) -> None:
    """Wait until something holds; raise Refused with ``what`` when it does not within ``seconds``."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while True:
        try:
            if await happened():
                return
        except MET:
            pass
        if loop.time() > deadline:
            raise Refused(f"{what} within {seconds:g} s")
        await asyncio.sleep(0.2)
