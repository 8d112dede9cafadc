"""Check the answers to a corpus of raw requests against RFC 9112."""

import asyncio
import contextlib
import re
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import pytest
from ticketcap_chassis.errors import NotFound
from ticketcap_testing.gateway import RunningGateway, running_gateway
from ticketcap_testing.service_fakes import FakeRegistration

BODY: Final = b'{"name":"Noa Levi","phone":"050-123-4567","spots":2}'
N: Final = len(BODY)
HOST: Final = b"host: x\r\n"
CHUNKS: Final = b"%x\r\n%b\r\n0\r\n\r\n" % (N, BODY)
CHUNKED: Final = b"transfer-encoding: chunked\r\n"
# The request behind every case. If it is served, its 404 is the last answer; if the case ends the connection, none.
SENTINEL: Final = b"GET /sentinel HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
SERVED: Final = 404


def get(line: bytes = b"GET /livez HTTP/1.1", headers: bytes = HOST) -> bytes:
    return line + b"\r\n" + headers + b"\r\n"


def claim(headers: bytes, body: bytes = BODY, *, version: bytes = b"1.1") -> bytes:
    """A claim on the event that stands for the case."""
    line = b"POST /api/v1/schools/herzl/events/@EVENT@/registrations HTTP/" + version
    return line + b"\r\n" + HOST + b"content-type: application/json\r\n" + headers + b"\r\n" + body


def sized(headers: bytes = b"", *, version: bytes = b"1.1") -> bytes:
    return claim(b"content-length: %d\r\n" % N + headers, version=version)


def upgrade(protocol: bytes) -> bytes:
    return b"connection: Upgrade, HTTP2-Settings\r\nupgrade: " + protocol + b"\r\nhttp2-settings: AAMAAABk\r\n"


