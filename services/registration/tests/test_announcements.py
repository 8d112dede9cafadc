"""Test the listener: connection strings, lost and silent connections, health."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import psycopg
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from service_under_test import IMPATIENT, Replica, migrated_database, replica
from ticketcap.registration.v1 import registration_pb2 as pb
from ticketcap_local.postgres import EmbeddedPostgres
from ticketcap_testing.stack import free_port

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
CHECK_SECONDS = 0.2
LISTENERS = "FROM pg_stat_activity WHERE application_name = 'ticketcap-announcements' AND datname = current_database()"


@pytest.fixture
async def checked(database: str) -> AsyncIterator[Replica]:
    """A replica that checks its listener often."""
    async with replica(database, announcement_check_seconds=CHECK_SECONDS, **IMPATIENT) as running:
        yield running


async def health_of(service: Replica, name: str) -> Any:
    health = health_pb2_grpc.HealthStub(service.channel)
    answer = await health.Check(health_pb2.HealthCheckRequest(service=name), timeout=5)  # type: ignore[attr-defined]  # set at run time
    return answer.status


async def becomes(service: Replica, status: Any) -> None:
    async with asyncio.timeout(30):
        while await health_of(service, "seat_announcements") != status:
            await asyncio.sleep(0.05)


def age(service: Replica) -> float:
    (point,) = service.telemetry.points("seat.announcement.age")
    return float(point.value)


@asynccontextmanager
async def watching(service: Replica) -> AsyncIterator[Any]:
    stream = service.stub.WatchEvent(pb.WatchEventRequest(school="herzl", event="spring-match"))
    yield stream
    stream.cancel()


async def seats(stream: Any, confirmed: int) -> None:
    """Wait until a watcher reads so many confirmed spots."""
    async with asyncio.timeout(15):
        while (await stream.read()).seats.confirmed != confirmed:
            pass


def forms(url: str) -> list[str]:
    """Spell the address of one server and of one that is not there."""
    parameters = {key: str(value) for key, value in conninfo_to_dict(url).items()}
    login, database = f"{parameters['user']}:{parameters['password']}", parameters["dbname"]
    here, nowhere = f"127.0.0.1:{parameters['port']}", f"127.0.0.1:{free_port()}"
    return [
        f"postgresql://{login}@{nowhere},{here}/{database}?target_session_attrs=read-write",
        f"postgresql+psycopg://{login}@/{database}?host={nowhere}&host={here}",
        make_conninfo(**{**parameters, "host": "127.0.0.1,127.0.0.1", "port": f"{nowhere[10:]},{parameters['port']}"}),
    ]


@pytest.mark.parametrize("form", range(3), ids=["libpq", "sqlalchemy", "keywords"])
async def test_two_hosts_serve_migrate_and_announce(postgres: EmbeddedPostgres, form: int) -> None:
    """Whichever spelling: the pools, the migration and the listener take the host that answers."""
    with migrated_database(postgres, spelled=lambda url: forms(url)[form]) as database:
        async with replica(forms(database)[form], announcement_check_seconds=CHECK_SECONDS, **IMPATIENT) as service:
            await service.open()
            async with watching(service) as stream:
                await stream.read()
                await service.register(1)
                await seats(stream, 1)
            await becomes(service, SERVING)


async def test_a_listener_that_can_not_connect_fails_its_health(
    checked: Replica, postgres: EmbeddedPostgres, database: str
) -> None:
    """Only its own health: registrations continue. It recovers by itself, and watchers learn what they missed."""
    name = conninfo_to_dict(database)["dbname"]
    await checked.open()
    with psycopg.connect(postgres.url(), autocommit=True) as elsewhere:
        async with watching(checked) as stream:
            await stream.read()
            await checked.register(1)
            elsewhere.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
            elsewhere.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name = 'ticketcap-announcements' AND datname = %s",
                (name,),
            )
            await becomes(checked, NOT_SERVING)
            assert age(checked) > 3 * CHECK_SECONDS
            assert await health_of(checked, "") == SERVING
            await checked.register(2)
            elsewhere.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
            await becomes(checked, SERVING)
            await seats(stream, 2)


async def test_a_new_connection_is_checked_at_once(database: str) -> None:
    """However seldom the checks are: health is not wrong for the time of one."""
    async with replica(database, announcement_check_seconds=15, **IMPATIENT) as service:
        await becomes(service, SERVING)
        with psycopg.connect(database, autocommit=True) as owner:
            owner.execute(f"SELECT pg_terminate_backend(pid) {LISTENERS}")
        lost = age(service)
        async with asyncio.timeout(14):
            while age(service) >= lost:
                await asyncio.sleep(0.05)


@contextmanager
def stopped(pids: list[int]) -> Iterator[None]:
    """Stop processes of the server: their connections stay open and deliver nothing."""
    try:
        _signal(pids, signal.SIGSTOP)
        yield
    finally:
        _signal(pids, signal.SIGCONT)


def _signal(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):  # it may end by itself
            os.kill(pid, number)


async def test_a_connection_that_carries_nothing_is_given_up(checked: Replica, database: str) -> None:
    """Nothing fails on it: only the checks that do not come tell. Another one is made, and health is well again."""
    await checked.open()
    async with watching(checked) as stream:
        await stream.read()
        with psycopg.connect(database, autocommit=True) as owner:
            former = [pid for (pid,) in owner.execute(f"SELECT pid {LISTENERS}")]
            with stopped(former):
                async with asyncio.timeout(30):
                    while not [pid for (pid,) in owner.execute(f"SELECT pid {LISTENERS}") if pid not in former]:
                        await asyncio.sleep(0.05)
                await becomes(checked, SERVING)
                await checked.register(1)
                await seats(stream, 1)


async def test_checks_of_one_replica_do_not_reach_another(checked: Replica, database: str) -> None:
    """Each has a channel of its own: no watcher is woken, and nothing is unreadable."""
    await checked.open()
    async with (
        replica(database, announcement_check_seconds=CHECK_SECONDS, **IMPATIENT) as other,
        watching(other) as stream,
    ):
        await stream.read()
        waiting = asyncio.ensure_future(stream.read())
        await asyncio.sleep(4 * CHECK_SECONDS)
        assert not waiting.done()
        await checked.register(1)
        assert (await asyncio.wait_for(waiting, 10)).seats.confirmed == 1
