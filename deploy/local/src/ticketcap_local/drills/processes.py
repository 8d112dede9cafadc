"""Break processes: parts of the stack that hang, stutter or die."""

import asyncio
import contextlib
import os
import signal
from typing import Final

from ticketcap_local.drills.repeat import repeat, until
from ticketcap_local.drills.target import Target

_KILL_SECONDS: Final = 60.0
"""Seconds between two kills of a part."""


async def pause(target: Target, part: str) -> None:
    """Pause the part's process: it keeps its connections and answers no request."""

    async def resume() -> None:
        _signal(target, part, signal.SIGCONT)
        await until(lambda: _is_healthy(target), f"the stack is not healthy after {part} hung")

    target.undo(resume)
    _signal(target, part, signal.SIGSTOP)


async def stutter(target: Target, part: str, *, stops: float, runs: float) -> None:
    """Pause the part's process for ``stops`` seconds, run it for ``runs`` seconds, and so on."""

    async def resume() -> None:
        _signal(target, part, signal.SIGCONT)

    async def stop_once() -> None:
        _signal(target, part, signal.SIGSTOP)
        try:
            await asyncio.sleep(stops)
        finally:
            _signal(target, part, signal.SIGCONT)

    target.part(part)
    target.undo(resume)
    repeat(target, stop_once, pause=runs)


async def kill(target: Target, part: str) -> None:
    """Kill the part's process every minute; the stack restarts it each time."""
    killed: int | None = None

    async def kill_once() -> None:
        nonlocal killed
        killed = target.part(part).pid
        _signal(target, part, signal.SIGKILL)

    async def is_back() -> bool:
        return target.part(part).pid != killed and await _is_healthy(target)

    async def wait_until_back() -> None:
        await until(is_back, f"the stack is not healthy after {part} died")

    target.part(part)
    target.undo(wait_until_back)
    repeat(target, kill_once, pause=_KILL_SECONDS)


def _signal(target: Target, part: str, number: signal.Signals) -> None:
    """Send a signal to the part's process, if it runs."""
    pid = target.part(part).pid
    if pid is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


async def _is_healthy(target: Target) -> bool:
    """Return whether all parts run and the gateway reaches each of them."""
    if any(part.state != "running" for part in target.parts().values()):
        return False
    return (await target.gateway("GET", "/api/health")).is_success
