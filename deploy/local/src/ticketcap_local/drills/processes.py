"""Faults of processes: parts of the stack that hang, stutter or die."""

import asyncio
import contextlib
import os
import signal
from dataclasses import dataclass, field
from typing import Final

from ticketcap_local.drills.ground import Ground
from ticketcap_local.drills.repeated import Repeated, until

_READY: Final = 200


@dataclass
class Paused:
    """A part that hangs: it holds its connections and answers nobody."""

    part: str

    async def begin(self, ground: Ground) -> None:
        """Pause its process."""
        _tell(ground, self.part, signal.SIGSTOP)

    async def end(self, ground: Ground) -> None:
        """Let it go on."""
        _tell(ground, self.part, signal.SIGCONT)
        await until(lambda: _is_well(ground), f"the stack is not well after {self.part} hung")


@dataclass
class Stuttering:
    """A part that stands still for ``stands`` seconds, runs for ``runs``, and so on."""

    part: str
    stands: float
    runs: float
    _pulses: Repeated | None = field(default=None, init=False, repr=False)

    async def begin(self, ground: Ground) -> None:
        """Begin to pause and continue its process."""
        self._pulses = Repeated(self._pulse, pause=self.runs)
        ground.part(self.part)
        await self._pulses.begin(ground)

    async def _pulse(self, ground: Ground) -> None:
        _tell(ground, self.part, signal.SIGSTOP)
        try:
            await asyncio.sleep(self.stands)
        finally:
            _tell(ground, self.part, signal.SIGCONT)

    async def end(self, ground: Ground) -> None:
        """Let it run."""
        if self._pulses is not None:
            await self._pulses.end(ground)
        _tell(ground, self.part, signal.SIGCONT)


@dataclass
class Killed:
    """A part that dies without a word, and again every ``every`` seconds; the stack starts it again each time."""

    part: str
    every: float = 60.0
    _kills: Repeated | None = field(default=None, init=False, repr=False)
    _killed: int | None = field(default=None, init=False, repr=False)

    async def begin(self, ground: Ground) -> None:
        """Kill it for the first time."""
        ground.part(self.part)
        self._kills = Repeated(self._kill, pause=self.every)
        await self._kills.begin(ground)

    async def _kill(self, ground: Ground) -> None:
        self._killed = ground.pid(self.part)
        _tell(ground, self.part, signal.SIGKILL)

    async def end(self, ground: Ground) -> None:
        """Wait until it was started again and everything is up."""
        if self._kills is not None:
            await self._kills.end(ground)
        await until(lambda: self._is_back(ground), f"the stack is not well after {self.part} died")

    async def _is_back(self, ground: Ground) -> bool:
        return ground.pid(self.part) != self._killed and await _is_well(ground)


def _tell(ground: Ground, part: str, number: signal.Signals) -> None:
    """Send a signal to a part's process; one that is down right now hears nothing."""
    pid = ground.pid(part)
    if pid is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


async def _is_well(ground: Ground) -> bool:
    """Say whether all parts run and the gateway finds every one of them."""
    if any(part.state != "running" for part in ground.parts().values()):
        return False
    return (await ground.gateway("GET", "/api/health")).status == _READY
