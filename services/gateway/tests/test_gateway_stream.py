"""Check the event stream: sharing, newest seats, clean ends."""

import asyncio
import ipaddress
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import httpx
import pytest
from ticketcap.registration.v1 import registration_pb2 as pb
from ticketcap_chassis.errors import NotFound
from ticketcap_chassis.rpc.connection_age import ConnectionAge
from ticketcap_testing.gateway import running_gateway
from ticketcap_testing.service_fakes import FakeRegistration, running_registration, seats
from ticketcap_testing.stack import free_port

STREAM = "/api/v1/schools/herzl/events/football/stream"
BROWSER = {"accept": "text/event-stream"}
TRUSTED = (ipaddress.ip_network("127.0.0.0/8"),)


class Watcher:
    """A browser's end of a stream."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self.lines = response.aiter_lines()

    async def next(self) -> dict[str, Any]:
        """Return the next event's data, with its id."""
        fields: dict[str, str] = {}
        async with asyncio.timeout(10):
            async for line in self.lines:
                name, _, value = line.partition(": ")
                fields[name] = value
                if not line and "data" in fields:
                    assert fields["event"] == "seats"
                    data: dict[str, Any] = json.loads(fields["data"])
                    assert fields["id"] == str(data["version"])
                    return data
        raise AssertionError("the stream ended")

    async def lines_until_end(self) -> list[str]:
        """Return what still comes until the stream ends."""
        async with asyncio.timeout(10):
            return [line async for line in self.lines]


@asynccontextmanager
async def watching(
    client: httpx.AsyncClient, path: str = STREAM, *, headers: dict[str, str] | None = None
) -> AsyncIterator[Watcher]:
    """Open a stream."""
    async with client.stream("GET", path, timeout=10, headers=headers) as response:
        assert response.status_code == 200
        assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
        yield Watcher(response)


async def _until(condition: Any) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.01)


async def test_seats_come_now_and_at_each_change(client: httpx.AsyncClient, registration: FakeRegistration) -> None:
    """The first event is the present; then each change follows, with its promotions."""
    async with watching(client) as watcher:
        first = await watcher.next()
        assert first["event_id"]
        counts = {"capacity": 100, "confirmed": 60, "held": 0, "waitlisted": 0, "available": 40, "promoted": 0}
        assert first.items() >= counts.items()
        registration.publish(seats(version=2, confirmed=61), promoted=2)
        second = await watcher.next()
        assert (second["version"], second["confirmed"], second["promoted"]) == (2, 61, 2)


async def test_watchers_share_one_stream_and_the_last_ends_it(
    client: httpx.AsyncClient, registration: FakeRegistration
) -> None:
    """Three browsers, one gRPC stream; a later one sees the newest seats; when all left, nothing watches."""
    async with watching(client) as first, watching(client) as second:
        for watcher in (first, second):
            await watcher.next()
        registration.publish(seats(version=2), promoted=1)
        assert [(await watcher.next())["promoted"] for watcher in (first, second)] == [1, 1]
        async with watching(client) as late:
            message = await late.next()
            assert (message["version"], message["promoted"]) == (2, 0)
        assert (registration.watches, registration.watching) == (1, 1)
    await _until(lambda: registration.watching == 0)


async def test_an_unknown_event_is_a_404(client: httpx.AsyncClient, registration: FakeRegistration) -> None:
    """A stream that can't begin answers with a status, and leaves nothing behind."""
    registration.failures["WatchEvent"] = NotFound("no such event", reason="EVENT_NOT_FOUND")
    response = await client.get(STREAM)
    assert (response.status_code, response.json()["code"]) == (404, "EVENT_NOT_FOUND")
    del registration.failures["WatchEvent"]
    async with watching(client) as watcher:
        await watcher.next()


async def test_a_restart_of_the_service_is_survived() -> None:
    """The browser's stream stays; the seats after the restart come within seconds, and only if they differ."""
    async with running_registration() as before:
        target = before.target
        gateway_context = running_gateway(target, heartbeat_seconds=0.2)
        gateway = await gateway_context.__aenter__()
        client = httpx.AsyncClient(base_url=gateway.url)
        stream = watching(client)
        watcher = await stream.__aenter__()
        assert (await watcher.next())["version"] == 1
    after = FakeRegistration()
    after.publish(seats(version=9, confirmed=70))
    async with running_registration(after, address=target):
        try:
            assert (await watcher.next())["version"] == 9
        finally:
            await stream.__aexit__(None, None, None)
            await client.aclose()
            await gateway_context.__aexit__(None, None, None)


