"""Check that no caller takes the connections and requests of others."""

import asyncio
import contextlib
import ipaddress
import json
import resource
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final

import httpx
from ticketcap_testing.gateway import RunningGateway, running_gateway
from ticketcap_testing.service_fakes import FakeRegistration

GET: Final = b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n"
HALF: Final = b"GET /livez HTTP/1.1\r\nhost: x\r\n"
EVENT: Final = "/api/v1/schools/herzl/events/football"
ATTACKER, OTHER, HONEST = "127.0.0.2", "127.0.0.3", "127.0.0.4"
TRUSTED: Final = (ipaddress.ip_network("127.0.0.0/8"),)
# An idle connection is closed for another one after a second.
GRACE: Final = 1.2
FLOOD: Final = 2_500
resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)

Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def connected(gateway: RunningGateway, address: str) -> AsyncIterator[Ends]:
    reader, writer = await asyncio.open_connection(*gateway.address, local_addr=(address, 0))
    try:
        yield reader, writer
    finally:
        writer.close()


async def fetch(ends: Ends) -> tuple[int, dict[str, Any]]:
    """Return the status and the problem, if it is one, that the connection answers a request with."""
    reader, writer = ends
    with contextlib.suppress(ConnectionError):
        writer.write(GET)
    async with asyncio.timeout(10):
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(head.partition("content-length: ")[2].partition("\r\n")[0])
        body = json.loads(await reader.readexactly(length))
    return int(head.split()[1]), body


async def connect_and_fetch(gateway: RunningGateway, address: str) -> tuple[int, dict[str, Any]]:
    async with connected(gateway, address) as ends:
        return await fetch(ends)


async def served(gateway: RunningGateway, address: str) -> bool:
    """Say whether a new connection is served; it may be refused, or reset without a word when many are."""
    try:
        return (await connect_and_fetch(gateway, address))[0] == 200
    except (ConnectionError, asyncio.IncompleteReadError):
        return False


async def recovery(gateway: RunningGateway) -> float:
    """Return the 5 seconds within which a flood must be over; more where the machine is busy with other things."""
    began = time.monotonic()
    for _ in range(10):
        assert await served(gateway, HONEST)
    return 5 * max(1.0, (time.monotonic() - began) / 0.1)


async def open_many(stack: AsyncExitStack, gateway: RunningGateway, address: str, count: int) -> Sequence[Ends]:
    return [await stack.enter_async_context(connected(gateway, address)) for _ in range(count)]


async def ended(ends: Ends) -> bool:
    """Say whether the gateway closed a connection."""
    with contextlib.suppress(TimeoutError, ConnectionError):
        async with asyncio.timeout(0.3):
            return await ends[0].read(1) == b""
    return ends[0].at_eof()


async def test_an_address_that_has_its_share_closes_its_own_idle_connections(registration: FakeRegistration) -> None:
    """The one that is idle longest; the other addresses keep theirs and get more."""
    async with (
        running_gateway(registration.target, max_connections=8, max_connections_per_address=3) as gateway,
        AsyncExitStack() as stack,
    ):
        (honest,) = await open_many(stack, gateway, HONEST, 1)
        connections = await open_many(stack, gateway, ATTACKER, 3)
        for ends in (*connections, connections[0]):
            assert (await fetch(ends))[0] == 200
        assert (await connect_and_fetch(gateway, ATTACKER))[1]["code"] == "TOO_MANY_CONNECTIONS"
        await asyncio.sleep(GRACE)
        assert (await connect_and_fetch(gateway, ATTACKER))[0] == 200
        assert [await ended(ends) for ends in connections] == [False, True, False]
        for ends in (honest, *await open_many(stack, gateway, HONEST, 2)):
            assert (await fetch(ends))[0] == 200


async def test_half_sent_heads_count_against_their_sender(registration: FakeRegistration) -> None:
    """They take the sender's share and are closed for its next connection; other addresses do not wait."""
    async with (
        running_gateway(registration.target, max_connections=8, max_connections_per_address=3) as gateway,
        AsyncExitStack() as stack,
    ):
        halves = await open_many(stack, gateway, ATTACKER, 3)
        for _, writer in halves:
            writer.write(HALF)
        await asyncio.sleep(0.05)
        assert (await connect_and_fetch(gateway, ATTACKER))[0] == 503
        assert (await connect_and_fetch(gateway, HONEST))[0] == 200
        await asyncio.sleep(GRACE)
        assert (await connect_and_fetch(gateway, ATTACKER))[0] == 200
        assert (await halves[0][0].readline()) == b"HTTP/1.1 503 Service Unavailable\r\n"


