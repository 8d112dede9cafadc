"""Beside a peer that uses the contrib instrumentation: one trace in both directions, and why we do not use it."""

import asyncio
from collections.abc import Iterator
from typing import Any

import grpc
import grpc.aio
import pytest
from opentelemetry.instrumentation.grpc import aio_client_interceptors, aio_server_interceptor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from ticketcap_observability import InMemoryTelemetry, Telemetry

# The package's functions have no types.
contrib_client: Any = aio_client_interceptors
contrib_server: Any = aio_server_interceptor


async def do(channel: grpc.aio.Channel) -> None:
    call: Any = channel.unary_unary("/shop.v1.Shop/Do")
    await call(b"")


@pytest.fixture
def contrib() -> Iterator[tuple[TracerProvider, InMemorySpanExporter]]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    yield provider, exporter
    provider.shutdown()


async def served(interceptor: Any, behaviour: Any) -> tuple[grpc.aio.Server, int]:
    server = grpc.aio.server(interceptors=[interceptor], options=[("grpc.so_reuseport", 0)])
    handler: Any = grpc.unary_unary_rpc_method_handler(behaviour)
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("shop.v1.Shop", {"Do": handler})])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    return server, port


async def echo(request: bytes, _context: Any) -> bytes:
    return request


async def test_a_contrib_client_and_our_server_share_a_trace(contrib: Any) -> None:
    """It calls, we serve."""
    provider, exporter = contrib
    ours = Telemetry.in_memory()
    server, port = await served(ours.grpc_server_interceptor(), echo)
    interceptors = contrib_client(tracer_provider=provider)
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", interceptors=interceptors) as channel:
        await do(channel)
    await server.stop(0)
    assert_one_trace(exporter, ours)


async def test_our_client_and_a_contrib_server_share_a_trace(contrib: Any) -> None:
    """We call, it serves."""
    provider, exporter = contrib
    ours = Telemetry.in_memory()
    server, port = await served(contrib_server(tracer_provider=provider), echo)
    interceptors = ours.grpc_client_interceptors()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", interceptors=interceptors) as channel:
        await do(channel)
    await server.stop(0)
    assert_one_trace(exporter, ours)


def assert_one_trace(exporter: InMemorySpanExporter, ours: InMemoryTelemetry) -> None:
    [theirs], [our] = exporter.get_finished_spans(), ours.spans
    assert theirs.context.trace_id == our.context.trace_id


async def test_the_contrib_client_still_loses_cancellation(contrib: Any) -> None:
    """When this fails, upstream is mended: read docs/adr/0003 again."""
    provider, _ = contrib
    cancelled = asyncio.Event()
    started = asyncio.Event()

    async def slow(_request: bytes, _context: Any) -> bytes:
        started.set()
        try:
            await asyncio.sleep(1.5)
        except asyncio.CancelledError:
            cancelled.set()
            raise
        return b""

    server, port = await served(Telemetry.in_memory().grpc_server_interceptor(), slow)
    interceptors = contrib_client(tracer_provider=provider)
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", interceptors=interceptors) as channel:

        async def call() -> None:
            await do(channel)

        task = asyncio.create_task(call())
        await started.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await asyncio.sleep(0.5)
        assert not cancelled.is_set()
    await server.stop(0)
