"""Run a service from start to SIGTERM, with its background work."""

import asyncio
import contextlib
import ctypes
import gc
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar

from ticketcap_observability import Telemetry, configure_logging, get_logger, sentry

from ticketcap_chassis.settings import ServedSettings, load, release

_COLLECT_AFTER_OBJECTS: Final = 10_000
TURN_SECONDS: Final = 60.0
"""How long one turn of a job may take by default."""

_Settings = TypeVar("_Settings", bound=ServedSettings)
_log = get_logger(__name__)


class BackgroundTaskEnded(Exception):
    """A background task that must run as long as its service has ended. The process exits with status 1."""


def run_service(name: str, settings: type[_Settings], serve: Callable[[_Settings, Telemetry], Awaitable[None]]) -> None:
    """Read the settings, start logs and telemetry, and run ``serve`` until it ends.

    The process exits with status 1 when a setting is wrong, an address is taken or a background task ended.
    """
    asyncio.run(_run(name, load(settings), serve))


async def _run(name: str, settings: _Settings, serve: Callable[[_Settings, Telemetry], Awaitable[None]]) -> None:
    configure_logging(name, release(), settings.log_level)
    try:
        telemetry = Telemetry.start(name, release(), metrics_address=settings.metrics_address)
    except OSError as error:
        sys.exit(str(error))
    try:
        await serve(settings, telemetry)
    except BackgroundTaskEnded as error:
        sys.exit(str(error))
    finally:
        await telemetry.shutdown()


def stop_requested() -> asyncio.Event:
    """Return an event that SIGTERM or SIGINT sets. Call it in the running event loop."""
    requested = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, requested.set)
    return requested


@asynccontextmanager
async def background(
    work: Coroutine[Any, Any, None], stop: Callable[[], object] | None, *, name: str, endless: bool = True
) -> AsyncIterator[asyncio.Task[None]]:
    """Run ``work`` beside the code inside; cancel it and wait for it at the end.

    ``work`` must not end before the code inside. If it does, its end is logged and reported, ``stop`` is called, which
    makes the code inside drain and end, and then BackgroundTaskEnded is raised. ``endless=False`` permits a return.
    """
    ended: BackgroundTaskEnded | None = None
    leaving = False

    def note(task: asyncio.Task[None]) -> None:
        nonlocal ended
        # A cancellation before ``leaving`` comes from inside ``work``: no other code knows the task.
        cause = None if task.cancelled() else task.exception()
        if leaving or (cause is None and not task.cancelled() and not endless):
            return
        ended = BackgroundTaskEnded(f"the background task {name!r} ended before its service")
        ended.__cause__ = cause
        _log.error("background.ended", task=name, error_type=type(cause or ended).__name__, exc_info=cause or ended)
        sentry.report(cause or ended)
        if stop is not None:
            stop()

    task = asyncio.create_task(work, name=name)
    task.add_done_callback(note)
    try:
        yield task
    finally:
        # ``note`` runs one step of the loop after the task's end, so a task that ended just now still counts.
        leaving = not task.done()
        task.cancel()
        # wait() and not await: a cancellation of the caller must not pass for the task's own.
        await asyncio.wait([task])
    if ended is not None:
        raise ended
    if not task.cancelled() and (error := task.exception()):
        raise error


async def every(seconds: float, work: Callable[[], Awaitable[None]], *, name: str, limit: float = TURN_SECONDS) -> None:
    """Run turns of ``work`` without end, ``seconds`` apart; log and report a turn that fails.

    A turn that takes longer than ``limit`` seconds is cancelled and counts as failed.
    """
    while True:
        try:
            with sentry.scope(f"job {name}"):
                async with asyncio.timeout(limit):
                    await work()
        except Exception as error:  # noqa: BLE001 - a job outlives the failures of its turns
            _log.error("job.failed", job=name, error_type=type(error).__name__, exc_info=error)
        await asyncio.sleep(seconds)


def give_memory_back() -> None:
    """Return to the system the memory that only the start needed, and collect garbage less often. Call it once."""
    gc.collect()
    # Objects alive now live as long as the process: later collections need not visit them. A rush makes many objects
    # that live for one batch, and searching them for cycles often costs time for nothing.
    gc.freeze()
    gc.set_threshold(_COLLECT_AFTER_OBJECTS, 20, 20)
    with contextlib.suppress(OSError, AttributeError):  # a C library that is not glibc
        ctypes.CDLL(None).malloc_trim(0)
