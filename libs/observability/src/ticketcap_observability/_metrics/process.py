"""Measure the process: memory, processors, files, event-loop lag."""

import asyncio
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from ticketcap_observability import schema
from ticketcap_observability._metrics.instruments import Instruments, Reading
from ticketcap_observability.schema.kinds import GaugeMetric

_LAG_SECONDS: Final = 0.5
_STATM: Final = Path("/proc/self/statm")
_FILES: Final = Path("/proc/self/fd")


def observe(instruments: Instruments) -> None:
    """Add the gauges of the process. Without /proc, memory and files have no value."""
    began = time.monotonic()
    looks: tuple[tuple[GaugeMetric, Callable[[], float | None]], ...] = (
        (schema.PROCESS_UPTIME, lambda: time.monotonic() - began),
        (schema.PROCESS_CPU, _Processors().used),
        (schema.PROCESS_MEMORY, _resident_bytes),
        (schema.PROCESS_FILES, _open_files),
    )
    for definition, look in looks:
        instruments.gauge(definition, lambda look=look: _reading(look))  # type: ignore[misc]  # bound in each turn


async def watch_loop(instruments: Instruments) -> None:
    """Measure how late the event loop wakes a sleeper, until cancelled."""
    lag = instruments.histogram(schema.EVENT_LOOP_LAG)
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + _LAG_SECONDS
        await asyncio.sleep(_LAG_SECONDS)
        lag.record(max(0.0, loop.time() - due))


def _reading(look: Callable[[], float | None]) -> Iterator[Reading]:
    value = look()
    if value is not None:
        yield value, {}


class _Processors:
    """The processor time used since the last look."""

    def __init__(self) -> None:
        self._at, self._used = time.monotonic(), time.process_time()

    def used(self) -> float:
        now, used = time.monotonic(), time.process_time()
        share = (used - self._used) / max(now - self._at, 1e-9)
        self._at, self._used = now, used
        return share


def _resident_bytes() -> float | None:
    try:
        return int(_STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return None


def _open_files() -> float | None:
    try:
        return len(os.listdir(_FILES))  # noqa: PTH208 - thousands of names, and their paths are not needed
    except OSError:
        return None
