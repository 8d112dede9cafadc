"""Run one drill: announce it, break the stack, wait, undo."""

import asyncio
import signal
from collections.abc import Callable
from contextlib import nullcontext
from typing import Final

from ticketcap_local.drills.alert_watch import AlertWatch
from ticketcap_local.drills.drill import Drill
from ticketcap_local.drills.target import EXPECTED_ERRORS, Target
from ticketcap_local.errors import CommandError

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_BEGIN_SECONDS: Final = 120.0

Say = Callable[[str], None]


class DrillFailed(CommandError):
    """The fault did not happen; its first steps are undone."""


async def run(drill: Drill, target: Target, *, seconds: float, say: Say, watch: bool = False) -> None:
    """Run ``drill`` for ``seconds``, or until SIGINT, SIGTERM or SIGHUP; ``watch`` prints its alert's changes.

    Raises CannotDrill, DrillFailed and UndoFailed.
    """
    target.check()
    watcher = AlertWatch(target, drill.alert, say) if watch else None
    say(_announcement(drill, target))
    async with watcher.following() if watcher else nullcontext():
        await _run_and_undo(drill, target, seconds, say)
    if watcher:
        await watcher.until_resolved()


def _announcement(drill: Drill, target: Target) -> str:
    prometheus = target.parts().get("prometheus")
    look = prometheus.address if prometheus else "start the stack with 'ticketcap up --monitoring' to see the alert"
    return (
        f"drill   {drill.name}: {drill.breaks}\n"
        f"expect  {drill.alert}, about {drill.seconds / 120:g} minutes from now\n"
        f"look    {look}\n"
        f"read    {drill.runbook}\n"
    )


async def _run_and_undo(drill: Drill, target: Target, seconds: float, say: Say) -> None:
    work = asyncio.create_task(_begin_and_wait(drill, target, seconds, say))
    loop = asyncio.get_running_loop()
    for number in _SIGNALS:
        loop.add_signal_handler(number, _interrupt, work, say)
    try:
        await asyncio.wait([work])
    finally:
        try:
            # Outside of the task that a signal cancels, and still handling signals: a second Ctrl-C must not
            # interrupt the undo steps.
            await target.undo_all()
        finally:
            for number in _SIGNALS:
                loop.remove_signal_handler(number)
        say("undone; the alert resolves after its rule's window")
    if not work.cancelled():
        work.result()


def _interrupt(work: "asyncio.Task[None]", say: Say) -> None:
    say("\nundoing the drill" + ("; please wait" if work.done() else ""))
    work.cancel()


async def _begin_and_wait(drill: Drill, target: Target, seconds: float, say: Say) -> None:
    try:
        async with asyncio.timeout(_BEGIN_SECONDS):
            await drill.begin(target)
    except EXPECTED_ERRORS as error:
        raise DrillFailed(f"{drill.name} failed to begin: {str(error) or type(error).__name__}") from error
    say(f"under way for {seconds:g} s; Ctrl-C ends it")
    await asyncio.sleep(seconds)