async def test_when_all_is_full_idle_connections_are_closed_first(registration: FakeRegistration) -> None:
    """Of the address that has most of them; a request under way keeps its connection."""
    registration.gate = asyncio.Event()
    async with (
        running_gateway(registration.target, max_connections=5, max_connections_per_address=4) as gateway,
        AsyncExitStack() as stack,
    ):
        (busy,) = await open_many(stack, gateway, OTHER, 1)
        busy[1].write(f"GET {EVENT} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
        idle = await open_many(stack, gateway, ATTACKER, 4)
        assert (await connect_and_fetch(gateway, HONEST))[1]["code"] == "TOO_MANY_CONNECTIONS"
        await asyncio.sleep(GRACE)
        (honest,) = await open_many(stack, gateway, HONEST, 1)
        assert (await fetch(honest))[0] == 200
        assert [await ended(ends) for ends in idle] == [True, False, False, False]
        registration.gate.set()
        assert await busy[0].readline() == b"HTTP/1.1 200 OK\r\n"


async def test_where_all_are_at_work_the_next_one_is_refused(registration: FakeRegistration) -> None:
    """503 with Retry-After at once; a trusted proxy, which speaks for many, has no share."""
    registration.gate = asyncio.Event()
    request = f"GET {EVENT} HTTP/1.1\r\nhost: x\r\n\r\n".encode()
    for trusted, status in (((), 503), (TRUSTED, 200)):
        registration.gate.clear()
        async with (
            running_gateway(registration.target, max_connections_per_address=2, trusted_proxies=trusted) as gateway,
            AsyncExitStack() as stack,
        ):
            for _, writer in await open_many(stack, gateway, ATTACKER, 2):
                writer.write(request)
            await asyncio.sleep(GRACE)
            assert (await connect_and_fetch(gateway, ATTACKER))[0] == status
            assert (await connect_and_fetch(gateway, HONEST))[0] == 200
            registration.gate.set()


async def test_a_flood_of_connections_shuts_nobody_out(registration: FakeRegistration) -> None:
    """2,500 from one address, silent or half-sent: the others are served meanwhile, it itself within 5 seconds."""
    async with running_gateway(registration.target) as gateway, AsyncExitStack() as stack:

        async def attack(number: int) -> None:
            with contextlib.suppress(OSError):
                ends = await stack.enter_async_context(connected(gateway, ATTACKER))
                ends[1].write(HALF if number % 2 else b"")

        seconds = await recovery(gateway)
        flood = asyncio.gather(*(attack(number) for number in range(FLOOD)))
        meanwhile = []
        while not flood.done():
            meanwhile.append((await connect_and_fetch(gateway, HONEST))[0])
        await flood
        began = time.monotonic()
        assert (await connect_and_fetch(gateway, HONEST))[0] == 200
        assert set(meanwhile) <= {200}
        assert meanwhile
        while not await served(gateway, ATTACKER):
            assert time.monotonic() - began < seconds
            await asyncio.sleep(0.1)


async def test_a_flood_of_requests_leaves_nothing_behind(registration: FakeRegistration) -> None:
    """2,500 claims whose senders leave at once: the gateway answers others within 5 seconds afterwards."""
    body = b'{"name":"Noa Levi","phone":"050-123-4567","spots":1}'
    request = f"POST {EVENT}/registrations HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n".encode()
    request += b"content-length: %d\r\n\r\n" % len(body) + body
    async with running_gateway(registration.target) as gateway:

        async def attack() -> None:
            with contextlib.suppress(OSError):
                async with connected(gateway, ATTACKER) as (_, writer):
                    writer.write(request)

        seconds = await recovery(gateway)
        await asyncio.gather(*(attack() for _ in range(FLOOD)))
        async with asyncio.timeout(seconds):
            for address in (HONEST, ATTACKER):
                while not await served(gateway, address):
                    await asyncio.sleep(0.1)
            async with httpx.AsyncClient(base_url=gateway.url) as client:
                assert (await client.get(EVENT)).status_code == 200


async def test_one_client_behind_a_proxy_has_a_share_of_the_requests(registration: FakeRegistration) -> None:
    """429 with Retry-After for that client; the others are served, and so is it once it has its answers."""
    registration.gate = asyncio.Event()
    async with (
        running_gateway(registration.target, max_requests_per_address=3, trusted_proxies=TRUSTED) as gateway,
        httpx.AsyncClient(base_url=gateway.url) as client,
    ):

        async def get(address: str) -> httpx.Response:
            return await client.get(EVENT, headers={"x-forwarded-for": address})

        waiting = [asyncio.create_task(get("192.0.2.1")) for _ in range(3)]
        async with asyncio.timeout(5):
            while len(registration.requests["GetEvent"]) < 3:
                await asyncio.sleep(0.01)
        refused = await get("192.0.2.1")
        assert (refused.status_code, refused.json()["code"]) == (429, "TOO_MANY_REQUESTS")
        assert refused.headers["retry-after"] == "1"
        registration.gate.set()
        assert (await get("192.0.2.2")).status_code == 200
        assert {response.status_code for response in await asyncio.gather(*waiting)} == {200}
        assert (await get("192.0.2.1")).status_code == 200


async def test_who_would_wait_beyond_the_deadline_is_told_at_once(registration: FakeRegistration) -> None:
    """503 with Retry-After instead of a 504 after the whole deadline; another event is served meanwhile."""
    registration.gate = asyncio.Event()
    request = b"GET %b HTTP/1.1\r\nhost: x\r\n\r\n" % EVENT.encode()
    async with (
        running_gateway(registration.target, request_seconds=2) as gateway,
        httpx.AsyncClient(base_url=gateway.url, timeout=30) as client,
        AsyncExitStack() as stack,
    ):
        refused = None
        async with asyncio.timeout(30):
            # Nothing is answered: by and by it is known that the next one would not be answered in time either.
            while refused is None or refused.status_code != 503:
                for _, writer in await open_many(stack, gateway, ATTACKER, 40):
                    writer.write(request)
                with contextlib.suppress(httpx.TimeoutException):
                    refused = await client.get(EVENT, timeout=0.5)
        assert refused.json()["code"] == "OVERLOADED"
        assert int(refused.headers["retry-after"]) >= 1
        registration.gate.set()
        assert (await client.get("/api/v1/schools/herzl/events/another")).status_code == 200
        async with asyncio.timeout(20):
            while (await client.get(EVENT)).status_code != 200:
                await asyncio.sleep(0.1)
