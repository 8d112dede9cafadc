"""Kill the replica that runs the jobs; another one continues."""

import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psycopg
import pytest
from service_under_test import SECRET
from ticketcap_testing.stack import ServiceProcess, free_port

JOBS = {"audit", "gauges", "hold_expiry", "housekeeping"}
HELD = re.compile(r'^job_lease\{.*leased_job="(\w+)".*\} 1(?:\.0)?$', re.MULTILINE)
LEASE_SECONDS = 2.0
# A paid event with one hold whose time is over.
DUE_HOLD = """
WITH school AS (
  INSERT INTO schools (id, slug, name, created_at)
  VALUES ('01890000-0000-7000-8000-00000000000a', 'herzl', 'Herzl', now()) RETURNING id
), event AS (
  INSERT INTO events (id, school_id, slug, title, description, location, starts_at, status, capacity,
    max_spots_per_registration, price_agorot, currency, waitlist_enabled, waitlist_policy, hold_seconds,
    cancellation_deadline_hours, confirmed, held, waitlisted, waitlist_length, waitlist_sequence, version, created_at,
    updated_at)
  SELECT gen_random_uuid(), id, 'match', 'Match', '', '', now() + interval '9 days', 'OPEN', 10, 4, 100, 'ILS', true,
    'FIRST_FIT', 900, 0, 0, 1, 0, 0, 0, 1, now(), now() FROM school RETURNING id, school_id
)
INSERT INTO registrations (id, event_id, school_id, status, name, phone, spots, confirmation_code, created_at,
  hold_expires_at, price_agorot, currency, cancellation_deadline_hours)
SELECT gen_random_uuid(), id, school_id, 'PENDING_PAYMENT', 'Dana', '+972501234567', 1, 'ABCD2345', now(),
  now() - interval '1 second', 100, 'ILS', 0 FROM event
"""


class Process(ServiceProcess):
    """A registration process with a page of metrics."""

    def __init__(self, name: str, database: str, folder: Path) -> None:
        self.metrics = f"127.0.0.1:{free_port()}"
        env = {
            "DATABASE_URL": database,
            "LISTEN_ADDRESS": f"127.0.0.1:{free_port()}",
            "METRICS_ADDRESS": self.metrics,
            "JWT_SECRET": SECRET,
            "MANAGE_TOKEN_SECRET": "another secret of the tests, also long enough",
            "JOB_LEASE_SECONDS": str(LEASE_SECONDS),
        }
        argv = [sys.executable, "-m", "ticketcap_registration"]
        super().__init__(name, argv, env, ready=lambda: "service.ready" in self.output(), folder=folder)

    def jobs(self) -> set[str]:
        """Return the jobs that it runs, as its gauge shows them."""
        return set(HELD.findall(httpx.get(f"http://{self.metrics}/metrics", timeout=10).text))


@pytest.fixture
def replicas(database: str, tmp_path: Path) -> Iterator[tuple[Process, Process]]:
    with Process("first", database, tmp_path) as first, Process("second", database, tmp_path) as second:
        yield first, second


def status(database: str) -> str:
    with psycopg.connect(database) as owner:
        row = owner.execute("SELECT status FROM registrations").fetchone()
    assert row is not None
    return str(row[0])


def test_the_jobs_of_a_killed_replica_go_on_in_the_other(replicas: tuple[Process, Process], database: str) -> None:
    """Within a lease and a renewal, 15 seconds by default: a hold that fell due meanwhile expires."""
    first, second = replicas
    assert (first.jobs(), second.jobs()) == (JOBS, set())
    first.kill()
    killed_at = time.monotonic()
    with psycopg.connect(database, autocommit=True) as owner:
        owner.execute(DUE_HOLD.encode())
    # Far above the limit: a test does not fail on a busy machine's clock.
    while second.jobs() != JOBS or status(database) != "EXPIRED":
        assert time.monotonic() < killed_at + 60, second.output()[-2000:]
        time.sleep(0.1)


def test_a_replica_that_drains_hands_its_jobs_over(replicas: tuple[Process, Process]) -> None:
    """It gives its leases back: the other one takes them at its next renewal."""
    first, second = replicas
    assert first.terminate() == 0
    ended_at = time.monotonic()
    while second.jobs() != JOBS:
        assert time.monotonic() < ended_at + 60, second.output()[-2000:]
        time.sleep(0.1)
    assert "job.leases_kept" not in first.output()
