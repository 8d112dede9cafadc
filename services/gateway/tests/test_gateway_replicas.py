"""Check that an event's calls go to one replica of registration."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import httpx
import pytest
from ticketcap.registration.v1 import registration_pb2 as pb
from ticketcap_gateway.services.affinity import event_key
from ticketcap_testing.gateway import running_gateway
from ticketcap_testing.service_fakes import REGISTRATION_ID, FakeRegistration, bearer, running_registration

EVENTS = [f"event-{number}" for number in range(24)]
Replicas = list[FakeRegistration]


@pytest.fixture
async def replicas() -> AsyncIterator[Replicas]:
    """Two replicas."""
    async with running_registration() as first, running_registration() as second:
        yield [first, second]


def target(replicas: Replicas) -> str:
    """Return the name of all replicas."""
    return "ipv4:" + ",".join(replica.target for replica in replicas)


@pytest.fixture
async def client(replicas: Replicas) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a gateway in front of both replicas."""
    async with running_gateway(target(replicas)) as gateway, httpx.AsyncClient(base_url=gateway.url) as client:
        yield client


def events_of(replica: FakeRegistration) -> set[str]:
    """Return the events whose calls reached a replica, by whichever method."""
    single = {request.event for requests in replica.requests.values() for request in requests if has_event(request)}
    batches = replica.requests["RegisterBatch"]
    return single | {item.request.event for batch in batches for item in batch.items}


def has_event(request: object) -> bool:
    """Say whether a request names an event."""
    return bool(getattr(request, "event", ""))


async def claim(client: httpx.AsyncClient, event: str) -> int:
    """Claim a spot; return the status."""
    body = {"name": "דנה כהן", "phone": "050-123-4567", "spots": 1}
    return (await client.post(f"/api/v1/schools/herzl/events/{event}/registrations", json=body)).status_code


async def call_all(client: httpx.AsyncClient, event: str) -> None:
    """Make a call of each kind about an event."""
    path = f"/api/v1/schools/herzl/events/{event}"
    assert await claim(client, event) == 201
    assert (await client.get(path)).status_code == 200
    assert (await client.get(f"{path}/registrations", headers=bearer())).status_code == 200
    answer = await client.post(f"{path}/check-ins", json={"confirmation_code": "K7M3QX"}, headers=bearer())
    assert answer.status_code in {200, 201}
    async with client.stream("GET", f"{path}/stream") as stream:
        async for _ in stream.aiter_lines():
            break


async def test_all_calls_of_an_event_reach_one_replica(client: httpx.AsyncClient, replicas: Replicas) -> None:
    """Unary calls, batches and streams alike; both replicas have events."""
    for event in EVENTS * 2:
        await call_all(client, event)
    first, second = (events_of(replica) for replica in replicas)
    assert first | second == set(EVENTS)
    assert not first & second
    assert first
    assert second
    for method in ("RegisterBatch", "GetEvent", "ListRegistrations", "CheckIn", "WatchEvent"):
        assert sum(len(replica.requests[method]) for replica in replicas) == 2 * len(EVENTS), method


async def test_a_rush_on_an_event_reaches_one_replica(client: httpx.AsyncClient, replicas: Replicas) -> None:
    """A batch goes where its event's other calls go."""
    statuses = await asyncio.gather(*(claim(client, event) for event in EVENTS[:6] for _ in range(20)))
    assert set(statuses) == {201}
    first, second = (events_of(replica) for replica in replicas)
    assert first | second == set(EVENTS[:6])
    assert not first & second


async def test_calls_without_an_event_are_spread(client: httpx.AsyncClient, replicas: Replicas) -> None:
    """The id of a registration does not name its event."""
    for _ in range(60):
        answer = await client.get(f"/api/v1/registrations/{REGISTRATION_ID}", headers={"x-manage-token": "token"})
        assert answer.status_code == 200
    assert all(replica.requests["GetRegistration"] for replica in replicas)


async def test_an_events_calls_are_right_on_any_replica(
    client: httpx.AsyncClient, replicas: Replicas, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: with round_robin an event's calls reach both replicas, and each is answered."""
    spread = AsyncExitStack()
    monkeypatch.setattr("ticketcap_gateway.services.registration.event_key", None)
    async with spread:
        gateway = await spread.enter_async_context(running_gateway(target(replicas)))
        without = await spread.enter_async_context(httpx.AsyncClient(base_url=gateway.url))
        for _ in range(60):
            assert await claim(without, "football") == 201
    assert all(events_of(replica) == {"football"} for replica in replicas)


async def test_only_the_events_of_a_lost_replica_move() -> None:
    """The events of the two others stay where they are; no claim fails."""
    async with AsyncExitStack() as stack:
        survivors = [await stack.enter_async_context(running_registration()) for _ in range(2)]
        third = AsyncExitStack()
        lost_replica = await third.enter_async_context(running_registration())
        stack.push_async_callback(third.aclose)
        gateway = await stack.enter_async_context(running_gateway(target([*survivors, lost_replica])))
        client = await stack.enter_async_context(httpx.AsyncClient(base_url=gateway.url))
        for event in EVENTS:
            assert await claim(client, event) == 201
        before = [events_of(replica) for replica in survivors]
        moving = events_of(lost_replica)
        assert moving
        await third.aclose()
        for replica in survivors:
            replica.requests.clear()
        for event in EVENTS:
            assert await claim(client, event) == 201, event
        after = [events_of(replica) for replica in survivors]
        assert [events - moving for events in after] == before
        assert set.union(*after) == set(EVENTS)


@pytest.mark.parametrize(
    ("request_", "key"),
    [
        (pb.GetEventRequest(school="herzl", event="football"), "herzl/football"),
        (pb.WatchEventRequest(school="herzl", event="0199C1DE-0000"), "herzl/0199c1de-0000"),
        (pb.RegisterBatchRequest(), ""),
        (pb.ListEventsRequest(school="herzl"), ""),
        (pb.GetRegistrationRequest(id=REGISTRATION_ID), ""),
        (pb.CreateEventRequest(school="herzl"), ""),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_key_is_of_the_event_that_a_request_names(request_: object, key: str) -> None:
    """An id in capitals has the same key as in small letters."""
    assert event_key(request_) == key


def test_a_batch_has_the_key_of_its_claims() -> None:
    """All of them are of one event."""
    batch = pb.RegisterBatchRequest()
    for name in ("דנה", "יוסי"):
        batch.items.add(request=pb.RegisterRequest(school="herzl", event="football", name=name))
    assert event_key(batch) == "herzl/football"