# In the rest of the lines: what is sent, then the statuses of all answers.
CORPUS: Final[dict[str, tuple[bytes, list[int]]]] = {
    # One request
    "plain": (sized(), [201, SERVED]),
    "chunked": (claim(CHUNKED, CHUNKS), [201, SERVED]),
    "blank lines before": (b"\r\n\r\n" + get(), [200, SERVED]),
    "a body without a use": (get(headers=HOST + b"content-length: 3\r\n") + b"abc", [200, SERVED]),
    "chunks without a use": (get(headers=HOST + CHUNKED) + b"3\r\nabc\r\n0\r\n\r\n", [200, SERVED]),
    "connection: close": (sized(b"connection: close\r\n"), [201]),
    # An offer of another protocol is ignored (RFC 9110, 7.8)
    "upgrade h2c": (sized(upgrade(b"h2c")), [201, SERVED]),
    "upgrade websocket": (sized(upgrade(b"websocket")), [201, SERVED]),
    "upgrade foo": (sized(upgrade(b"foo")), [201, SERVED]),
    "upgrade TLS/1.0, h2c": (sized(upgrade(b"TLS/1.0, h2c")), [201, SERVED]),
    "upgrade of chunks": (claim(upgrade(b"h2c") + CHUNKED, CHUNKS), [201, SERVED]),
    "upgrade without a body": (get(headers=HOST + upgrade(b"websocket")), [200, SERVED]),
    "upgrade of HTTP/1.0": (sized(upgrade(b"h2c"), version=b"1.0"), [201]),
    "upgrade of an ambiguous body": (claim(upgrade(b"h2c") + CHUNKED + b"content-length: 5\r\n", CHUNKS), [400]),
    "upgrade not for this connection": (sized(b"upgrade: h2c\r\n"), [201, SERVED]),
    # Request line
    "no version": (b"GET /livez\r\n", [400]),
    "no version, with headers": (get(b"GET /livez"), [505]),
    "HTTP/0.9": (get(b"GET /livez HTTP/0.9"), [505]),
    "HTTP/1.0": (get(b"GET /livez HTTP/1.0", b""), [200]),
    "HTTP/1.2": (get(b"GET /livez HTTP/1.2"), [400]),
    "HTTP/1.10": (get(b"GET /livez HTTP/1.10"), [400]),
    "HTTP/2.0": (get(b"GET /livez HTTP/2.0"), [505]),
    "HTTP/3.0": (get(b"GET /livez HTTP/3.0"), [505]),
    "HTTP/2 preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", [505]),
    "http/1.1": (get(b"GET /livez http/1.1"), [400]),
    "RTSP/1.1": (get(b"GET /livez RTSP/1.1"), [400]),
    "ICE/1.0": (get(b"SOURCE /livez ICE/1.0"), [400]),
    "two spaces": (get(b"GET  /livez HTTP/1.1"), [400]),
    "two spaces later": (get(b"GET /livez  HTTP/1.1"), [400]),
    "tabs": (get(b"GET\t/livez\tHTTP/1.1"), [400]),
    "space before": (get(b" GET /livez HTTP/1.1"), [400]),
    "space behind": (get(b"GET /livez HTTP/1.1 "), [400]),
    "LF before": (b"\n" + get(), [400]),
    "unknown method": (get(b"BREW /livez HTTP/1.1"), [400]),
    "method in lower case": (get(b"get /livez HTTP/1.1"), [400]),
    "CONNECT": (get(b"CONNECT x:443 HTTP/1.1"), [501]),
    "CONNECT with a path": (get(b"CONNECT /livez HTTP/1.1"), [501]),
    "TRACE": (get(b"TRACE /livez HTTP/1.1"), [405, SERVED]),
    # Request target
    "absolute form": (get(b"GET http://x/livez HTTP/1.1"), [200, SERVED]),
    "absolute form of another host": (get(b"GET http://y/livez HTTP/1.1"), [200, SERVED]),
    "absolute form without a path": (get(b"GET http://x HTTP/1.1"), [404, SERVED]),
    "absolute form with a query only": (get(b"GET http://x?a=b HTTP/1.1"), [404, SERVED]),
    "absolute form of a person": (get(b"GET http://u@x/livez HTTP/1.1"), [400]),
    "absolute form of ftp": (get(b"GET ftp://x/livez HTTP/1.1"), [400]),
    "absolute form without Host": (get(b"GET http://x/livez HTTP/1.1", b""), [400]),
    "authority form": (get(b"GET x:80 HTTP/1.1"), [400]),
    "no slash": (get(b"GET livez HTTP/1.1"), [400]),
    "asterisk": (get(b"GET * HTTP/1.1"), [400]),
    "OPTIONS *": (get(b"OPTIONS * HTTP/1.1"), [404, SERVED]),
    "fragment": (get(b"GET /livez#a HTTP/1.1"), [400]),
    "not ASCII": (get("GET /livez?é HTTP/1.1".encode()), [400]),
    "tab in the target": (get(b"GET /li\tvez HTTP/1.1"), [400]),
    "NUL in the target": (get(b"GET /livez?\0 HTTP/1.1"), [400]),
    "CR in the target": (get(b"GET /livez?\r HTTP/1.1"), [400]),
    # Host
    "no Host": (get(headers=b""), [400]),
    "two Hosts": (get(headers=HOST * 2), [400]),
    "two Hosts of HTTP/1.0": (get(b"GET /livez HTTP/1.0", HOST * 2), [400]),
    "Host of nothing": (get(headers=b"host:\r\n"), [200, SERVED]),
    "Host with a port": (get(headers=b"host: x:80\r\n"), [200, SERVED]),
    "Host of IPv6": (get(headers=b"host: [::1]:80\r\n"), [200, SERVED]),
    "Host with a space": (get(headers=b"host: a b\r\n"), [400]),
    "Host with a comma": (get(headers=b"host: a,b\r\n"), [400]),
    "Host with a path": (get(headers=b"host: a/b\r\n"), [400]),
    "Host with a person": (get(headers=b"host: u@a\r\n"), [400]),
    "Host with a wrong port": (get(headers=b"host: a:b\r\n"), [400]),
    # Headers
    "bare LF after the request line": (b"GET /livez HTTP/1.1\nhost: x\r\n\r\n", [400]),
    "bare LF after a header": (b"GET /livez HTTP/1.1\r\nhost: x\n\r\n", [400]),
    "bare LF at the end": (b"GET /livez HTTP/1.1\r\nhost: x\r\n\n", [400]),
    "bare LF everywhere": (get().replace(b"\r\n", b"\n"), [400]),
    "bare CR after the request line": (b"GET /livez HTTP/1.1\rhost: x\r\n\r\n", [400]),
    "bare CR after a header": (b"GET /livez HTTP/1.1\r\nhost: x\ra: b\r\n\r\n", [400]),
    "bare CR in a value": (get(headers=HOST + b"a: b\rc\r\n"), [400]),
    "CR CR LF": (get(headers=b"host: x\r\r\n"), [400]),
    "NUL in a value": (get(headers=HOST + b"a: b\0c\r\n"), [400]),
    "NUL in a name": (get(headers=HOST + b"a\0: b\r\n"), [400]),
    "DEL in a value": (get(headers=HOST + b"a: b\x7f\r\n"), [400]),
    "control character in a value": (get(headers=HOST + b"a: b\x01\r\n"), [400]),
    "bytes beyond ASCII in a value": (get(headers=HOST + b"a: b\xe9\r\n"), [200, SERVED]),
    "bytes beyond ASCII in a name": (get(headers=HOST + b"a\xe9: b\r\n"), [400]),
    "space in a name": (get(headers=HOST + b"a b: c\r\n"), [400]),
    "parentheses in a name": (get(headers=HOST + b"a(b): c\r\n"), [400]),
    "space before the colon": (sized(b"a : b\r\n"), [400]),
    "tab before the colon": (sized(b"a\t: b\r\n"), [400]),
    "no colon": (get(headers=HOST + b"abc\r\n"), [400]),
    "no name": (get(headers=HOST + b": b\r\n"), [400]),
    "folded": (get(headers=HOST + b"a: b\r\n c\r\n"), [400]),
    "folded by a tab": (get(headers=HOST + b"a: b\r\n\tc\r\n"), [400]),
    "folded at once": (get(headers=b" host: x\r\n"), [400]),
    # Content-Length
    "length twice, the same": (sized(b"content-length: %d\r\n" % N), [400]),
    "length twice, another": (sized(b"content-length: 5\r\n"), [400]),
    "lengths in a list": (claim(b"content-length: %d, %d\r\n" % (N, N)), [400]),
    "length with a plus": (claim(b"content-length: +%d\r\n" % N), [400]),
    "length below nothing": (claim(b"content-length: -%d\r\n" % N), [400]),
    "length in hexadecimal": (claim(b"content-length: 0x%x\r\n" % N), [400]),
    "length of nothing": (claim(b"content-length:\r\n"), [400]),
    "length with a space in it": (claim(b"content-length: 5 2\r\n"), [400]),
    "length with an underscore": (claim(b"content-length: 5_2\r\n"), [400]),
    "length with a fraction": (claim(b"content-length: %d.0\r\n" % N), [400]),
    "length too large for a number": (claim(b"content-length: 99999999999999999999999\r\n"), [400]),
    "length with thousands of zeros": (claim(b"content-length: " + b"0" * 5000 + b"%d\r\n" % N), [400]),
    "length with zeros": (claim(b"content-length: 00%d\r\n" % N), [201, SERVED]),
    "length between blanks": (claim(b"content-length: \t %d \t\r\n" % N), [201, SERVED]),
    # Transfer-Encoding
    "length, then chunks": (claim(b"content-length: 5\r\n" + CHUNKED, CHUNKS), [400]),
    "chunks, then length": (claim(CHUNKED + b"content-length: 5\r\n", CHUNKS), [400]),
    "coding twice": (claim(CHUNKED * 2, CHUNKS), [400]),
    "coding twice in a list": (claim(b"transfer-encoding: chunked, chunked\r\n", CHUNKS), [400]),
    "identity": (claim(b"transfer-encoding: identity\r\n", CHUNKS), [501]),
    "identity, then chunked": (claim(b"transfer-encoding: identity\r\n" + CHUNKED, CHUNKS), [501]),
    "chunked, then identity": (claim(CHUNKED + b"transfer-encoding: identity\r\n", CHUNKS), [400]),
    "gzip, chunked": (claim(b"transfer-encoding: gzip, chunked\r\n", CHUNKS), [501]),
    "chunked, gzip": (claim(b"transfer-encoding: chunked, gzip\r\n", CHUNKS), [400]),
    "xchunked": (claim(b"transfer-encoding: xchunked\r\n", CHUNKS), [501]),
    "quoted coding": (claim(b'transfer-encoding: "chunked"\r\n', CHUNKS), [501]),
    "coding with a parameter": (claim(b"transfer-encoding: chunked;q=1\r\n", CHUNKS), [501]),
    "coding with an empty one": (claim(b"transfer-encoding: , chunked\r\n", CHUNKS), [400]),
    "coding of nothing": (claim(b"transfer-encoding:\r\n", CHUNKS), [400]),
    "coding behind a vertical tab": (claim(b"transfer-encoding: \x0bchunked\r\n", CHUNKS), [400]),
    "coding with a space before the colon": (claim(b"transfer-encoding : chunked\r\n", CHUNKS), [400]),
    "coding in another case": (claim(b"Transfer-Encoding: ChUnKeD\r\n", CHUNKS), [201, SERVED]),
    "coding of HTTP/1.0": (claim(CHUNKED, CHUNKS, version=b"1.0"), [400]),
    # Chunks
    "extensions": (claim(CHUNKED, b'%x;a=b;c="d"\r\n%b\r\n0;z\r\n\r\n' % (N, BODY)), [201, SERVED]),
    "extension with LF": (claim(CHUNKED, b"%x;a=\n%b\r\n0\r\n\r\n" % (N, BODY)), [400]),
    "extension with CR": (claim(CHUNKED, b"%x;a=\rb\r\n%b\r\n0\r\n\r\n" % (N, BODY)), [400]),
    "extension with NUL": (claim(CHUNKED, b"%x;a=\0\r\n%b\r\n0\r\n\r\n" % (N, BODY)), [400]),
    "size with 0x": (claim(CHUNKED, b"0x%x\r\n%b\r\n0\r\n\r\n" % (N, BODY)), [400]),
    "size with a plus": (claim(CHUNKED, b"+%x\r\n%b\r\n0\r\n\r\n" % (N, BODY)), [400]),
    "size below nothing": (claim(CHUNKED, b"-%x\r\n%b\r\n0\r\n\r\n" % (N, BODY)), [400]),
    "size behind a space": (claim(CHUNKED, b" %x\r\n%b\r\n0\r\n\r\n" % (N, BODY)), [400]),
    "size before a space": (claim(CHUNKED, b"%x \r\n%b\r\n0\r\n\r\n" % (N, BODY)), [400]),
    "size of nothing": (claim(CHUNKED, b"\r\n%b\r\n0\r\n\r\n" % BODY), [400]),
    "size too large for a number": (claim(CHUNKED, b"1%016x\r\n%b\r\n0\r\n\r\n" % (N, BODY)), [400]),
    "size with zeros": (claim(CHUNKED, b"000%x\r\n%b\r\n000\r\n\r\n" % (N, BODY)), [201, SERVED]),
    "size before LF": (claim(CHUNKED, b"%x\n%b\r\n0\r\n\r\n" % (N, BODY)), [400]),
    "size before CR": (claim(CHUNKED, b"%x\r%b\r\n0\r\n\r\n" % (N, BODY)), [400]),
    "chunk before LF": (claim(CHUNKED, b"%x\r\n%b\n0\r\n\r\n" % (N, BODY)), [400]),
    "chunk before nothing": (claim(CHUNKED, b"%x\r\n%b0\r\n\r\n" % (N, BODY)), [400]),
    "chunk longer than its size": (claim(CHUNKED, b"%x\r\n%bXX\r\n0\r\n\r\n" % (N, BODY)), [400]),
    "end with LF": (claim(CHUNKED, b"%x\r\n%b\r\n0\n\n" % (N, BODY)), [400]),
    # Trailers
    "trailer": (claim(CHUNKED, CHUNKS[:-2] + b"x-a: b\r\n\r\n"), [201, SERVED]),
    "trailer of a length": (claim(CHUNKED, CHUNKS[:-2] + b"content-length: 7\r\n\r\n"), [400]),
    "trailer of a coding": (claim(CHUNKED, CHUNKS[:-2] + CHUNKED + b"\r\n"), [400]),
    "trailer with a space in its name": (claim(CHUNKED, CHUNKS[:-2] + b"a b: c\r\n\r\n"), [400]),
    "trailer that is a request": (claim(CHUNKED, CHUNKS[:-2] + b"GET /livez HTTP/1.1\r\n\r\n"), [400]),
}


