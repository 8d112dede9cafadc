"""Check the bounds of a connection: size, speed and number of requests."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import pytest
from ticketcap_testing.gateway import RunningGateway, running_gateway
from ticketcap_testing.service_fakes import FakeRegistration

BODY: Final = b'{"name":"Noa Levi","phone":"050-123-4567","spots":2}'
PATH: Final = b"/api/v1/schools/herzl/events/football/registrations"
POST: Final = b"POST " + PATH + b" HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
GET: Final = b"GET /livez HTTP/1.1\r\nhost: x\r\n"


@asynccontextmanager
async def _connected(gateway: RunningGateway) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection(*gateway.address)
    try:
        yield reader, writer
    finally:
        writer.close()


async def _answer(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], Any]:
    async with asyncio.timeout(10):
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
        body = await reader.readexactly(int(headers["content-length"]))
    return int(head[0].split()[1]), headers, json.loads(body)


async def _send(gateway: RunningGateway, *pieces: bytes) -> tuple[int, dict[str, str], Any]:
    async with _connected(gateway) as (reader, writer):
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.005)
        return await _answer(reader)


async def test_headers_are_bounded(gateway: RunningGateway) -> None:
    """More than MAX_HEADER_BYTES is a 431, in one header or many, at once or in pieces, finished or not."""
    line = b"x-filler: " + b"a" * 1000 + b"\r\n"
    assert (await _send(gateway, GET, line * 15, b"\r\n"))[0] == 200
    for pieces in (
        (GET + line * 17 + b"\r\n",),
        (GET, *[line] * 17),
        (GET + b"x-filler: ", *[b"a" * 1000] * 17),
        (b"GET /livez?", *[b"a" * 1000] * 17),
        (GET + b"x-filler: " + b"a" * 1_000_000,),
    ):
        status, headers, problem = await _send(gateway, *pieces)
        assert (status, problem["code"], headers["connection"]) == (431, "HEADERS_TOO_LARGE", "close")


async def test_trailers_are_bounded(gateway: RunningGateway, registration: FakeRegistration) -> None:
    """Headers behind a chunked body count too, and a chunked message can't grow by anything but its content."""
    chunked = POST + b"transfer-encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n" % (len(BODY), BODY)
    assert (await _send(gateway, chunked + b"\r\n"))[0] == 201
    filler = b"x-filler: " + b"a" * 1000 + b"\r\n"
    assert (await _send(gateway, chunked + filler * 17 + b"\r\n"))[0] == 431
    assert (await _send(gateway, chunked + b"x-filler: ", *[b"a" * 60_000] * 4))[0] == 413
    assert len(registration.requests["RegisterBatch"]) == 1


async def test_a_refused_body_leaves_the_connection_usable(gateway: RunningGateway) -> None:
    """After a 413 the rest of the declared body is dropped, and the next request is served."""
    async with _connected(gateway) as (reader, writer):
        writer.write(POST + b"content-length: 300000\r\n\r\n")
        writer.write(b" " * 300_000 + GET + b"\r\n")
        assert (await _answer(reader))[0] == 413
        assert (await _answer(reader))[0] == 200


async def test_expect_continue_is_honoured(gateway: RunningGateway) -> None:
    """A client that expects 100 Continue gets it, or its 413 and a closed connection."""
    async with _connected(gateway) as (reader, writer):
        writer.write(POST + b"expect: 100-continue\r\ncontent-length: %d\r\n\r\n" % len(BODY))
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(BODY)
        assert (await _answer(reader))[0] == 201
    status, headers, _ = await _send(gateway, POST + b"expect: 100-continue\r\ncontent-length: 300000\r\n\r\n")
    assert (status, headers["connection"]) == (413, "close")


async def test_what_is_no_http_is_a_400(gateway: RunningGateway) -> None:
    """Also what two parsers could read in two ways."""
    for request in (
        b"nonsense\r\n\r\n",
        b"GET /livez HTTP/9.9\r\n\r\n",
        b"GET /a\x00b HTTP/1.1\r\nhost: x\r\n\r\n",
        POST + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n",
        POST + b"content-length: -5\r\n\r\n",
        POST + b"content-length: 5\r\ncontent-length: 6\r\n\r\n",
    ):
        status, _, problem = await _send(gateway, request)
        assert (status, problem["code"]) == (400, "MALFORMED_REQUEST"), request


async def test_slow_clients_are_told_and_parted_with(registration: FakeRegistration) -> None:
    """Headers or a body that dribble in end with 408 after READ_SECONDS; silence or blank lines without a word."""
    async with running_gateway(registration.target, read_seconds=0.5) as gateway:

        async def dribble(start: bytes) -> int:
            async with _connected(gateway) as (reader, writer):
                answer = asyncio.create_task(_answer(reader))
                writer.write(start)
                while not answer.done():
                    writer.write(b"a")
                    await asyncio.sleep(0.05)
                return (await answer)[0]

        async def silent() -> bytes:
            async with _connected(gateway) as (reader, _), asyncio.timeout(5):
                return await reader.read()

        async def newlines() -> None:
            async with _connected(gateway) as (reader, writer), asyncio.timeout(5):
                writer.write(GET + b"\r\n")
                assert (await _answer(reader))[0] == 200
                ended = asyncio.create_task(reader.read())
                while not ended.done():
                    writer.write(b"\r\n")
                    await asyncio.sleep(0.05)
                await asyncio.gather(ended, return_exceptions=True)

        statuses = await asyncio.gather(dribble(GET + b"x-filler: "), dribble(POST + b"content-length: 5000\r\n\r\n"))
        assert set(statuses) == {408}
        assert await silent() == b""
        await newlines()


async def test_connections_are_bounded(registration: FakeRegistration) -> None:
    """One more than MAX_CONNECTIONS gets a 503 with Retry-After; a freed connection is used again."""
    async with running_gateway(registration.target, max_connections=2) as gateway:
        async with _connected(gateway), _connected(gateway):
            status, headers, problem = await _send(gateway)
            assert (status, problem["code"], headers["retry-after"]) == (503, "TOO_MANY_CONNECTIONS", "1")
        await asyncio.sleep(0.05)
        assert (await _send(gateway, GET + b"\r\n"))[0] == 200


async def test_a_client_that_takes_nothing_is_cut_off(registration: FakeRegistration) -> None:
    """Unread answers hold their connection for WRITE_SECONDS and no longer."""
    async with running_gateway(registration.target, write_seconds=0.5) as gateway, _connected(gateway) as (_, writer):
        openapi = b"GET /openapi.json HTTP/1.1\r\nhost: x\r\n\r\n"

        async def ask_for_ever() -> None:
            async with asyncio.timeout(10):
                while True:
                    writer.write(openapi * 50)
                    await writer.drain()
                    await asyncio.sleep(0.01)

        with pytest.raises(ConnectionError):
            await ask_for_ever()


async def test_pipelined_requests_are_answered_in_order(gateway: RunningGateway) -> None:
    """Several requests in one packet get their answers one after another."""
    post = POST + b"content-length: %d\r\n\r\n" % len(BODY) + BODY
    async with _connected(gateway) as (reader, writer):
        writer.write(GET + b"\r\n" + post + GET + b"\r\n")
        assert [(await _answer(reader))[0] for _ in range(3)] == [200, 201, 200]
