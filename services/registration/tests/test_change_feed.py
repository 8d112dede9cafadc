"""Read the change feed as its consumers do."""

import asyncio
import random
from collections import defaultdict
from typing import Any

import grpc
import psycopg
import pytest
from service_under_test import SERVICE, Replica
from stepwise_migration import migrate_to, plain_login
from test_service import refused
from test_tenant_keys import BEFORE_WRITE, FILL, HERZL, RABIN, enter
from ticketcap.registration.v1 import registration_pb2 as pb
from ticketcap_local.postgres import EmbeddedPostgres
from ticketcap_registration.domain import change_feed
from ticketcap_registration.domain.states import RegistrationStatus
from ticketcap_registration.store.migrate import migrate
from ticketcap_testing.stack import fresh_database

CONFIRMED, CANCELLED = pb.REGISTRATION_STATUS_CONFIRMED, pb.REGISTRATION_STATUS_CANCELLED
WAITLISTED = pb.REGISTRATION_STATUS_WAITLISTED


@pytest.fixture(autouse=True)
def two_consumers(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second consumer beside payment, which reads every status."""
    both = {**change_feed.CONSUMERS, "notification": frozenset(RegistrationStatus)}
    monkeypatch.setattr("ticketcap_registration.domain.change_feed.CONSUMERS", both)
    monkeypatch.setattr("ticketcap_registration.store.seats.CONSUMERS", both)


async def unread(service: Replica, consumer: str = "payment", *, limit: int = 200) -> list[pb.RegistrationChange]:
    """Return one round: all changes that a consumer has not acknowledged."""
    found: list[pb.RegistrationChange] = []
    request = pb.ListChangesRequest(consumer=consumer, limit=limit)
    while True:
        page = await service.stub.ListChanges(request, metadata=SERVICE)
        assert len(page.changes) <= limit
        found += page.changes
        if not page.cursor:
            return found
        request.cursor = page.cursor


async def acknowledge(service: Replica, changes: list[pb.RegistrationChange], consumer: str = "payment") -> None:
    request = pb.AcknowledgeChangesRequest(consumer=consumer, ids=[change.id for change in changes])
    await service.stub.AcknowledgeChanges(request, metadata=SERVICE)


def spelled(changes: list[pb.RegistrationChange]) -> list[tuple[str, int]]:
    return [(change.registration_id, change.status) for change in changes]


async def test_a_consumer_reads_what_it_has_not_acknowledged(service: Replica) -> None:
    """In the order of the commits, its own statuses only, again until it acknowledges them, and then no more."""
    await service.open(capacity=1)
    first, second = await service.register(1), await service.register(2)
    await service.cancel(first)
    changes = await unread(service, limit=1)
    assert spelled(changes) == [(first.id, CONFIRMED), (first.id, CANCELLED), (second.id, CONFIRMED)]
    assert await unread(service) == changes
    await acknowledge(service, changes[:2])
    assert await unread(service) == changes[2:]
    await acknowledge(service, changes)
    assert await unread(service) == []


async def test_consumers_do_not_disturb_each_other(service: Replica) -> None:
    """Each has its own statuses, and acknowledges for itself."""
    await service.open(capacity=1)
    first, second = await service.register(1), await service.register(2)
    all_statuses = await unread(service, "notification")
    assert spelled(all_statuses) == [(first.id, CONFIRMED), (second.id, WAITLISTED)]
    await acknowledge(service, await unread(service))
    assert await unread(service) == []
    assert await unread(service, "notification") == all_statuses
    await acknowledge(service, all_statuses, "notification")
    assert await unread(service, "notification") == []


async def test_a_change_that_commits_late_is_not_passed_over(service: Replica) -> None:
    """It stands before those that were read meanwhile, and the next round reads it."""
    event = await service.open()
    await service.school("other")
    await service.event("other", slug="theirs")
    late = await service.register(1)
    await acknowledge(service, await unread(service))
    async with await psycopg.AsyncConnection.connect(service.database) as transaction:
        # Another replica's transaction: it has written, and does not commit yet.
        await transaction.execute("""
            INSERT INTO registration_changes
              (school_id, event_id, version, id, registration_id, topic, created_at, refund_agorot)
            SELECT school_id, event_id, 1, 9, registration_id, 'registration.cancelled', now(), 0
            FROM registration_changes""")
        await transaction.execute(
            "INSERT INTO unread_changes SELECT school_id, 'payment', event_id, 1, 9 FROM registration_changes"
            " WHERE id = 9"
        )
        later = await service.register(2)
        meanwhile = await unread(service)
        assert spelled(meanwhile) == [(later.id, CONFIRMED)]
        await acknowledge(service, meanwhile)
        await transaction.commit()
    [found] = await unread(service)
    assert spelled([found]) == [(late.id, CANCELLED)]
    assert found.event_id == event.id
    assert found.id < meanwhile[0].id


async def test_each_registration_is_read_in_order(service: Replica) -> None:
    """Under many requests at once, read in small pages beside them: nothing is lost, nothing comes twice."""
    seed = random.randrange(2**32)
    dice = random.Random(seed)
    await service.open(capacity=20)
    seen: dict[str, list[int]] = defaultdict(list)
    done = asyncio.Event()

    async def act(number: int) -> str:
        response = await service.register(number)
        if dice.random() < 0.5:
            await service.cancel(response)
        return response.id

    async def read() -> None:
        while True:
            last = done.is_set()
            changes = await unread(service, "notification", limit=7)
            for change in changes:
                seen[change.registration_id].append(change.status)
            if changes:
                await acknowledge(service, changes, "notification")
            if last and not changes:
                return

    reader = asyncio.create_task(read())
    ids = await asyncio.gather(*(act(number) for number in range(100)))
    done.set()
    await reader
    with psycopg.connect(service.database) as owner:
        rows = owner.execute("SELECT id::text, status FROM registrations").fetchall()
        total = owner.execute("SELECT count(*) FROM registration_changes").fetchone()
    assert sorted(seen) == sorted(ids), f"seed {seed}"
    for registration, status in rows:
        last = pb.RegistrationStatus.Name(seen[registration][-1])
        assert last == f"REGISTRATION_STATUS_{status}", f"seed {seed}: {registration} {seen[registration]}"
    assert total == (sum(map(len, seen.values())),), f"seed {seed}"


async def test_wrong_requests_are_refused(service: Replica) -> None:
    """An unknown consumer, none, and the text of another cursor; each message names the field."""
    ask, say = service.stub.ListChanges, service.stub.AcknowledgeChanges
    for call in (
        ask(pb.ListChangesRequest(consumer="unknown"), metadata=SERVICE),
        ask(pb.ListChangesRequest(), metadata=SERVICE),
        ask(pb.ListChangesRequest(consumer="payment", cursor="1.2"), metadata=SERVICE),
        say(pb.AcknowledgeChangesRequest(consumer="unknown", ids=["1"]), metadata=SERVICE),
        say(pb.AcknowledgeChangesRequest(consumer="payment", ids=["1"]), metadata=SERVICE),
        say(pb.AcknowledgeChangesRequest(consumer="payment"), metadata=SERVICE),
    ):
        assert (await refused(call))[0] is grpc.StatusCode.INVALID_ARGUMENT


def test_changes_of_the_release_before_are_unread(postgres: EmbeddedPostgres) -> None:
    """Those that it stored, and those that it writes beside this one."""
    with fresh_database(postgres) as url:
        login = plain_login(url)
        migrate_to(login, "0008")
        with psycopg.connect(url, autocommit=True) as owner:
            owner.execute(FILL.encode())
            migrate(login)
            count = "SELECT count(*) FROM unread_changes WHERE school_id = %s"
            assert [owner.execute(count, (school,)).fetchone() for school in (HERZL, RABIN)] == [(50,), (50,)]
            [event] = owner.execute("SELECT id FROM events WHERE school_id = %s", (HERZL,)).fetchall()[0]
            enter(owner, "registration_app", HERZL)
            values: dict[str, Any] = {"event": event, "school": HERZL, "phone": "beside"}
            owner.execute(BEFORE_WRITE, values)
            enter(owner, "registration_jobs")
            assert [owner.execute(count, (school,)).fetchone() for school in (HERZL, RABIN)] == [(52,), (50,)]