@asynccontextmanager
async def _connected(gateway: RunningGateway) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection(*gateway.address)
    try:
        yield reader, writer
    finally:
        writer.close()


async def _exchange(gateway: RunningGateway, *pieces: bytes) -> list[tuple[int, bytes]]:
    """Send ``pieces``, one after another; return status and body of all answers until the connection ends."""
    received = bytearray()

    async def take(reader: asyncio.StreamReader) -> None:
        # Bytes for a closed connection reset it; the answers before count.
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                received.extend(data)

    async with _connected(gateway) as (reader, writer), asyncio.timeout(20):
        taking = asyncio.create_task(take(reader))
        with contextlib.suppress(ConnectionError):
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0.01 if len(pieces) > 1 else 0)
        await taking
    return _answers(bytes(received))


def _answers(received: bytes) -> list[tuple[int, bytes]]:
    answers = []
    while received:
        head, _, received = received.partition(b"\r\n\r\n")
        status = re.match(rb"HTTP/1\.1 (\d{3}) ", head)
        assert status, received
        assert b"transfer-encoding" not in head.lower()
        length = re.search(rb"\r\ncontent-length: (\d+)", head)
        size = int(length[1]) if length else len(received)
        answers.append((int(status[1]), received[:size]))
        received = received[size:]
    return answers


