"""Check where the service's connections lead, and how many there are."""

import asyncio
from pathlib import Path

import psycopg
import pytest
from service_under_test import OWNER, Replica, claim, migrated_database, replica, settings
from ticketcap.registration.v1 import registration_pb2 as pb
from ticketcap_local.postgres import EmbeddedPostgres
from ticketcap_registration.store.migrate import migrate
from ticketcap_testing.stack import connection_forms, fresh_database

POOLS = {"registration_app": 3, "registration_app_lanes": 3, "registration_jobs": 2, "announcements": 1}
SMALL = {
    "database_connections": 3,
    "lane_transactions": 2,
    "lane_patient_transactions": 1,
    "database_jobs_connections": 2,
}
COUNT = """SELECT replace(application_name, 'ticketcap-', ''), count(*)::int FROM pg_stat_activity
           WHERE datname = current_database() AND application_name LIKE 'ticketcap-%' GROUP BY 1"""


@pytest.mark.parametrize("number", range(6))
async def test_every_form_serves_pools_listener_and_migrations(
    postgres: EmbeddedPostgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """A claim is confirmed, and a watcher sees its seat."""
    with fresh_database(postgres) as url:
        name = url.rpartition("/")[2]
        form, variables = connection_forms(postgres, name, tmp_path)[number]
        for variable, value in variables.items():
            monkeypatch.setenv(variable, value)
        migrate(form)
        async with replica(form) as running, asyncio.timeout(60):
            await running.open()
            watch = running.stub.WatchEvent(pb.WatchEventRequest(school="herzl", event="spring-match"))
            confirmed: list[int] = []
            async for change in watch:
                if not confirmed:
                    assert (await running.register(1)).status == pb.REGISTRATION_STATUS_CONFIRMED
                confirmed.append(change.seats.confirmed)
                if confirmed[-1]:
                    break
            watch.cancel()
            assert confirmed[0] == 0


async def test_under_load_it_opens_as_many_connections_as_it_publishes(postgres: EmbeddedPostgres) -> None:
    """All of its pools are full then, and none has more; the metric and the log line say the same."""
    with migrated_database(postgres) as url:
        async with replica(url, **SMALL) as running, await psycopg.AsyncConnection.connect(url) as locker:
            await running.open(capacity=1000)
            for number in range(4):
                await running.event(slug=f"event-{number}", capacity=1000)
            # Held rows keep the lanes' connections in use.
            await locker.execute("SELECT FROM events FOR UPDATE")
            load = asyncio.create_task(_load(running))
            most = await _most_counted(url)
            load.cancel()
            await asyncio.wait([load])
        assert most == POOLS
        points = running.telemetry.points("db.client.connection.max")
        assert {point.attributes["db.client.connection.pool.name"]: point.value for point in points} == POOLS
        assert settings(url, **SMALL).most_connections == sum(POOLS.values())


async def _load(running: Replica) -> None:
    """Claim locked seats, read registrations and look up schools, all at once, until cancelled."""

    async def repeat(number: int) -> None:
        while True:
            calls = (
                running.stub.Register(claim(number, event=f"event-{number % 4}"), timeout=1),
                running.stub.ListRegistrations(
                    pb.ListRegistrationsRequest(school="herzl", event="spring-match"), metadata=OWNER
                ),
                running.stub.GetEvent(pb.GetEventRequest(school=f"unknown-{number}", event="spring-match")),
            )
            await asyncio.gather(*calls, return_exceptions=True)

    await asyncio.gather(*(repeat(number) for number in range(24)))


async def _most_counted(url: str) -> dict[str, int]:
    """Return the highest count of each pool's connections, when all are full or nothing changes for long."""
    most: dict[str, int] = {}
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as observer:
        looks_when_full = 20
        for _ in range(400):
            for pool, number in await (await observer.execute(COUNT)).fetchall():
                most[pool] = max(number, most.get(pool, 0))
            if most == POOLS:
                looks_when_full -= 1
            if not looks_when_full:
                break
            await asyncio.sleep(0.05)
    return most
