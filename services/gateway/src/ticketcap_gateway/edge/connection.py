"""Bound one client's connection: its framing, headers, time and bytes.

uvicorn's protocol parses; this one adds the missing bounds, and makes sure that
one request gets one answer. A refused client still gets its problem: the
answers before it are finished, the problem is written, our side is closed, and
further bytes of the client are read and dropped for a moment, because closing
at once would reset the connection and destroy the answer on its way.

All methods run on the event loop and none awaits, so that each callback sees a
consistent state. Requests of one connection run one after another: ``_running``
is the request whose application runs, ``cycle`` the newest one that was parsed,
and ``pipeline`` holds those between.
"""

import asyncio
import math
from collections import deque
from dataclasses import dataclass
from typing import Any, Final

import httptools
import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from ticketcap_gateway.edge import framing, problems
from ticketcap_gateway.edge.addresses import Network
from ticketcap_gateway.edge.connections import ConnectionTable, Standing
from ticketcap_gateway.edge.framing import Fault

# Beyond the limit, a declared body is read and dropped up to this size, so that its sender sees the 413.
_DROPPED_BYTES: Final = 16 * 1024 * 1024
# How much larger than its content a chunked message may be: chunk sizes, extensions, trailers.
_CHUNKING_FACTOR: Final = 2
_LINGER_SECONDS: Final = 2.0
# Connections beyond the limit that wait for their refusal to be read. More are reset without an answer.
_MAX_REFUSED: Final = 256
# Requests of one connection that wait for the previous one. A single read may bring thousands.
_MAX_PIPELINED: Final = 100
_HEADER_OVERHEAD: Final = len(b": \r\n")


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionLimits:
    """Bounds of connections. Sizes are in bytes, times in seconds. ``trusted_proxies`` are exempt from shares."""

    max_connections: int
    max_connections_per_address: int
    trusted_proxies: tuple[Network, ...]
    max_header_bytes: int
    max_body_bytes: int
    read_seconds: float
    write_seconds: float


class EdgeConfig(uvicorn.Config):
    """uvicorn's configuration, with our limits."""

    def __init__(self, app: Any, *, limits: ConnectionLimits, **options: Any) -> None:
        super().__init__(app, http=EdgeProtocol, **options)
        self.limits = limits
        self.table = ConnectionTable(
            most=limits.max_connections, share=limits.max_connections_per_address, trusted=limits.trusted_proxies
        )