async def test_each_request_has_its_one_answer(gateway: RunningGateway, registration: FakeRegistration) -> None:
    """At once, with its body on its own, or in small pieces: the same answers, and each claim is made once or never."""

    async def play(number: int, name: str) -> tuple[str, list[list[int]]]:
        request, _ = CORPUS[name]
        seen = []
        for way in range(3):
            sent = request.replace(b"@EVENT@", b"case-%d-%d" % (number, way))
            end = max(7, sent.find(b"\r\n\r\n", 4) + 4)
            pieces = {
                0: [sent + SENTINEL],
                1: [sent[:end], sent[end:] + SENTINEL[:9], SENTINEL[9:]],
                2: [sent[:7], sent[7 : end - 2], sent[max(7, end - 2) : end + 2], sent[end + 2 :], SENTINEL],
            }[way]
            seen.append([status for status, _ in await _exchange(gateway, *[piece for piece in pieces if piece])])
        return name, seen

    for start in range(0, len(CORPUS), 40):
        names = list(enumerate(CORPUS))[start : start + 40]
        for name, seen in await asyncio.gather(*(play(number, name) for number, name in names)):
            assert seen == [CORPUS[name][1]] * 3, name
    claims = Counter(item.request.event for batch in registration.requests["RegisterBatch"] for item in batch.items)
    expected = {
        f"case-{number}-{way}": 1
        for number, (_, statuses) in enumerate(CORPUS.values())
        for way in range(3)
        if 201 in statuses
    }
    assert claims == expected


