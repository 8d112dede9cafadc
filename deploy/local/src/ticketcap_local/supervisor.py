"""Start parts when their needs are ready, restart and stop them."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from datetime import datetime
from typing import Any, Final

from ticketcap_local.part import Part, PartError

_PAUSES: Final = (0.2, 0.5, 1.0, 2.0, 5.0)
"""Seconds before each further restart of a part that ends again and again; the last value repeats."""
_STEADY_SECONDS: Final = 30.0
"""A part that ran this long restarts after the first pause again."""

Say = Callable[[str], None]


class Supervisor:
    """Keeps ``parts`` running. It stops them in reverse order, and calls ``changed`` after each change of a state."""

    def __init__(self, parts: Sequence[Part], *, say: Say, changed: Callable[[], None]) -> None:
        self._parts = parts
        self._say = say
        self._changed = changed
        self._ready = {part.name: asyncio.Event() for part in parts}

    def is_ready(self, part: Part) -> bool:
        """Return whether the part was ready at the last check."""
        return self._ready[part.name].is_set() and (part.pid is not None or not part.address)

    async def bring_up(self) -> None:
        """Start every part; return when all are ready. Raises PartError for the first that fails."""
        await self._for_all(self._bring_up)

    async def _for_all(self, work: Callable[[Part], Coroutine[Any, Any, None]]) -> None:
        """Do ``work`` for every part at the same time; after the first error cancel the rest and wait for its end."""
        tasks = [asyncio.create_task(work(part), name=part.name) for part in self._parts]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _bring_up(self, part: Part) -> None:
        for needed in part.needs:
            await self._ready[needed].wait()
        began = time.monotonic()
        await self._start(part)
        self._say(step(part.name, part.address, time.monotonic() - began))

    async def _start(self, part: Part) -> None:
        await part.start()
        self._ready[part.name].set()
        self._changed()

    async def keep_alive(self) -> None:
        """Restart every part that ends, until cancelled."""
        await self._for_all(self._keep_alive)

    async def _keep_alive(self, part: Part) -> None:
        failures = 0
        while True:
            began = time.monotonic()
            ending = await part.ended()
            self._ready[part.name].clear()
            self._changed()
            failures = 0 if time.monotonic() - began > _STEADY_SECONDS else failures
            pause = _PAUSES[min(failures, len(_PAUSES) - 1)]
            failures += 1
            self._event(f"{part.name} ended ({ending}); restart in {pause:g} s")
            await asyncio.sleep(pause)
            await self._start_again(part)

    async def _start_again(self, part: Part) -> None:
        began = time.monotonic()
        try:
            await self._start(part)
        except PartError as error:
            self._event(str(error))
        else:
            self._event(f"{part.name} is ready again (process {part.pid}, {time.monotonic() - began:.1f} s)")

    async def bring_down(self) -> None:
        """Stop every part, the last one first, so that it can finish its requests with the parts that it needs."""
        for part in reversed(self._parts):
            await part.stop()

    def kill(self) -> None:
        """Kill every part."""
        for part in self._parts:
            part.kill()

    def _event(self, text: str) -> None:
        self._say(f"  {datetime.now().astimezone():%H:%M:%S}  {text}")


def step(name: str, detail: str, seconds: float) -> str:
    """Return the line that reports a finished step."""
    return f"  ✓ {name:<14}{detail:<40}{seconds:5.1f} s"
