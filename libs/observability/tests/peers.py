"""Connect a gRPC server and a channel with telemetry for tests."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
import grpc.aio
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import StatusCode
from ticketcap_observability import InMemoryTelemetry, Telemetry

SERVICE = "shop.v1.Shop"
KINDS = ("unary_unary", "unary_stream", "stream_unary", "stream_stream")


@dataclass
class Peers:
    """Both sides of a connection. Messages are bytes."""

    channel: grpc.aio.Channel
    server: grpc.aio.Server
    served: InMemoryTelemetry
    called: InMemoryTelemetry
    port: int
    finished: asyncio.Event = field(default_factory=asyncio.Event)

    def call(self, kind: str, method: str = "Do") -> Any:
        """Return a callable of the channel."""
        return getattr(self.channel, kind)(f"/{SERVICE}/{method}")

    async def ends(self) -> tuple["Ending", "Ending"]:
        """Return how the one RPC ended on the server's and on the client's side; wait for both."""
        for _ in range(200):
            if self.served.spans and self.called.spans:
                break
            await asyncio.sleep(0.01)
        return Ending.of(self.served, "rpc.server.call.duration"), Ending.of(self.called, "rpc.client.call.duration")


@dataclass(frozen=True)
class Ending:
    """The span and the metric point that one side records of its one RPC."""

    code: str
    is_error: bool
    span: ReadableSpan
    exceptions: int

    @classmethod
    def of(cls, telemetry: InMemoryTelemetry, histogram: str) -> "Ending":
        """Hold span and point against each other: exactly one of each, with the same status."""
        [span] = telemetry.spans
        [point] = telemetry.points(histogram)
        assert point.count == 1
        assert span.attributes is not None
        code = span.attributes["rpc.response.status_code"]
        assert point.attributes["rpc.response.status_code"] == code
        assert point.attributes["rpc.method"] == span.name
        assert ("error.type" in point.attributes) == (span.status.status_code is StatusCode.ERROR)
        exceptions = sum(event.name == "exception" for event in span.events)
        return cls(str(code), span.status.status_code is StatusCode.ERROR, span, exceptions)


@asynccontextmanager
async def peers(
    kind: str = "unary_unary",
    behaviour: Callable[..., Any] | None = None,
    *,
    inner: grpc.aio.ServerInterceptor | None = None,
    sampling_ratio: float = 1.0,
) -> AsyncIterator[Peers]:
    """Serve ``behaviour`` as ``shop.v1.Shop/Do``."""
    served, called = Telemetry.in_memory(), Telemetry.in_memory(sampling_ratio=sampling_ratio)
    interceptors = [served.grpc_server_interceptor(), *([inner] if inner else [])]
    server = grpc.aio.server(interceptors=interceptors, options=[("grpc.so_reuseport", 0)])
    if behaviour is not None:
        handler = getattr(grpc, f"{kind}_rpc_method_handler")(behaviour)
        server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(SERVICE, {"Do": handler})])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        target = f"127.0.0.1:{port}"
        async with grpc.aio.insecure_channel(target, interceptors=called.grpc_client_interceptors(target)) as channel:
            yield Peers(channel, server, served, called, port)
    finally:
        await server.stop(0)


async def refused(call: Awaitable[Any]) -> grpc.StatusCode:
    """Return the status that a call is refused with."""
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return error.code()
    raise AssertionError("the call was not refused")