async def test_a_service_that_hangs_does_not_freeze_a_stream(registration: FakeRegistration) -> None:
    """Its stream neither tells nor ends; a new one, after WATCH_RENEW_SECONDS, brings what was missed."""
    async with (
        running_gateway(registration.target, watch_renew_seconds=0.2) as gateway,
        httpx.AsyncClient(base_url=gateway.url) as client,
        watching(client) as watcher,
    ):
        assert (await watcher.next())["version"] == 1
        # The service changes its seats and publishes nothing to the streams that are open.
        registration.changes.append(pb.WatchEventResponse(seats=seats(version=2, confirmed=61)))
        assert (await watcher.next())["version"] == 2
        # Without a change nothing is sent, however often a new stream replaces the old one.
        await _until(lambda: registration.watches > 4)
        registration.publish(seats(version=3))
        assert (await watcher.next())["version"] == 3
        assert registration.watching <= 1


async def test_silence_is_filled_with_heartbeats_and_streams_are_bounded(registration: FakeRegistration) -> None:
    """A comment goes out every HEARTBEAT_SECONDS; one stream more than MAX_STREAMS is a 503."""
    async with (
        running_gateway(registration.target, heartbeat_seconds=0.1, max_streams=1) as gateway,
        httpx.AsyncClient(base_url=gateway.url) as client,
    ):
        async with watching(client) as watcher:
            refused = await client.get(STREAM)
            assert (refused.status_code, refused.json()["code"]) == (503, "TOO_MANY_STREAMS")
            assert refused.headers["retry-after"] == "1"
            await watcher.next()
            async with asyncio.timeout(5):
                lines = [await anext(watcher.lines) for _ in range(4)]
        assert lines.count(": still here") == 2
        await _until(lambda: gateway.parts.watches.readers == 0)
        async with watching(client) as watcher:
            await watcher.next()


async def test_a_drain_ends_every_stream(registration: FakeRegistration) -> None:
    """Streams end in order, not by a cut connection."""
    async with (
        running_gateway(registration.target) as gateway,
        httpx.AsyncClient(base_url=gateway.url) as client,
        watching(client) as watcher,
    ):
        await watcher.next()
        await gateway.parts.watches.close()
        assert await watcher.lines_until_end() == []
        assert (await client.get(STREAM)).status_code == 503


async def test_an_event_that_is_removed_ends_its_stream(
    client: httpx.AsyncClient, registration: FakeRegistration
) -> None:
    """The last event says so, and a browser that connects again gets a 404, after which it does not return."""
    async with watching(client) as watcher:
        await watcher.next()
        registration.failures["WatchEvent"] = NotFound("gone", reason="EVENT_NOT_FOUND")
        registration.end_watches()
        assert await watcher.lines_until_end() == [
            "event: deleted",
            'data: {"code": "EVENT_NOT_FOUND", "detail": "the event was deleted; close the stream"}',
            "",
        ]
    assert (await client.get(STREAM, headers=BROWSER)).status_code == 404


async def test_a_stream_begins_while_the_service_is_away() -> None:
    """200 with retry and a comment at once, because a browser never comes back after an error; then the seats."""
    target = f"127.0.0.1:{free_port()}"
    async with (
        running_gateway(target, heartbeat_seconds=0.2) as gateway,
        httpx.AsyncClient(base_url=gateway.url) as client,
        watching(client) as watcher,
    ):
        assert [await anext(watcher.lines) for _ in range(2)] == ["retry: 1000", ": seats follow"]
        async with running_registration(address=target):
            assert (await watcher.next())["version"] == 1


async def test_a_slow_service_does_not_keep_a_stream_from_beginning(registration: FakeRegistration) -> None:
    """The seats come when they come; and an event that turns out not to exist ends its stream."""
    registration.gate = asyncio.Event()
    async with running_gateway(registration.target) as gateway, httpx.AsyncClient(base_url=gateway.url) as client:
        async with watching(client) as watcher:
            registration.gate.set()
            assert (await watcher.next())["version"] == 1
        registration.gate.clear()
        registration.failures["WatchEvent"] = NotFound("no such event", reason="EVENT_NOT_FOUND")
        async with watching(client) as watcher:
            registration.gate.set()
            assert "event: deleted" in await watcher.lines_until_end()


