"""Check that seats are announced after their commits."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any, cast
from uuid import UUID

import psycopg
import pytest
from service_under_test import Replica, replica
from ticketcap.registration.v1 import registration_pb2 as pb
from ticketcap_chassis.database.errors import StoreUnavailable
from ticketcap_observability import Telemetry
from ticketcap_registration.announcements import announcer as announcer_module
from ticketcap_registration.announcements.announcer import Announcer
from ticketcap_registration.domain.seat_announcement import SeatAnnouncement
from ticketcap_registration.store.notifications import CHANNEL, Notifications
from ticketcap_registration.telemetry.announcements import AnnouncementTelemetry


class Recorded:
    """Records notifications as soon as ``open`` is set, or fails."""

    def __init__(self) -> None:
        self.sent: list[list[SeatAnnouncement]] = []
        self.open = asyncio.Event()
        self.open.set()
        self.failure: Exception | None = None

    async def send(self, channel: str, payloads: Sequence[str]) -> None:
        assert channel == CHANNEL
        await self.open.wait()
        if self.failure is not None:
            raise self.failure
        self.sent.append([SeatAnnouncement.from_json(payload) for payload in payloads])


def seats(event: int, version: int, **fields: Any) -> SeatAnnouncement:
    counts = {"status": "OPEN", "capacity": 9, "confirmed": version, "held": 0, "waitlisted": 0}
    return SeatAnnouncement(**{"event_id": UUID(int=event), "version": version, **counts, **fields})


def an_announcer() -> tuple[Recorded, Announcer, Any]:
    recorded, telemetry = Recorded(), Telemetry.in_memory()
    return recorded, Announcer(cast("Notifications", recorded), AnnouncementTelemetry(telemetry)), telemetry


def total(telemetry: Any, name: str) -> float:
    return float(sum(point.value for point in telemetry.points(f"seat.announcement.{name}")))


async def test_announcements_that_wait_are_merged() -> None:
    """One for each event: its newest seats with all promotions, and the time of the first one."""
    recorded, announcer, telemetry = an_announcer()
    announcer.announce(seats(1, 3, promoted=2, decided_at=10.0))
    announcer.announce(seats(2, 7))
    announcer.announce(seats(1, 5, promoted=1, decided_at=12.0))
    # Two replicas' commits of one event may be handed over in any order, within a replica and its lanes.
    announcer.announce(seats(1, 4, decided_at=11.0))
    await announcer.flush(5)
    assert recorded.sent == [[seats(1, 5, promoted=3, decided_at=10.0), seats(2, 7)]]
    assert (total(telemetry, "published"), total(telemetry, "dropped")) == (2, 0)


async def test_those_that_arrive_meanwhile_are_sent_next() -> None:
    """Handing over never waits, also while the database is slow."""
    recorded, announcer, _ = an_announcer()
    recorded.open.clear()
    task = asyncio.create_task(announcer.run())
    announcer.announce(seats(1, 1))
    await asyncio.sleep(0.05)
    announcer.announce(seats(1, 2))
    announcer.announce(seats(2, 1))
    recorded.open.set()
    async with asyncio.timeout(10):
        while len(recorded.sent) < 2:
            await asyncio.sleep(0.01)
    task.cancel()
    assert recorded.sent == [[seats(1, 1)], [seats(1, 2), seats(2, 1)]]


async def test_a_failure_drops_announcements_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """The queue has a bound, and a database that answers again is used again."""
    recorded, announcer, telemetry = an_announcer()
    # Also an error that has no meaning: it would end the service.
    for failure in (StoreUnavailable(), ValueError()):
        recorded.failure = failure
        announcer.announce(seats(1, 1))
        await announcer.flush(5)
    assert (recorded.sent, total(telemetry, "dropped")) == ([], 2)
    recorded.failure = None
    monkeypatch.setattr(announcer_module, "_MOST_WAITING", 2)
    for number in range(3):
        announcer.announce(seats(number, 1))
    announcer.announce(seats(0, 2))
    await announcer.flush(5)
    assert recorded.sent == [[seats(0, 2), seats(1, 1)]]
    assert total(telemetry, "dropped") == 3


async def test_a_flush_ends_in_time() -> None:
    """A database that is silent delays the end of a process no longer than that."""
    recorded, announcer, telemetry = an_announcer()
    recorded.open.clear()
    announcer.announce(seats(1, 1))
    await announcer.flush(0.05)
    recorded.open.set()
    assert (recorded.sent, total(telemetry, "dropped")) == ([], 1)


async def test_a_flush_waits_for_those_under_way() -> None:
    """The task that sends them is cancelled after it."""
    recorded, announcer, _ = an_announcer()
    recorded.open.clear()
    task = asyncio.create_task(announcer.run())
    announcer.announce(seats(1, 1))
    await asyncio.sleep(0.05)
    flush = asyncio.create_task(announcer.flush(10))
    await asyncio.sleep(0.05)
    assert not flush.done()
    recorded.open.set()
    await flush
    task.cancel()
    assert recorded.sent == [[seats(1, 1)]]


@pytest.fixture
async def rereading(database: str) -> AsyncIterator[Replica]:
    """A replica whose streams read their events soon after the last announcement."""
    async with replica(database, announcement_reread_seconds=0.2) as running:
        yield running


async def test_a_lost_announcement_is_seen_after_a_while(rereading: Replica, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stream reads its event by itself: no listener hears of the change."""
    await rereading.open()

    async def lose(_self: Notifications, _channel: str, _payloads: Sequence[str]) -> None:
        raise StoreUnavailable

    stream: Any = rereading.stub.WatchEvent(pb.WatchEventRequest(school="herzl", event="spring-match"))
    first = await stream.read()
    assert first.seats.confirmed == 0
    monkeypatch.setattr(Notifications, "send", lose)
    await rereading.register(1)
    async with asyncio.timeout(30):
        second = await stream.read()
    assert second.seats.confirmed == 1
    stream.cancel()


async def test_an_announcement_follows_its_commit(rereading: Replica) -> None:
    """A listener that reads the event when it hears of it reads those seats."""
    await rereading.open()
    async with await psycopg.AsyncConnection.connect(rereading.database, autocommit=True) as listener:
        await listener.execute(f"LISTEN {CHANNEL}")
        await rereading.register(1)
        async for notify in listener.notifies(timeout=30, stop_after=1):
            heard = SeatAnnouncement.from_json(notify.payload)
        row = await (await listener.execute("SELECT version, confirmed FROM events")).fetchone()
    assert row == (heard.version, heard.confirmed)
    assert heard.confirmed == 1
