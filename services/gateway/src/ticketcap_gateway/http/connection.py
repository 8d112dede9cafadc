"""One client's connection: bounds its headers, its time and its bytes before any application sees a request.

uvicorn's protocol parses; this one adds what it does not bound. A refused
client still gets its problem: the answer is written, our side is closed, and
what it goes on sending is read and dropped for a moment, because closing at
once would reset the connection and destroy the answer on its way.
"""

import asyncio
import math
from dataclasses import dataclass
from typing import Any, Final

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from ticketcap_gateway.http import problem

# Beyond the limit a declared body is read and dropped up to here, so that its sender gets to see the 413.
_DROPPED_BYTES: Final = 16 * 1024 * 1024
# How much larger than its content a chunked message may be: chunk sizes, extensions, trailers.
_CHUNKING_FACTOR: Final = 2
_LINGER_SECONDS: Final = 2.0
_HEADER_OVERHEAD: Final = len(b": \r\n")


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionLimits:
    """Bounds of connections. Sizes are in bytes, times in seconds."""

    max_connections: int
    max_header_bytes: int
    max_body_bytes: int
    read_seconds: float
    write_seconds: float


class EdgeConfig(uvicorn.Config):
    """uvicorn's configuration, with our limits."""

    def __init__(self, app: Any, *, limits: ConnectionLimits, **options: Any) -> None:
        super().__init__(app, http=EdgeProtocol, **options)
        self.limits = limits


class _HeadTooLarge(Exception):
    """The request line and headers are larger than the limit."""


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
        self._reading = False
        self._in_head = True
        self._head_bytes = 0
        self._message_bytes = 0
        self._max_message_bytes = math.inf
        self._deadline = math.inf
        self._refused = False
        self._unsent = 0
        self._unsent_since = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Take a connection, or tell the client that there are too many."""
        super().connection_made(transport)
        self._begin_message()
        if len(self.connections) > self._limits.max_connections:
            self._refuse(503, "TOO_MANY_CONNECTIONS", "the gateway serves as many connections as it can; try again")

    def data_received(self, data: bytes) -> None:
        """Take bytes within the bounds of a message."""
        if self._refused:
            return
        if not self._reading:
            self._begin_message()
        self._message_bytes += len(data)
        if self._message_bytes > self._max_message_bytes:
            self._refuse(413, "BODY_TOO_LARGE", f"the body must have at most {self._limits.max_body_bytes} bytes")
            return
        super().data_received(data)
        unfinished = self._reading and self._in_head and not self._refused
        # A header without an end has reached no callback yet.
        if unfinished and self._message_bytes > self._limits.max_header_bytes:
            self._refuse_head()

    def on_message_begin(self) -> None:
        """Start a request; several may come in one piece of data, of which the later ones then count nothing."""
        if not self._reading:
            self._begin_message()
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take one header, or one trailer."""
        self._add_to_head(len(name) + len(value) + _HEADER_OVERHEAD)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Hand the request to the application."""
        self._add_to_head(len(self.url))
        self._in_head = False
        self._head_bytes = 0
        self._deadline = self.loop.time() + self._limits.read_seconds
        chunked = any(name == b"transfer-encoding" for name, _ in self.headers)
        dropped = self._limits.max_body_bytes * _CHUNKING_FACTOR if chunked else _DROPPED_BYTES
        self._max_message_bytes = self._message_bytes + self._limits.max_body_bytes + dropped
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """End a request's reading."""
        self._reading = False
        self._deadline = math.inf
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Answer to what is no HTTP."""
        if self._head_bytes > self._limits.max_header_bytes:
            self._refuse_head()
        else:
            self._refuse(400, "MALFORMED_REQUEST", msg)

    def sweep(self, now: float) -> None:
        """Part with a client that sends or takes too slowly. ``now`` is the loop's time."""
        if now > self._deadline:
            self._time_out()
        elif self._takes_nothing(now):
            self.transport.abort()

    def _begin_message(self) -> None:
        self._reading = True
        self._in_head = True
        self._head_bytes = 0
        self._message_bytes = 0
        self._max_message_bytes = math.inf
        self._deadline = self.loop.time() + self._limits.read_seconds

    def _add_to_head(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > self._limits.max_header_bytes:
            raise _HeadTooLarge

    def _time_out(self) -> None:
        if self._refused or not self._message_bytes:
            self.transport.abort()
        else:
            part = "headers" if self._in_head else "body"
            self._refuse(
                408, "REQUEST_TIMEOUT", f"the {part} did not arrive within {self._limits.read_seconds:g} seconds"
            )

    def _takes_nothing(self, now: float) -> bool:
        size = self.transport.get_write_buffer_size()
        if not size or size < self._unsent or not self._unsent:
            self._unsent_since = now
        self._unsent = size
        return size > 0 and now - self._unsent_since > self._limits.write_seconds

    def _refuse_head(self) -> None:
        self._refuse(
            431, "HEADERS_TOO_LARGE", f"the headers must have at most {self._limits.max_header_bytes} bytes in all"
        )

    def _refuse(self, status: int, code: str, detail: str) -> None:
        self._refused = True
        self._deadline = self.loop.time() + _LINGER_SECONDS
        # uvicorn's annotation hides that there is none before the first request.
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is not None and cycle.response_started and (self._reading_body or not cycle.response_complete):
            # This request has its answer already, or half of it.
            self.transport.close()
            return
        if cycle is not None and not cycle.response_complete:
            cycle.disconnected = True
            cycle.message_event.set()
        self.transport.write(_raw(status, code, detail))
        self.transport.write_eof()

    @property
    def _reading_body(self) -> bool:
        return self._reading and not self._in_head


def _raw(status: int, code: str, detail: str) -> bytes:
    """Return a whole answer, for a request that never became one."""
    body = problem.encode(status, code=code, detail=detail)
    head = [
        f"HTTP/1.1 {status} {problem.phrase(status)}",
        f"content-type: {problem.MEDIA_TYPE}",
        f"content-length: {len(body)}",
        "cache-control: no-store",
        "x-content-type-options: nosniff",
        *(["retry-after: 1"] if status == 503 else []),  # noqa: PLR2004 - Service Unavailable
        "connection: close",
    ]
    return "\r\n".join([*head, "", ""]).encode() + body