class EdgeProtocol(HttpToolsProtocol):
    """HTTP/1.1 with bounds."""

    def __init__(
        self,
        config: EdgeConfig,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._limits = config.limits
        self._table = config.table
        self._running: RequestResponseCycle | None = None
        self._reading = False
        self._in_head = True
        # The bytes since the read in which this head begins, and whether the head stands at their start.
        self._received = b""
        self._aligned = True
        self._offers_upgrade = False
        self._head_bytes = 0
        self._message_bytes = 0
        self._max_message_bytes = math.inf
        self._deadline = math.inf
        self._fault: Fault | None = None
        # No request is read after this one: it was refused, or requested a close, or is HTTP/1.0.
        self._deaf = False
        self._refusal = b""
        self._unsent = 0
        self._unsent_since = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Count a new connection, or refuse it with a 503."""
        super().connection_made(transport)
        self._begin_message(b"")
        if self._table.admit(self, self.client[0] if self.client else ""):
            return
        if len(self.connections) - len(self._table) > _MAX_REFUSED:
            # Each of them keeps a file open: a flood must not leave the listener without one.
            transport.abort()
            return
        self._refuse(_too_many())

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop counting the connection, and end its running request."""
        self._table.leave(self)
        super().connection_lost(exc)
        # uvicorn disconnects only the newest request; an earlier one that still runs would stream to nowhere for ever.
        if self._running is not None and not self._running.response_complete:
            self._running.disconnected = True
            self._running.message_event.set()
        self.pipeline.clear()

    def data_received(self, data: bytes) -> None:
        """Parse bytes within the bounds of a message."""
        if self._deaf:
            return
        if not self._reading:
            self._begin_message(data)
        else:
            self._received = self._received + data if self._in_head else data
        self._message_bytes += len(data)
        if self._message_bytes > self._max_message_bytes:
            self._refuse(_body_too_large(self._limits.max_body_bytes))
            return
        self._feed(data)
        unfinished = self._reading and self._in_head and not self._deaf
        if not unfinished:
            self._received = b""
        # A header without an end reaches no callback, so its size is checked here.
        elif self._message_bytes > self._limits.max_header_bytes:
            self._refuse(_head_too_large(self._limits.max_header_bytes))
        self._note()

    def on_message_begin(self) -> None:
        """Start a request; of several requests in one read, all bytes count for the first one."""
        if self._deaf:
            # Stops the parser: the rest of this read must not become a request.
            raise _Ignored
        if not self._reading:
            self._begin_message(self._received)
            self._aligned = False
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Add one header. A trailer is counted and dropped (RFC 9110, 6.5.1), since it is no header of the request."""
        self._add_to_head(len(name) + len(value) + _HEADER_OVERHEAD)
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Hand the request to the application."""
        self._add_to_head(len(self.url))
        self._check_head()
        if self.parser.should_upgrade():
            # The parser would leave the body unread, so _feed parses the head again without the offer.
            self._offers_upgrade = True
            return
        super().on_headers_complete()
        # Only now: the line above raises for a target that is no URL, and that request has no cycle yet.
        self._in_head = False
        self._head_bytes = 0
        self._deadline = self.loop.time() + self._limits.read_seconds
        chunked = any(name == b"transfer-encoding" for name, _ in self.headers)
        dropped = self._limits.max_body_bytes * _CHUNKING_FACTOR if chunked else _DROPPED_BYTES
        self._max_message_bytes = self._message_bytes + self._limits.max_body_bytes + dropped

    def on_message_complete(self) -> None:
        """End a request's reading."""
        if self._offers_upgrade:
            return
        self._reading = False
        self._deadline = math.inf
        # Before the call below: it may start the next pipelined request.
        self._deaf = not self.cycle.keep_alive
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Start the next request, or write the refusal that waited for this response."""
        # Read first: uvicorn takes the next request out of the pipeline.
        last = not self.pipeline
        super().on_response_complete()
        if last and self._refusal:
            self._write_refusal()
        self._note()

    def sweep(self, now: float) -> None:
        """Close on a client that sends or reads too slowly. ``now`` is the loop's time."""
        if now > self._deadline:
            self._time_out()
        elif self._reads_nothing(now):
            self.transport.abort()

    def make_room(self) -> None:
        """Close for another connection; answer first if a request has begun."""
        if self._message_bytes and self._reading:
            self._refuse(_too_many())
        else:
            self.transport.close()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._running = cycle
        served: Any = app
        if cycle.waiting_for_100_continue or cycle.scope["http_version"] == "1.0":
            served = _Reframed(app, cycle)
        super()._start_asgi_task(cycle, served)

    def _feed(self, data: bytes) -> None:
        """Parse ``data``. An offer of another protocol is ignored: its request is served, body and all, as HTTP/1.1."""
        self._unset_keepalive_if_required()
        while True:
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                # A new parser, because this one has left HTTP; the bytes behind the head are still unparsed.
                head = framing.without_upgrade(
                    self.parser.get_method(), self.url, self.parser.get_http_version(), self.headers
                )
                self.parser = httptools.HttpRequestParser(self)
                self._offers_upgrade = False
                self._head_bytes = 0
                data = head + data[upgrade.args[0] :]
                self._aligned, self._received = False, data
            except httptools.HttpParserError:
                if not self._deaf:
                    self._refuse(self._fault or self._misread())
                return
            else:
                return

    def _misread(self) -> Fault:
        if self._in_head and self._aligned:
            return framing.misread(self._received)
        return framing.malformed("the request is malformed")

    def _begin_message(self, received: bytes) -> None:
        self._reading = True
        self._in_head = True
        self._received = received
        self._aligned = True
        self._head_bytes = 0
        self._message_bytes = 0
        self._max_message_bytes = math.inf
        self._deadline = self.loop.time() + self._limits.read_seconds

    def _add_to_head(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > self._limits.max_header_bytes:
            self._fault = _head_too_large(self._limits.max_header_bytes)
            raise self._fault

    def _check_head(self) -> None:
        """Raise a Fault unless the head obeys framing's rules; set the target and the expectation right."""
        method, version = self.parser.get_method(), self.parser.get_http_version()
        try:
            if len(self.pipeline) >= _MAX_PIPELINED:
                raise _too_many_pipelined()
            framing.check(method, self.url, version, self.headers)
            framing.check_line(method, self.url, version, self._received, aligned=self._aligned)
            self.url = framing.origin_form(self.url) if not self.parser.should_upgrade() else self.url
        except Fault as fault:
            # httptools hides the exception of a callback, so _feed reads it here.
            self._fault = fault
            raise
        # HTTP/1.0 knows no 100 Continue (RFC 9110, 10.1.1).
        self.expect_100_continue = self.expect_100_continue and version != "1.0"

    def _note(self) -> None:
        cycle: RequestResponseCycle | None = self.cycle
        if self._reading_body or (cycle is not None and not cycle.response_complete):
            self._table.note(self, Standing.BUSY)
        else:
            self._table.note(self, Standing.HEAD if self._reading and self._message_bytes else Standing.IDLE)

    def _time_out(self) -> None:
        if self._deaf or not self._message_bytes:
            self.transport.abort()
        else:
            part = "headers" if self._in_head else "body"
            seconds = self._limits.read_seconds
            self._refuse(Fault(408, "REQUEST_TIMEOUT", f"the {part} did not arrive within {seconds:g} seconds"))

    def _reads_nothing(self, now: float) -> bool:
        size = self.transport.get_write_buffer_size()
        if not size or size < self._unsent or not self._unsent:
            self._unsent_since = now
        self._unsent = size
        return size > 0 and now - self._unsent_since > self._limits.write_seconds

    def _refuse(self, fault: Fault) -> None:
        """Answer a refused request, after the requests before it have their answers."""
        self._deaf = True
        self._received = b""
        self._deadline = math.inf
        # uvicorn's annotation hides that there is none before the first request.
        cycle: RequestResponseCycle | None = self.cycle
        due = cycle is not None and not cycle.response_complete
        if cycle is not None and self._reading_body:
            if cycle.response_started:
                # This request has a part of its answer already, so no second one may follow.
                self.transport.close()
                return
            due = self._withdraw(cycle)
        self._refusal = _raw(fault)
        if not due:
            self._write_refusal()

    def _withdraw(self, cycle: RequestResponseCycle) -> bool:
        """Remove a request from the application; say whether requests before it still wait for their answers."""
        cycle.disconnected = True
        cycle.message_event.set()
        waits = any(queued is cycle for queued, _ in self.pipeline)
        self.pipeline = deque(item for item in self.pipeline if item[0] is not cycle)
        return waits

    def _write_refusal(self) -> None:
        self._unset_keepalive_if_required()
        self._deadline = self.loop.time() + _LINGER_SECONDS
        words, self._refusal = self._refusal, b""
        if not self.transport.is_closing():
            self.transport.write(words)
            self.transport.write_eof()

    @property
    def _reading_body(self) -> bool:
        return self._reading and not self._in_head


class _Ignored(Exception):
    """Bytes after the last request of a connection."""


class _Reframed:
    """Frames one response for an HTTP/1.0 client, or for one that expects 100 Continue."""

    def __init__(self, app: ASGIApp, cycle: RequestResponseCycle) -> None:
        self._app = app
        self._cycle = cycle
        self._until_close = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the request."""

        async def reframed(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._begin(scope, message)
            elif self._until_close:
                self._cycle.expected_content_length = len(message.get("body", b""))
            await send(message)

        await self._app(scope, receive, reframed)

    def _begin(self, scope: Scope, message: Message) -> None:
        if self._cycle.waiting_for_100_continue:
            # The client may never send this body: the next bytes could be the body or a request (RFC 9110, 10.1.1).
            self._cycle.keep_alive = False
        sized = any(name.lower() == b"content-length" for name, _ in message["headers"])
        if scope["http_version"] == "1.0" and not sized:
            # HTTP/1.0 knows no chunks: the answer ends with the connection.
            self._cycle.chunked_encoding = False
            self._until_close = True


def _too_many() -> Fault:
    return Fault(503, "TOO_MANY_CONNECTIONS", "the gateway has no free connection; try again")


def _too_many_pipelined() -> Fault:
    detail = f"{_MAX_PIPELINED} requests of this connection wait already; send the others after their answers"
    return Fault(503, "TOO_MANY_REQUESTS", detail)


def _body_too_large(limit: int) -> Fault:
    return Fault(413, "BODY_TOO_LARGE", f"the body must have at most {limit} bytes")


def _head_too_large(limit: int) -> Fault:
    return Fault(431, "HEADERS_TOO_LARGE", f"the headers must have at most {limit} bytes in all")


def _raw(fault: Fault) -> bytes:
    """Return a whole HTTP response to a request that never reached the application."""
    body = problems.encode(fault.status, code=fault.code, detail=fault.detail)
    head = [
        f"HTTP/1.1 {fault.status} {problems.phrase(fault.status)}",
        f"content-type: {problems.MEDIA_TYPE}",
        f"content-length: {len(body)}",
        "cache-control: no-store",
        "x-content-type-options: nosniff",
        *(["retry-after: 1"] if fault.status == 503 else []),  # noqa: PLR2004 - Service Unavailable
        "connection: close",
    ]
    return "\r\n".join([*head, "", ""]).encode() + body