async def test_no_trailer_becomes_a_header(gateway: RunningGateway, registration: FakeRegistration) -> None:
    """Trailers are no idempotency key, no address and no token."""
    trailers = CHUNKS[:-2] + b"idempotency-key: smuggled\r\n\r\n"
    answers = await _exchange(gateway, claim(CHUNKED, trailers).replace(b"@EVENT@", b"football") + SENTINEL)
    assert [status for status, _ in answers] == [201, SERVED]
    (batch,) = registration.requests["RegisterBatch"]
    assert batch.items[0].request.idempotency_key != "smuggled"


async def test_what_is_malformed_waits_for_the_answers_before_it(
    gateway: RunningGateway, registration: FakeRegistration
) -> None:
    """A running claim gets its own answer, not the refusal of the next request; a third request gets none."""
    registration.gate = asyncio.Event()
    request = sized().replace(b"@EVENT@", b"football")
    for behind in (b"nonsense\r\n\r\n", sized(CHUNKED), b"GET /livez HTTP/1.1\r\n\r\n", claim(b"", b"GET x")):
        registration.gate.clear()
        async with _connected(gateway) as (reader, writer), asyncio.timeout(20):
            writer.write(request + behind.replace(b"@EVENT@", b"football") + SENTINEL)
            await asyncio.sleep(0.05)
            registration.gate.set()
            statuses = [status for status, _ in _answers(await reader.read(-1))]
        assert statuses[:2] == [201, 400], behind
        assert set(statuses[2:]) <= {400}


