"""Runs a drill: says what it breaks and where to look, breaks it, waits, and undoes it whatever happens."""

import asyncio
import signal
from collections.abc import Callable
from contextlib import nullcontext
from typing import Final

from ticketcap_local.drills.drill import Drill
from ticketcap_local.drills.ground import Ground, Refused
from ticketcap_local.drills.watching import AlertWatch

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_BEGIN_SECONDS: Final = 120.0

Say = Callable[[str], None]


class DrillFailed(Exception):
    """The fault did not happen; what was begun of it is undone."""


async def run(drill: Drill, ground: Ground, *, seconds: float, say: Say, watch: bool = False) -> None:
    """Let ``drill`` last ``seconds``, or until SIGINT, SIGTERM or SIGHUP; with ``watch`` say how its alert stands.

    Raises CannotDrill, DrillFailed and NotUndone.
    """
    ground.must_be_fit()
    watcher = AlertWatch(ground, drill.alert, say) if watch else None
    say(_announcement(drill, ground))
    async with watcher.following() if watcher else nullcontext():
        await _run_undone(drill, ground, seconds, say)
    if watcher:
        await watcher.until_resolved()


def _announcement(drill: Drill, ground: Ground) -> str:
    prometheus = ground.parts().get("prometheus")
    look = prometheus.address if prometheus else "start the stack with 'ticketcap up --monitoring' to see the alert"
    return (
        f"drill   {drill.name}: {drill.breaks}\n"
        f"expect  {drill.alert}, about {drill.seconds / 120:g} minutes from now\n"
        f"look    {look}\n"
        f"read    {drill.runbook}\n"
    )


async def _run_undone(drill: Drill, ground: Ground, seconds: float, say: Say) -> None:
    """Run the drill and undo it, however it ends."""
    work = asyncio.create_task(_last(drill, ground, seconds, say))
    loop = asyncio.get_running_loop()
    for number in _SIGNALS:
        loop.add_signal_handler(number, _interrupt, work, say)
    try:
        await asyncio.wait([work])
    finally:
        try:
            # Still listening: a second Ctrl-C must not leave things broken.
            await drill.end(ground)
        finally:
            for number in _SIGNALS:
                loop.remove_signal_handler(number)
        say("undone; the alert resolves when its rule has seen that for long enough")
    if not work.cancelled():
        work.result()


def _interrupt(work: "asyncio.Task[None]", say: Say) -> None:
    say("\nundoing what the drill did" + ("; wait for it" if work.done() else ""))
    work.cancel()


async def _last(drill: Drill, ground: Ground, seconds: float, say: Say) -> None:
    try:
        async with asyncio.timeout(_BEGIN_SECONDS):
            await drill.begin(ground)
    except (OSError, EOFError, TimeoutError, Refused) as error:
        raise DrillFailed(f"{drill.name} could not be begun: {str(error) or type(error).__name__}") from error
    say(f"under way for {seconds:g} s; Ctrl-C ends it")
    await asyncio.sleep(seconds)
