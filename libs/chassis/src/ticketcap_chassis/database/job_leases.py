"""Let one replica of a service run a job at a time.

Each job has a row in ``job_leases``. A replica takes the row of a job when it is free or expired, and renews it while
it lives. A replica that dies renews nothing, so another one takes its jobs when their leases expire.
"""

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Final
from uuid import uuid4

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine
from ticketcap_observability import Telemetry, get_logger, schema

from ticketcap_chassis.database.transactions import open_transaction
from ticketcap_chassis.errors import ServiceError

_RENEWALS: Final = 3
"""Renewals within the length of a lease: two may fail before it ends."""

# Replicas lock the rows in the same order, so that they never wait for each other in a circle. A replica that waited
# for another one's renewal reads the renewed row, and compares it with the time before its wait: it takes nothing.
_RENEW: Final = text("""-- job_leases.renew: Keep the own leases, and take the free and the expired ones.
INSERT INTO job_leases AS lease (job, holder, expires_at)
SELECT job, :holder, statement_timestamp() + make_interval(secs => :seconds)
FROM unnest(CAST(:jobs AS text[])) AS job ORDER BY job
ON CONFLICT (job) DO UPDATE SET holder = excluded.holder, expires_at = excluded.expires_at
WHERE lease.holder = excluded.holder OR lease.expires_at <= statement_timestamp()
RETURNING lease.job""")

_RELEASE: Final = text("""-- job_leases.release: Let the own leases expire now.
UPDATE job_leases SET expires_at = statement_timestamp() WHERE holder = :holder""")

_log = get_logger(__name__)


@asynccontextmanager
async def held_leases(
    engine: AsyncEngine, jobs: Sequence[str], *, seconds: float, telemetry: Telemetry
) -> AsyncIterator["JobLeases"]:
    """Take the free leases and show them in the gauge; give them back when the code inside ends."""
    leases = JobLeases(engine, jobs, seconds=seconds)
    await leases.renew()
    telemetry.gauge(schema.JOB_LEASES, leases.reading)
    try:
        yield leases
    finally:
        await leases.release()


class JobLeases:
    """The leases of one replica on ``jobs``, each ``seconds`` long after its last renewal.

    ``engine`` belongs to a role that may write the table. ``renewal_seconds`` is the time between two renewals. The
    jobs of a replica that dies continue in another one after a lease and a renewal at most.

    A lease can end during a turn: when the database is silent, or the process is stopped for longer than the lease.
    Then two replicas work at the same time, so every leased job must tolerate that.
    """

    def __init__(self, engine: AsyncEngine, jobs: Sequence[str], *, seconds: float) -> None:
        self._engine = engine
        self._jobs = tuple(jobs)
        self._seconds = seconds
        self.renewal_seconds = seconds / _RENEWALS
        self._holder = uuid4()
        self._held_until: dict[str, float] = {}
        self._reported: frozenset[str] = frozenset()

    def holds(self, job: str) -> bool:
        """Say whether this replica runs ``job`` now."""
        return time.monotonic() < self._held_until.get(job, 0.0)

    def reading(self) -> list[tuple[float, dict[str, str]]]:
        """Return 1 or 0 for each job, with its label, for the gauge of leases."""
        return [(float(self.holds(job)), {"leased_job": job}) for job in self._jobs]

    async def renew(self) -> None:
        """Keep the own leases and take the free ones; log each one that is new or gone."""
        # Before the statement: the lease ends here earlier than in the database, never later.
        asked_at = time.monotonic()
        async with open_transaction(self._engine) as connection:
            rows = await connection.execute(
                _RENEW, {"holder": self._holder, "seconds": self._seconds, "jobs": list(self._jobs)}
            )
            held = frozenset(rows.scalars())
        self._held_until = dict.fromkeys(held, asked_at + self._seconds)
        self._report(held)

    async def release(self) -> None:
        """Give the own leases back, so that another replica takes them without waiting for their end."""
        self._held_until = {}
        try:
            async with open_transaction(self._engine) as connection:
                await connection.execute(_RELEASE, {"holder": self._holder})
        except ServiceError as error:
            # They end by themselves.
            _log.warning("job.leases_kept", reason=error.reason)

    def turn(self, job: str, work: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
        """Return the turn of ``job`` that does ``work`` while this replica holds its lease, and else is a no-op."""
        if job not in self._jobs:
            raise ValueError(f"the job {job!r} has no lease; its name must be one of {', '.join(self._jobs)}")
        return partial(self._run, job, work)

    async def _run(self, job: str, work: Callable[[], Awaitable[None]]) -> None:
        if self.holds(job):
            await work()

    def _report(self, held: frozenset[str]) -> None:
        for job in sorted(held - self._reported):
            _log.info("job.lease_taken", job=job)
        for job in sorted(self._reported - held):
            _log.warning("job.lease_lost", job=job)
        self._reported = held
