"""Run the embedded PostgreSQL as a part of the stack."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from ticketcap_local.part import PartError
from ticketcap_local.postgres import EmbeddedPostgres, PostgresError
from ticketcap_local.settings import HOST

_POLL_SECONDS: Final = 0.1


@dataclass(kw_only=True)
class PostgresPart:
    """A server with its databases."""

    server: EmbeddedPostgres
    databases: Sequence[str]
    name: str = "postgres"
    needs: Sequence[str] = ()
    _started: int | None = field(default=None, init=False, repr=False)

    @property
    def address(self) -> str:
        """Host and port."""
        return f"{HOST}:{self.server.port}"

    @property
    def log_file(self) -> Path:
        """Its log."""
        return self.server.log_file

    @property
    def pid(self) -> int | None:
        """Its process id, None while it is down."""
        return self.server.pid

    async def start(self) -> None:
        """Start it and create its databases; raise PartError."""
        await _run_to_its_end(self._start)

    def _start(self) -> None:
        import psycopg

        try:
            self.server.stop()  # releases the lock and the process of a killed server
            self.server.start()
            self._started = self.server.pid
            for database in self.databases:
                self.server.create_database(database)
        except (PostgresError, psycopg.Error) as error:
            raise PartError(str(error)) from error

    async def ended(self) -> str:
        """Wait until its process ends."""
        # Another thread owns the process, so this one polls it.
        while self.server.pid is not None:  # noqa: ASYNC110
            await asyncio.sleep(_POLL_SECONDS)
        return f"process {self._started}"

    async def stop(self) -> None:
        """Stop it: disconnect clients and write everything."""
        try:
            await _run_to_its_end(self.server.stop)
        finally:
            self._started = None

    def kill(self) -> None:
        """Kill it before its last checkpoint; the next start recovers."""
        if self._started is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._started, signal.SIGQUIT)


async def _run_to_its_end(work: Callable[[], None]) -> None:
    """Run ``work`` in a thread; wait for its end even when cancelled, or an abandoned start runs beside the stop."""
    running = asyncio.create_task(asyncio.to_thread(work))
    cancelled: asyncio.CancelledError | None = None
    while not running.done():
        try:
            await asyncio.wait([running])
        except asyncio.CancelledError as error:
            cancelled = error
    failure = running.exception()
    if cancelled is not None:
        raise cancelled
    if failure is not None:
        raise failure
