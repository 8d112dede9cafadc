"""Test that an event with locked rows delays no other event."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import psycopg
import pytest
from service_under_test import OWNER, Replica, replica
from ticketcap.registration.v1 import registration_pb2 as pb

CONFIRMED = pb.REGISTRATION_STATUS_CONFIRMED
WAITING_SECONDS = 30.0
"""Generous: nothing here is decided by it."""


@asynccontextmanager
async def locked(database: str, statement: str, values: Sequence[object]) -> AsyncIterator[None]:
    """Hold what ``statement`` locks while the code inside runs."""
    async with await psycopg.AsyncConnection.connect(database) as connection:
        await connection.execute(statement.encode(), values)
        yield
        await connection.rollback()


def events_locked(database: str, slugs: list[str]) -> AbstractAsyncContextManager[None]:
    return locked(database, "SELECT 1 FROM events WHERE slug = ANY(%s) FOR UPDATE", [slugs])


async def test_locked_events_delay_no_other_event(service: Replica) -> None:
    """More of them than there are turns: a cold event's claims are answered, theirs when the lock is gone."""
    await service.open(slug="cold")
    slugs = [f"locked-{number}" for number in range(6)]
    for slug in slugs:
        await service.event(slug=slug)
    async with events_locked(service.database, slugs):
        stuck = [
            asyncio.ensure_future(service.register(number, event=slug, timeout=WAITING_SECONDS))
            for number in range(3)
            for slug in slugs
        ]
        await asyncio.sleep(0.3)
        for number in range(10):
            answer = await service.register(number, event="cold", timeout=2)
            assert answer.status == CONFIRMED
        assert not any(task.done() for task in stuck)
    answers = await asyncio.gather(*stuck)
    assert {answer.status for answer in answers} == {CONFIRMED}
    assert [(await service.seats(slug)).confirmed for slug in slugs] == [3] * 6


async def test_holds_of_a_locked_event_delay_the_expiry_of_no_other(service: Replica) -> None:
    """Its own holds expire when the lock is gone."""
    await service.school()
    for slug in ("locked", "free"):
        await service.event(slug=slug, price_agorot=1000, hold_seconds=600)
    stuck, other = [await service.register(1, event=slug) for slug in ("locked", "free")]
    async with events_locked(service.database, ["locked"]):
        await _end_hold(service, stuck)
        # The look that finds this hold begins only after the one that met the lock.
        await asyncio.sleep(0.5)
        await _end_hold(service, other)
        async with asyncio.timeout(6):
            await _until_expired(service, other)
        assert (await service.get(stuck)).status == pb.REGISTRATION_STATUS_PENDING_PAYMENT
    async with asyncio.timeout(WAITING_SECONDS):
        await _until_expired(service, stuck)


async def _end_hold(service: Replica, response: pb.RegisterResponse) -> None:
    over = b"UPDATE registrations SET hold_expires_at = now() - interval '1 second' WHERE id = %s"
    async with await psycopg.AsyncConnection.connect(service.database) as owner:
        await owner.execute(over, [response.id])


async def _until_expired(service: Replica, response: pb.RegisterResponse) -> None:
    while (await service.get(response)).status != pb.REGISTRATION_STATUS_EXPIRED:
        await asyncio.sleep(0.05)


@pytest.mark.parametrize("kind", ["check-in", "deletion"])
async def test_writes_to_a_locked_event_leave_connections_to_others(database: str, kind: str) -> None:
    """Check-ins and deletions wait for a row and hold a connection each: others still read and register."""
    async with replica(database, database_connections=2) as service:
        await service.school()
        for slug in ("locked", "cold"):
            await service.event(slug=slug)
        responses = (
            [await service.register(number, event="locked") for number in range(3)] if kind == "check-in" else []
        )
        what = "registrations WHERE event_id = (SELECT id FROM events WHERE slug = %s)"
        what = what if kind == "check-in" else "events WHERE slug = %s"
        async with locked(database, f"SELECT 1 FROM {what} FOR UPDATE", ["locked"]):
            writes = [asyncio.ensure_future(_check_in(service, one)) for one in responses] or [
                asyncio.ensure_future(_delete(service)) for _ in range(3)
            ]
            await asyncio.sleep(0.3)
            for number in range(5):
                await service.register(100 + number, event="cold", timeout=2)
                assert (await service.seats("cold")).confirmed == number + 1
            assert not any(task.done() for task in writes)
        answers = await asyncio.gather(*writes, return_exceptions=True)
        assert not all(isinstance(answer, BaseException) for answer in answers)


async def _check_in(service: Replica, response: pb.RegisterResponse) -> object:
    request = pb.CheckInRequest(school="herzl", event="locked", confirmation_code=response.confirmation_code)
    return await service.stub.CheckIn(request, metadata=OWNER, timeout=WAITING_SECONDS)


async def _delete(service: Replica) -> object:
    request = pb.DeleteEventRequest(school="herzl", event="locked")
    return await service.stub.DeleteEvent(request, metadata=OWNER, timeout=WAITING_SECONDS)