async def test_a_browser_that_is_refused_comes_back(registration: FakeRegistration) -> None:
    """A client that accepts an event stream gets a stream with a retry time that ends; other clients get a status."""
    async with (
        running_gateway(registration.target, max_streams=1) as gateway,
        httpx.AsyncClient(base_url=gateway.url) as client,
    ):
        async with watching(client):
            refused = await client.get(STREAM, headers=BROWSER)
            assert refused.status_code == 200
            retry, comment, *rest = refused.text.split("\n")
            assert 10_000 <= int(retry.removeprefix("retry: ")) <= 20_000
            assert (comment, rest) == (": 1 streams are open already", ["", ""])
        await gateway.parts.watches.close()
        assert (await client.get(STREAM, headers=BROWSER)).text.startswith("retry: ")


async def test_one_address_has_a_share_of_the_streams(registration: FakeRegistration) -> None:
    """At its share an address gets 503 with Retry-After, and the others are served; an IPv6 /64 is one address."""
    async with (
        running_gateway(
            registration.target,
            max_streams=10,
            max_streams_per_address=2,
            trusted_proxies=TRUSTED,
        ) as gateway,
        httpx.AsyncClient(base_url=gateway.url) as client,
        AsyncExitStack() as open_streams,
    ):

        def of(address: str) -> dict[str, str]:
            return {"x-forwarded-for": address}

        for address in ("192.0.2.1", "192.0.2.1", "2001:db8::1", "2001:db8::2"):
            await open_streams.enter_async_context(watching(client, headers=of(address)))
        for address in ("192.0.2.1", "2001:db8::3"):
            refused = await client.get(STREAM, headers=of(address))
            assert (refused.status_code, refused.json()["code"]) == (503, "TOO_MANY_STREAMS")
            assert refused.headers["retry-after"] == "1"
        async with watching(client, headers=of("192.0.2.2")) as watcher:
            await watcher.next()


@pytest.mark.parametrize("method", ["POST", "DELETE"])
async def test_a_stream_is_only_read(client: httpx.AsyncClient, method: str) -> None:
    """Other methods are 405."""
    assert (await client.request(method, STREAM)).status_code == 405


async def test_a_rush_is_a_few_updates_a_second(client: httpx.AsyncClient, registration: FakeRegistration) -> None:
    """A hundred changes at once are two or three updates for each browser; nothing is lost, the newest comes last."""
    async with watching(client) as watcher:
        await watcher.next()
        for version in range(2, 102):
            registration.publish(seats(version=version), promoted=1)
            await asyncio.sleep(0.001)
        updates = [await watcher.next()]
        while updates[-1]["version"] < 101:
            updates.append(await watcher.next())
        assert sum(update["promoted"] for update in updates) == 100
        assert len(updates) < 50


async def test_the_streams_of_one_event_leave_room_for_others(registration: FakeRegistration) -> None:
    """One more than MAX_EVENT_STREAMS of an event is a 503, for its name in any case; another event's begins."""
    async with (
        running_gateway(registration.target, max_streams=3, max_event_streams=1) as gateway,
        httpx.AsyncClient(base_url=gateway.url) as client,
    ):
        event = "0199c1de-0000-7000-8000-00000000abcd"
        async with watching(client, STREAM.replace("football", event)):
            refused = await client.get(STREAM.replace("football", event.upper()))
            assert (refused.status_code, refused.json()["code"]) == (503, "TOO_MANY_STREAMS")
            async with watching(client) as watcher:
                await watcher.next()


@pytest.mark.parametrize(
    ("grace", "renew_seconds"),
    [pytest.param(10, 0.2, id="renewed-in-time"), pytest.param(0.2, 60, id="cut-off-by-the-server")],
)
async def test_a_stream_survives_its_connections(grace: float, renew_seconds: float) -> None:
    """The browser sees every version once and in order, on one stream."""
    connections = 4
    age = ConnectionAge(seconds=0.3, grace=grace)
    async with (
        running_registration(age=age) as registration,
        running_gateway(registration.target, watch_renew_seconds=renew_seconds) as gateway,
        httpx.AsyncClient(base_url=gateway.url) as client,
        watching(client) as watcher,
    ):
        assert (await watcher.next())["version"] == 1
        for version in range(2, 100):
            registration.publish(seats(version=version, confirmed=version))
            assert (await watcher.next())["version"] == version
            if len(registration.connections) >= connections and version > connections:
                break
        assert len(registration.connections) >= connections
        assert registration.watches >= connections
