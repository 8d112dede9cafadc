"""Reproduce the faults of the contrib gRPC instrumentation.

Each test claims the right behaviour and is expected to fail, strictly. One that passes fails the run: upstream is
repaired, and docs/adr/0003 can be reviewed.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc
import grpc.aio
import pytest
from opentelemetry.instrumentation.grpc import aio_client_interceptors, aio_server_interceptor
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode


def upstream(raises: type[Exception]) -> pytest.MarkDecorator:
    """Mark what upstream does wrong, and how that shows."""
    reason = "a fault of upstream's; when it is mended read docs/adr/0003 again"
    return pytest.mark.xfail(strict=True, raises=raises, reason=reason)


# The package's functions have no types.
client_side: Any = aio_client_interceptors
server_side: Any = aio_server_interceptor


@dataclass
class Shop:
    """A server and a channel to it, both, or one of them, instrumented by contrib."""

    channel: grpc.aio.Channel
    exporter: InMemorySpanExporter

    def call(self, kind: str) -> Any:
        return getattr(self.channel, kind)("/shop.v1.Shop/Do")

    @property
    def spans(self) -> tuple[ReadableSpan, ...]:
        return self.exporter.get_finished_spans()


@asynccontextmanager
async def shop(kind: str, behaviour: Callable[..., Any], *, client: bool = False) -> AsyncIterator[Shop]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    interceptors = [] if client else [server_side(tracer_provider=provider)]
    server = grpc.aio.server(interceptors=interceptors, options=[("grpc.so_reuseport", 0)])
    handler = getattr(grpc, f"{kind}_rpc_method_handler")(behaviour)
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("shop.v1.Shop", {"Do": handler})])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    calls = client_side(tracer_provider=provider) if client else []
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", interceptors=calls) as channel:
            yield Shop(channel, exporter)
    finally:
        await server.stop(0)
        provider.shutdown()


async def ended(call: Awaitable[Any]) -> None:
    """Wait for the end of a call, whichever it is."""
    await asyncio.gather(call, return_exceptions=True)
    await asyncio.sleep(0.05)


@upstream(AssertionError)
async def test_a_client_that_is_cancelled_cancels_its_server() -> None:
    """Upstream, the server continues to the end."""
    started, cancelled = asyncio.Event(), asyncio.Event()

    async def slow(_request: bytes, _context: Any) -> bytes:
        started.set()
        try:
            await asyncio.sleep(1)
        except asyncio.CancelledError:
            cancelled.set()
            raise
        return b""

    async with shop("unary_unary", slow, client=True) as peer:

        async def call() -> None:
            await peer.call("unary_unary")(b"")

        task = asyncio.create_task(call())
        await started.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await asyncio.sleep(0.3)
        assert cancelled.is_set()


@upstream(AssertionError)
async def test_a_client_stream_can_be_written_to() -> None:
    """The first write waits for ever."""

    async def count(requests: Any, _context: Any) -> bytes:
        return str(len([request async for request in requests])).encode()

    async with shop("stream_unary", count, client=True) as peer:
        call = peer.call("stream_unary")()
        write = asyncio.create_task(call.write(b"x"))
        done, _ = await asyncio.wait([write], timeout=0.5)
        call.cancel()
        await asyncio.gather(write, return_exceptions=True)
        assert done


@upstream(AssertionError)
async def test_an_exception_in_a_handler_is_an_error_of_its_span() -> None:
    """The span says that all was well."""

    async def fail(_request: bytes, _context: Any) -> bytes:
        raise RuntimeError("x")

    async with shop("unary_unary", fail) as peer:
        await ended(peer.call("unary_unary")(b""))
        [span] = peer.spans
        assert span.status.status_code is StatusCode.ERROR


@upstream(AssertionError)
async def test_a_deadline_is_an_error_of_the_servers_span() -> None:
    """The span says that all was well."""

    async def slow(_request: bytes, _context: Any) -> bytes:
        await asyncio.sleep(1)
        return b""

    async with shop("unary_unary", slow) as peer:
        await ended(peer.call("unary_unary")(b"", timeout=0.1))
        await asyncio.sleep(0.2)
        [span] = peer.spans
        assert (span.attributes or {}).get("rpc.grpc.status_code") == grpc.StatusCode.DEADLINE_EXCEEDED.value[0]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # contrib makes it and forgets it
@upstream(grpc.aio.AioRpcError)
async def test_a_handler_that_writes_is_served() -> None:
    """As the health service's Watch is; it is a TypeError."""

    async def watch(_request: bytes, context: Any) -> None:
        await context.write(b"seen")

    async with shop("unary_stream", watch) as peer:
        call = peer.call("unary_stream")(b"")
        assert [message async for message in call] == [b"seen"]


@upstream(AssertionError)
async def test_the_method_is_named_as_the_conventions_name_it() -> None:
    """It is the old attribute, in two parts."""

    async def echo(request: bytes, _context: Any) -> bytes:
        return request

    async with shop("unary_unary", echo) as peer:
        await ended(peer.call("unary_unary")(b""))
        [span] = peer.spans
        assert (span.attributes or {}).get("rpc.method") == "shop.v1.Shop/Do"
