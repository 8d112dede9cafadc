"""Check that one replica holds the lease of a job."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine
from ticketcap_chassis.database import job_leases
from ticketcap_chassis.database.engine import create_engine
from ticketcap_chassis.database.errors import StoreUnavailable
from ticketcap_chassis.database.job_leases import JobLeases
from ticketcap_chassis.database.limits import PoolLimits
from ticketcap_observability import Telemetry
from ticketcap_testing.silent_proxy import SilentProxy

JOBS = ("audit", "gauges", "hold_expiry")
LONG = 600.0
SHORT = 0.3
CREATE = (
    "CREATE TABLE job_leases (job text PRIMARY KEY, holder uuid NOT NULL, expires_at timestamptz NOT NULL)",
    "GRANT SELECT, INSERT, UPDATE ON job_leases TO chassis_app",
)


def opened(url: str, *, size: int = 8, answer: float = 10.0) -> AsyncEngine:
    return create_engine(
        url,
        role="chassis_app",
        pool_name="jobs",
        limits=PoolLimits(size=size, answer_timeout=answer),
        telemetry=Telemetry.in_memory(),
    )


@pytest.fixture
async def engine(database: str) -> AsyncIterator[AsyncEngine]:
    with psycopg.connect(database, autocommit=True) as owner:
        for statement in CREATE:
            owner.execute(statement.encode())
    opened_engine = opened(database)
    yield opened_engine
    await opened_engine.dispose()


def held(leases: JobLeases) -> list[str]:
    return [job for job in JOBS if leases.holds(job)]


def holders(replicas: Sequence[JobLeases]) -> Counter[str]:
    """Return the number of replicas that hold each job."""
    return Counter(job for replica in replicas for job in held(replica))


async def test_the_first_replica_runs_the_jobs_while_it_lives(engine: AsyncEngine) -> None:
    """The other one takes none, however often both renew."""
    first, second = (JobLeases(engine, JOBS, seconds=LONG) for _ in range(2))
    for _ in range(3):
        await first.renew()
        await second.renew()
    assert (held(first), held(second)) == (list(JOBS), [])
    assert first.reading() == [(1.0, {"leased_job": job}) for job in JOBS]
    assert second.reading() == [(0.0, {"leased_job": job}) for job in JOBS]


async def test_the_jobs_of_a_dead_replica_go_on(engine: AsyncEngine) -> None:
    """After the length of its leases, and not before."""
    dead, other = JobLeases(engine, JOBS, seconds=SHORT), JobLeases(engine, JOBS, seconds=LONG)
    await dead.renew()
    took = 0
    async with asyncio.timeout(30):
        while not held(other):
            # It stops before another replica can begin.
            overlap = held(dead)
            await other.renew()
            assert not (overlap and held(other) and held(dead))
            took += 1
    assert (held(dead), held(other)) == ([], list(JOBS))
    assert took > 1
    await dead.renew()
    assert held(dead) == [], "it lives again, but the jobs have moved"


async def test_a_replica_that_stops_gives_its_jobs_back(engine: AsyncEngine) -> None:
    """No replica waits for the end of the leases."""
    first, second = (JobLeases(engine, JOBS, seconds=LONG) for _ in range(2))
    await first.renew()
    await first.release()
    await second.renew()
    assert (held(first), held(second)) == ([], list(JOBS))


async def race(engine: AsyncEngine) -> int:
    """Let eight replicas reach for expired leases at once, many times; return the most that held one job."""
    most = 0
    for _ in range(20):
        replicas = [JobLeases(engine, JOBS, seconds=LONG) for _ in range(8)]
        await asyncio.gather(*(replica.renew() for replica in replicas))
        counted = holders(replicas)
        assert set(counted) == set(JOBS)
        most = max(most, *counted.values())
        await asyncio.gather(*(replica.release() for replica in replicas))
    return most


async def test_one_of_many_replicas_takes_a_free_job(engine: AsyncEngine) -> None:
    """Also when all reach for it at once."""
    assert await race(engine) == 1


async def test_the_race_would_show_a_lease_that_is_not_checked(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The negative control: a statement that takes a lease from its holder gives a job to several replicas."""
    unchecked = job_leases._RENEW.text.replace(
        "WHERE lease.holder = excluded.holder OR lease.expires_at <= statement_timestamp()", ""
    )
    assert unchecked != job_leases._RENEW.text
    monkeypatch.setattr(job_leases, "_RENEW", text(unchecked))
    assert await race(engine) > 1


async def test_a_turn_is_a_no_op_without_the_lease(engine: AsyncEngine) -> None:
    """The work is done by the replica that holds it."""
    first, second = (JobLeases(engine, JOBS, seconds=LONG) for _ in range(2))
    turns = Counter[str]()

    async def count(name: str) -> None:
        turns[name] += 1

    await first.renew()
    await second.renew()
    await first.turn("audit", lambda: count("first"))()
    await second.turn("audit", lambda: count("second"))()
    assert turns == {"first": 1}
    with pytest.raises(ValueError, match="'audits' has no lease; its name must be one of audit, gauges, hold_expiry"):
        first.turn("audits", lambda: count("first"))


async def test_a_silent_database_ends_the_leases_and_holds_no_stop_up(
    engine: AsyncEngine, database: str, proxy: SilentProxy
) -> None:
    """A replica that can't renew stops its jobs in time; it can't give them back, and says so."""
    cut_off = opened(proxy.led(database), size=1, answer=0.5)
    leases = JobLeases(cut_off, JOBS, seconds=3)
    await leases.renew()
    assert held(leases) == list(JOBS)
    proxy.silence()
    with pytest.raises(StoreUnavailable):
        await leases.renew()
    async with asyncio.timeout(30):
        while held(leases):
            await asyncio.sleep(0.05)
    await leases.renew()
    assert held(leases) == list(JOBS), "it has a new connection"
    proxy.silence()
    await leases.release()
    assert held(leases) == []
    await cut_off.dispose()
