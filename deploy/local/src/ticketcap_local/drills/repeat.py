"""Repeat work beside a drill, and wait for a condition."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Final

from ticketcap_local.drills.target import EXPECTED_ERRORS, Target, UnexpectedResponse

_STOP_SECONDS: Final = 10.0
_POLL_SECONDS: Final = 0.2
_MIN_PAUSE: Final = 0.1

Work = Callable[[], Awaitable[Any]]


def repeat(target: Target, work: Work, *, callers: int = 1, pause: float = 1.0, spread: float = 1.0) -> None:
    """Let ``callers`` do ``work`` until the drill ends, each with ``pause`` seconds between two turns.

    The callers start spread over ``spread`` seconds, about as long as one turn takes, so that turns do not come in
    waves. The undo step raises an error that is not expected of a broken stack.
    """
    tasks = [
        asyncio.create_task(_repeat(work, pause, first_pause=number * spread / callers)) for number in range(callers)
    ]

    async def stop() -> None:
        for task in tasks:
            task.cancel()
        # A task may be inside a statement or a sleep in a transaction: give it a bounded time to leave.
        done, _ = await asyncio.wait(tasks, timeout=_STOP_SECONDS)
        for task in done:
            if not task.cancelled() and (failure := task.exception()):
                raise failure

    target.undo(stop)


async def _repeat(work: Work, pause: float, *, first_pause: float) -> None:
    await asyncio.sleep(first_pause)
    while True:
        try:
            await work()
        except EXPECTED_ERRORS:
            # Errors are the drill's purpose. The pause keeps an immediate refusal from becoming a busy loop.
            await asyncio.sleep(max(pause, _MIN_PAUSE))
        else:
            await asyncio.sleep(pause)


async def until(condition: Callable[[], Awaitable[bool]], failure: str, seconds: float = 60.0) -> None:
    """Wait until ``condition`` is true; raise UnexpectedResponse with ``failure`` after ``seconds``."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while loop.time() < deadline:
        with suppress(*EXPECTED_ERRORS):
            if await condition():
                return
        await asyncio.sleep(_POLL_SECONDS)
    raise UnexpectedResponse(f"{failure} within {seconds:g} s")
