"""The embedded PostgreSQL as a part of the stack."""

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
    """A server and the databases that must be in it."""

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
        """The server's log."""
        return self.server.log_file

    @property
    def pid(self) -> int | None:
        """Its process id, None while it is down."""
        return self.server.pid

    async def start(self) -> None:
        """Start it, with its databases; raise PartError."""
        await _to_its_end(self._start)

    def _start(self) -> None:
        import psycopg

        try:
            self.server.stop()  # lets go of what a killed server left
            self.server.start()
            self._started = self.server.pid
            for database in self.databases:
                self.server.create_database(database)
        except (PostgresError, psycopg.Error) as error:
            raise PartError(str(error)) from error

    async def ended(self) -> str:
        """Wait until its process is no more."""
        # Another thread owns the process, so it is looked at, not waited for.
        while self.server.pid is not None:  # noqa: ASYNC110
            await asyncio.sleep(_POLL_SECONDS)
        return f"process {self._started}"

    async def stop(self) -> None:
        """Stop it: clients are disconnected, everything is written."""
        try:
            await _to_its_end(self.server.stop)
        finally:
            self._started = None

    def kill(self) -> None:
        """End it without its last checkpoint; the next start recovers."""
        if self._started is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._started, signal.SIGQUIT)


async def _to_its_end(work: Callable[[], None]) -> None:
    """Run ``work`` in a thread. Who is cancelled waits for it too: a start left alone would run beside the stop."""
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
