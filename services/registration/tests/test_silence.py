"""Test a database that falls silent under a running service."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any, LiteralString

import grpc
import grpc.aio
import psycopg
import pytest
from service_under_test import IMPATIENT, Replica, claim, migrated_database, refusal, replica
from ticketcap.registration.v1 import registration_pb2 as pb
from ticketcap_local.postgres import EmbeddedPostgres
from ticketcap_testing.silent_proxy import SilentProxy

ANSWER_SECONDS = 2.0


@pytest.fixture
def proxy(postgres: EmbeddedPostgres) -> Iterator[SilentProxy]:
    with SilentProxy(postgres.port) as running:
        yield running


@pytest.fixture
def database(postgres: EmbeddedPostgres) -> Iterator[str]:
    with migrated_database(postgres) as url:
        yield url


@pytest.fixture
async def service(database: str, proxy: SilentProxy, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Replica]:
    """A replica that waits two seconds for its database, over a way that can fall silent."""
    monkeypatch.setenv("DATABASE_ANSWER_SECONDS", str(ANSWER_SECONDS))
    async with replica(proxy.led(database), announcement_check_seconds=0.3, **IMPATIENT) as running:
        await running.open(capacity=100)
        yield running


async def asked_of(database: str, statement: LiteralString) -> list[Any]:
    async with await psycopg.AsyncConnection.connect(database, autocommit=True) as owner:
        cursor = await owner.execute(statement)
        return await cursor.fetchall() if cursor.description else []


async def test_a_commit_that_nobody_heard_is_found_by_its_key(
    service: Replica, proxy: SilentProxy, database: str
) -> None:
    """The lane's transaction commits and its answer is lost: the caller has the registration, and it is one."""
    await asked_of(
        database,
        """CREATE FUNCTION slowly() RETURNS trigger LANGUAGE plpgsql AS
           $$ BEGIN PERFORM pg_sleep(1); RETURN NEW; END $$;
           CREATE TRIGGER slowly BEFORE UPDATE ON events FOR EACH ROW EXECUTE FUNCTION slowly()""",
    )
    registering = asyncio.create_task(service.register(1, timeout=30))
    while not await asked_of(database, "SELECT pid FROM pg_stat_activity WHERE wait_event = 'PgSleep'"):
        assert not registering.done()
        await asyncio.sleep(0.01)
    proxy.silence(only_answers=True)
    response = await registering
    assert await asked_of(database, "SELECT id::text FROM registrations") == [(response.id,)]


async def test_every_lane_and_look_up_goes_on(service: Replica, proxy: SilentProxy) -> None:
    """Many callers at once: none waits for more than one silent connection, and each is registered."""
    events = [f"event-{number}" for number in range(8)]
    for slug in events:
        await service.event(slug=slug)
        await service.register(0, event=slug)
    proxy.silence()
    began = time.monotonic()
    calls = [service.stub.Register(claim(1, event=slug), timeout=30) for slug in events]
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert [answer for answer in answers if isinstance(answer, BaseException)] == []
    # One limit for each of the two pools that a claim goes through, and what a busy machine takes.
    assert time.monotonic() - began < 2 * ANSWER_SECONDS + 15


async def test_the_listener_connects_again(service: Replica, proxy: SilentProxy, database: str) -> None:
    """Its connection says nothing any more: watchers look for themselves, and then hear as before."""
    async with replica(database, **IMPATIENT) as other:
        stream = service.stub.WatchEvent(pb.WatchEventRequest(school="herzl", event="spring-match"))
        await stream.read()
        proxy.silence()
        await other.register(1)
        assert await confirmed_becomes(stream, 1)
        await other.register(2)
        assert await confirmed_becomes(stream, 2)
        stream.cancel()


async def confirmed_becomes(stream: Any, spots: int) -> bool:
    async with asyncio.timeout(30):
        while (await stream.read()).seats.confirmed != spots:
            pass
    return True


@pytest.mark.parametrize(
    ("break_it", "mend_it", "reason"),
    [
        pytest.param(
            "REVOKE INSERT ON registrations FROM registration_app",
            "GRANT INSERT ON registrations TO registration_app",
            "STORE_UNFIT",
            id="a privilege",
        ),
        pytest.param(
            "ALTER TABLE registration_changes RENAME TO gone",
            "ALTER TABLE gone RENAME TO registration_changes",
            "STORE_UNFIT",
            id="a table",
        ),
        pytest.param(
            """CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS
               $$ BEGIN RAISE EXCEPTION 'disk full' USING ERRCODE = '53100'; END $$;
               CREATE TRIGGER full_disk BEFORE UPDATE ON events FOR EACH ROW EXECUTE FUNCTION full_disk()""",
            "DROP TRIGGER full_disk ON events",
            "STORE_EXHAUSTED",
            id="disk",
        ),
    ],
)
async def test_a_state_of_the_database_is_no_poisoned_item(
    service: Replica, database: str, break_it: LiteralString, mend_it: LiteralString, reason: str
) -> None:
    """The caller hears that the database can't, and when to come again; once it can, the lane continues."""
    await asked_of(database, break_it)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await service.register(1)
    error = refusal(refused.value)
    assert (refused.value.code(), error.reason) == (grpc.StatusCode.UNAVAILABLE, reason)
    assert error.retry_after
    await asked_of(database, mend_it)
    assert (await service.register(1)).id
