"""Test the metrics of the registration service against a real database."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import psycopg
import pytest
from service_under_test import SERVICE, Replica, refusal, replica
from ticketcap.registration.v1 import registration_pb2 as pb
from ticketcap_observability import schema
from ticketcap_observability.schema.spans import CONVENTIONAL_ATTRIBUTES


def total(service: Replica, name: str, **labels: str) -> float:
    """Return the value of a counter or gauge, or the count of a histogram, under ``labels``; 0 when it is not there."""
    items = labels.items()
    points = [point for point in service.telemetry.points(name) if items <= dict(point.attributes).items()]
    return float(sum(point.value if hasattr(point, "value") else point.count for point in points))


async def becomes(look: Callable[[], Any], expected: Any) -> None:
    for _ in range(100):
        if look() == expected:
            return
        await asyncio.sleep(0.05)
    assert look() == expected


async def refused(call: Awaitable[Any]) -> str:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return refusal(caught.value).reason


async def test_registrations_are_counted_by_what_became_of_them(service: Replica) -> None:
    """Two spots: two confirmed, one waits; the repeat with its key is none; a cancel promotes the one who waits."""
    await service.open(capacity=2)
    first = await service.register(1, idempotency_key="k")
    await service.register(1, idempotency_key="k")
    await service.register(2)
    await service.register(3)
    assert await refused(service.register(3)) == "ALREADY_REGISTERED"
    assert total(service, "registration.created") == 3
    assert total(service, "registration.confirmed") == 2
    assert total(service, "registration.waitlisted") == 1
    assert total(service, "event.capacity_reached") == 1
    await service.cancel(first)
    assert total(service, "registration.confirmed") == 3
    assert total(service, "waitlist.promotion") == 1
    assert total(service, "waitlist.wait") == 1
    assert total(service, "event.capacity_reached") == 1, "the freed place was never free"


async def test_claims_are_timed_by_their_outcome(service: Replica) -> None:
    """Each once, refusals too; every slow one can be opened as a trace."""
    await service.open(capacity=1)
    await service.register(1, idempotency_key="k")
    await service.register(1, idempotency_key="k")
    await service.register(2)
    await refused(service.register(2))
    outcomes = {point.attributes["outcome"]: point.count for point in service.telemetry.points("registration.duration")}
    assert outcomes == {"confirmed": 1, "replayed": 1, "waitlisted": 1, "refused": 1}
    traces = {f"{span.context.trace_id:032x}" for span in service.telemetry.spans if span.name == "registration.create"}
    for point in service.telemetry.points("registration.duration"):
        assert {f"{exemplar.trace_id:032x}" for exemplar in point.exemplars} <= traces


async def test_a_batch_tells_its_size_wait_and_commit(service: Replica) -> None:
    """Once for all of it."""
    await service.open(capacity=100)
    await asyncio.gather(*(service.register(number) for number in range(50)))
    sizes = service.telemetry.points("lane.batch.size")
    assert sum(point.sum for point in sizes) == 50
    assert total(service, "lane.wait") == total(service, "lane.batch.size") == total(service, "lane.commit.duration")
    assert total(service, "db.transaction.duration", operation="seats") == total(service, "lane.batch.size")
    assert total(service, "db.query.duration", operation="seats.write") == total(service, "lane.batch.size")
    assert total(service, "lane.depth") == 0
    assert {point.attributes["state"] for point in service.telemetry.points("db.connection.count")} == {"idle", "used"}


async def test_holds_that_expire_are_counted(database: str) -> None:
    """By themselves, after their time."""
    async with replica(database, hold_expiry_seconds=0.05) as service:
        await service.open(price_agorot=100, hold_seconds=1)
        await service.register(1)
        assert total(service, "registration.confirmed") == 0
        await becomes(lambda: total(service, "hold.expired"), 1)


async def test_a_confirmed_hold_is_a_confirmed_registration(service: Replica) -> None:
    """Once, however often it is confirmed."""
    await service.open(price_agorot=100)
    response = await service.register(1)
    for _ in range(2):
        await service.stub.ConfirmHold(pb.ConfirmHoldRequest(registration_id=response.id), metadata=SERVICE)
    assert total(service, "registration.confirmed") == 1


async def test_gauges_show_the_open_events(database: str) -> None:
    """Only while they are open."""
    async with replica(database, gauges_seconds=0.05) as service:
        event = await service.open(capacity=4)
        await service.register(1)
        labels = {"event_id": event.id, "school_id": event.school_id, "school_slug": "herzl"}
        await becomes(lambda: total(service, "registration.capacity_utilization", **labels), 0.25)
        assert total(service, "school.active_events", school_slug="herzl") == 1
        await service.change(status=pb.EVENT_STATUS_CLOSED)
        await becomes(lambda: service.telemetry.points("registration.capacity_utilization"), [])
        assert service.telemetry.points("school.active_events") == []


async def test_a_promotion_is_followed_to_the_stream(service: Replica) -> None:
    """From the decision to a watcher that hears of it."""
    await service.open(capacity=1)
    first = await service.register(1)
    await service.register(2)
    stream = service.stub.WatchEvent(pb.WatchEventRequest(school="herzl", event="spring-match"))
    await stream.read()
    await service.cancel(first)
    await becomes(lambda: total(service, "waitlist.promotion.delay"), 1)
    stream.cancel()


async def test_drift_is_seen_by_the_gauge(database: str) -> None:
    """0 while all is well; 1 when a counter is changed behind the service's back."""
    async with replica(database, audit_seconds=0.05) as service:
        await service.open()
        await service.register(1)
        await asyncio.sleep(0.2)
        assert total(service, "capacity.audit.drift") == 0
        async with await psycopg.AsyncConnection.connect(database, autocommit=True) as owner:
            await owner.execute("UPDATE events SET confirmed = 3")
        await becomes(lambda: total(service, "capacity.audit.drift"), 1)


async def test_a_broken_isolation_is_seen_while_it_runs(database: str) -> None:
    """Row-level security switched off: the probe finds what it lets through."""
    async with replica(database, audit_seconds=0.05) as service:
        await service.open()
        await asyncio.sleep(0.2)
        assert service.telemetry.points("tenant.isolation.violation") == []
        async with await psycopg.AsyncConnection.connect(database, autocommit=True) as owner:
            await owner.execute("ALTER TABLE events DISABLE ROW LEVEL SECURITY")
        await becomes(lambda: total(service, "tenant.isolation.violation", where="probe") >= 1, True)


async def test_a_lost_database_is_counted(service: Replica) -> None:
    """Its sessions are ended: the next ones to be used find their connection gone."""
    await service.open()
    async with await psycopg.AsyncConnection.connect(service.database, autocommit=True) as owner:
        await owner.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE application_name LIKE 'ticketcap-%' AND datname = current_database()"
        )
    with contextlib.suppress(grpc.aio.AioRpcError):
        await service.register(1)
    await becomes(lambda: total(service, "db.connection.errors") >= 1, True)


async def test_every_span_has_known_names(service: Replica) -> None:
    """Every emitted name is in the schema or in the conventions."""
    response = await service.open(capacity=1)
    assert response.id
    first = await service.register(1)
    await service.register(2)
    await service.cancel(first)
    names = set(schema.ATTRIBUTES) | CONVENTIONAL_ATTRIBUTES
    ours = {str(span): span for span in schema.SPANS}
    for span in service.telemetry.spans:
        assert set(span.attributes or {}) <= names, span.name
        if span.name in ours:
            assert set(span.attributes or {}) - CONVENTIONAL_ATTRIBUTES <= set(ours[span.name].attributes), span.name