async def test_after_a_request_that_closes_nothing_is_served(
    gateway: RunningGateway, registration: FakeRegistration
) -> None:
    """In the same piece, or while the answer is under way."""
    registration.gate = asyncio.Event()
    for first in (sized(b"connection: close\r\n"), sized(b"connection: keep-alive\r\n", version=b"1.0")):
        for between in (0.0, 0.05):
            registration.gate.clear()
            async with _connected(gateway) as (reader, writer), asyncio.timeout(20):
                writer.write(first.replace(b"@EVENT@", b"football"))
                await asyncio.sleep(between)
                writer.write(SENTINEL)
                await asyncio.sleep(0.05)
                registration.gate.set()
                assert [status for status, _ in _answers(await reader.read(-1))] == [201]


async def test_who_waits_for_100_continue_gets_a_last_answer(gateway: RunningGateway) -> None:
    """A refusal before the body ends the connection: what comes next could be the body or a request."""
    expecting = claim(b"expect: 100-continue\r\ncontent-length: %d\r\n" % N, b"")
    for refused in (
        expecting.replace(b"@EVENT@", b"No_Event"),
        expecting.replace(b"/registrations", b"/nothing"),
        expecting.replace(b"content-length: %d" % N, b"content-length: 300000"),
    ):
        answers = await _exchange(gateway, refused + SENTINEL)
        assert [status for status, _ in answers] in ([404], [413])


async def test_http_1_0_gets_no_chunks_and_no_100_continue(
    gateway: RunningGateway, registration: FakeRegistration
) -> None:
    """A stream of unknown length ends with its connection; an expectation is ignored."""
    expecting = sized(b"expect: 100-continue\r\n", version=b"1.0").replace(b"@EVENT@", b"football")
    assert [status for status, _ in await _exchange(gateway, expecting)] == [201]
    async with _connected(gateway) as (reader, writer), asyncio.timeout(20):
        writer.write(b"GET /api/v1/schools/herzl/events/football/stream HTTP/1.0\r\n\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        assert b"connection: close" in head
        assert b"transfer-encoding" not in head
        assert await reader.readuntil(b"\n\n") == b"retry: 1000\n: seats follow\n\n"
        assert (await reader.readuntil(b"\n\n")).startswith(b"event: seats\nid: 1\n")
        registration.failures["WatchEvent"] = NotFound("gone")
        registration.end_watches()
        assert (await reader.read(-1)).startswith(b"event: deleted\n")


async def test_a_pipelined_stream_ends_with_its_client(gateway: RunningGateway, registration: FakeRegistration) -> None:
    """A request behind it does not occupy it for ever."""
    async with _connected(gateway) as (reader, writer), asyncio.timeout(20):
        writer.write(b"GET /api/v1/schools/herzl/events/football/stream HTTP/1.1\r\nhost: x\r\n\r\n" + get())
        await reader.readuntil(b"event: seats")
        assert gateway.parts.watches.readers == 1
    async with asyncio.timeout(10):
        while gateway.parts.watches.readers or registration.watching:
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("heads", [1, 40])
async def test_an_upgrade_counts_its_head_once(registration: FakeRegistration, heads: int) -> None:
    """A head near the limit is within it, with an offer of another protocol too, however often on one connection."""
    async with running_gateway(registration.target, max_header_bytes=2048) as gateway:
        filler = b"x-filler: " + b"a" * 1500 + b"\r\n"
        requests = get(headers=HOST + filler + upgrade(b"h2c")) * heads
        answers = await _exchange(gateway, requests + SENTINEL)
        assert [status for status, _ in answers] == [200] * heads + [SERVED]


async def test_pipelined_requests_are_bounded(gateway: RunningGateway) -> None:
    """Those that wait have their answers; the first one beyond is refused, and the connection ends."""
    statuses = [status for status, _ in await _exchange(gateway, get() * 1000)]
    assert statuses[-1] == 503
    assert set(statuses[:-1]) == {200}
    assert 100 <= len(statuses) < 1000
