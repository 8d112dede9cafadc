"""Runs a service from start to SIGTERM."""

import asyncio
import contextlib
import ctypes
import gc
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, Final

from ticketcap_observability import get_logger, sentry

_COLLECT_AFTER_OBJECTS: Final = 10_000
TURN_SECONDS: Final = 60.0
"""How long one turn of a job may take unless told otherwise."""

_log = get_logger(__name__)


def stop_requested() -> asyncio.Event:
    """Return an event that SIGTERM or SIGINT sets. Call it inside the running loop."""
    requested = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, requested.set)
    return requested


@asynccontextmanager
async def background(work: Coroutine[Any, Any, None]) -> AsyncIterator[asyncio.Task[None]]:
    """Run ``work`` beside the code inside; cancel it and wait for it at the end."""
    task = asyncio.create_task(work)
    try:
        yield task
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def every(seconds: float, work: Callable[[], Awaitable[None]], *, name: str, limit: float = TURN_SECONDS) -> None:
    """Do ``work`` again and again, ``seconds`` apart, for ever; a failure is logged and the next turn comes.

    A turn that takes longer than ``limit`` seconds is cancelled: that too is a failure.
    """
    while True:
        try:
            with sentry.scope(f"job {name}"):
                async with asyncio.timeout(limit):
                    await work()
        except Exception as error:  # noqa: BLE001 - a job outlives its failures; they are logged and seen
            _log.error("job.failed", job=name, error_type=type(error).__name__, exc_info=error)
        await asyncio.sleep(seconds)


def give_memory_back() -> None:
    """Return to the system what only starting needed, and collect garbage less often. Call it once, when ready."""
    gc.collect()
    # What lives now lives as long as the process: later collections need not look at it. A rush makes many objects
    # that live for one batch: looking for cycles among them often is time lost.
    gc.freeze()
    gc.set_threshold(_COLLECT_AFTER_OBJECTS, 20, 20)
    with contextlib.suppress(OSError, AttributeError):  # a C library that is not glibc
        ctypes.CDLL(None).malloc_trim(0)
